"""Whole recurrent layers of a ``crn`` go: for a single stream, each costs more time than its multiplications say.

A layer is residual, so the network without it is the network in which it adds nothing. Which one matters least is
measured: by the loss of the network without it, one layer after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.crn import Crn, CrnConfig
from models.network import StreamingNetwork

KINDS = ("subband", "fullband")


def recurrent_layers(network: Crn) -> list[str]:
    """Names of the layers that are there, such as ``subband.0``."""
    units = {"subband": network.config.subband_units, "fullband": network.config.fullband_units}
    return [f"{kind}.{block}" for kind in KINDS for block, width in enumerate(units[kind]) if width]


def without_layer(network: Crn, layer: str) -> Crn:
    """The network in which one layer adds nothing, as a smaller network.

    Args:
        network: Left as it is.
        layer: Its name.

    Raises:
        ValueError: It is the only one, or there is none of this name.
    """
    there = recurrent_layers(network)
    if layer not in there or len(there) == 1:
        raise ValueError(f"{layer} cannot be removed from a crn with {', '.join(there)}")
    kind, block = layer.split(".")
    sizes = network.hyperparameters()
    sizes[f"{kind}_units"] = tuple(0 if str(at) == block else units for at, units in enumerate(sizes[f"{kind}_units"]))
    smaller = Crn(CrnConfig(**sizes))
    state = network.state_dict()
    smaller.load_state_dict({name: state[name] for name in smaller.state_dict()})
    return smaller.train(network.training)


def without_layers(network: StreamingNetwork, layers: Sequence[str]) -> Crn:
    """The same for several, in turn."""
    assert isinstance(network, Crn)
    for layer in layers:
        network = without_layer(network, layer)
    return network


def least_important(network: Crn, loss: Callable[[Crn], float], stay: int) -> list[str]:
    """Layers to remove, in that order, so that ``stay`` are left."""
    removed = []
    while len(there := recurrent_layers(network)) > stay:
        trials = {layer: without_layer(network, layer) for layer in there}
        losses = {layer: loss(trial) for layer, trial in trials.items()}
        removed.append(min(losses, key=lambda layer: losses[layer]))
        network = trials[removed[-1]]
    return removed
