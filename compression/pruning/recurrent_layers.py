"""Whole recurrent layers of a ``crn`` go: for a single stream, each costs more time than its multiplications say.

A layer is residual, so the network without it is the network in which it adds nothing. Where two full-band layers have
become neighbours, one may take the other up instead (``layer_merging``). What is done is measured: whatever leaves the least
loss, one change after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from models.crn import Crn, CrnConfig

KINDS = ("subband", "fullband")
Change = tuple[str, ...]  # a layer that goes, or one and the neighbour that takes it up
Merge = Callable[[Crn, str, str], Crn]


def recurrent_layers(network: Crn) -> list[str]:
    """Names of the layers that are there, such as ``subband.0``."""
    units = zip(KINDS, _units(network), strict=True)
    return [f"{kind}.{block}" for kind, widths in units for block, width in enumerate(widths) if width]


def _units(network: Crn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return network.config.subband_units, network.config.fullband_units


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


def without_layers(network: Crn, layers: Iterable[str]) -> Crn:
    """The same for several, in turn."""
    for layer in layers:
        network = without_layer(network, layer)
    return network


def neighbours(network: Crn) -> list[tuple[str, str]]:
    """Full-band layers that follow each other without a sub-band layer in between."""
    subband, fullband = ([block for block, width in enumerate(units) if width] for units in _units(network))
    pairs = itertools.pairwise(fullband)
    return [(f"fullband.{a}", f"fullband.{b}") for a, b in pairs if not any(a < block <= b for block in subband)]


def with_changes(network: Crn, changes: Iterable[Sequence[str]], merge: Merge) -> Crn:
    """The network after changes, in turn."""
    for change in changes:
        network = without_layer(network, change[0]) if len(change) == 1 else merge(network, change[0], change[1])
    return network


def cheapest_changes(network: Crn, loss: Callable[[Crn], float], stay: int, merge: Merge) -> list[Change]:
    """Changes after which ``stay`` layers are left: in turn what leaves the least loss, one that goes or two merged."""
    made: list[Change] = []
    while len(there := recurrent_layers(network)) > stay:
        changes: list[Change] = [*((layer,) for layer in there), *neighbours(network)]
        trials = [with_changes(network, [change], merge) for change in changes]
        losses = [loss(trial) for trial in trials]
        best = losses.index(min(losses))
        made.append(changes[best])
        network = trials[best]
    return made
