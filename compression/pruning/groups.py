"""Which slices of which parameters belong to one channel, unit or filter, so that it can be removed as a whole.

A *width* is a number that the network's configuration names, such as ``subband_units.1``. Each axis of each parameter
either follows one width or is fixed; an axis may repeat its width, as the three gates of a GRU do, or the bands of a
flattened spectrum. Removing unit ``j`` of a width removes index ``j`` of every repetition on every axis that follows it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from models.crn import Crn, CrnConfig
from models.fcn import Fcn, FcnConfig
from models.network import StreamingNetwork

Axes = dict[str, tuple[str | None, ...]]
NORM = ("weight", "bias", "running_mean", "running_var")


def widths(network: StreamingNetwork) -> dict[str, int]:
    """Every width of a network by name.

    Raises:
        TypeError: A family that has no groups.
    """
    if isinstance(network, Fcn):
        memory = {"memory_units": network.config.memory_units} if network.config.memory_units else {}
        return {f"filters.{index}": width for index, width in enumerate(network.config.filters)} | memory
    if isinstance(network, Crn):
        config = network.config
        found = {"channels": config.channels, "subband_channels": config.subband_channels}
        found |= {f"subband_units.{index}": units for index, units in enumerate(config.subband_units) if units}
        return found | {f"fullband_units.{index}": units for index, units in enumerate(config.fullband_units) if units}
    raise TypeError(f"networks of the family {network.family!r} cannot be pruned")


def with_widths(network: StreamingNetwork, chosen: Mapping[str, int]) -> StreamingNetwork:
    """A new network of the same family and depth with these widths and random weights."""
    if isinstance(network, Fcn):
        return Fcn(_fcn_config(network, chosen))
    assert isinstance(network, Crn)
    return Crn(_crn_config(network, chosen))


def costs_with(network: StreamingNetwork, chosen: Mapping[str, int]) -> tuple[int, int]:
    """Multiplications a second and parameters that ``with_widths`` would have, without making it."""
    if isinstance(network, Fcn):
        macs = Fcn.macs_of(_fcn_config(network, chosen))
    else:
        assert isinstance(network, Crn)
        macs = Crn.macs_of(_crn_config(network, chosen))
    sizes, described = widths(network), axes(network)
    parameters = 0
    for name, parameter in network.named_parameters():
        shape = zip(parameter.shape, described[name], strict=True)
        parameters += math.prod(size if width is None else size // sizes[width] * chosen[width] for size, width in shape)
    return macs, parameters


def _fcn_config(network: Fcn, chosen: Mapping[str, int]) -> FcnConfig:
    filters = tuple(chosen[f"filters.{index}"] for index in range(len(network.config.filters)))
    return dataclasses.replace(network.config, filters=filters, memory_units=chosen.get("memory_units", 0))


def _crn_config(network: Crn, chosen: Mapping[str, int]) -> CrnConfig:
    blocks = range(len(network.config.subband_units))
    return dataclasses.replace(
        network.config,
        channels=chosen["channels"],
        subband_channels=chosen["subband_channels"],
        subband_units=tuple(chosen.get(f"subband_units.{index}", 0) for index in blocks),
        fullband_units=tuple(chosen.get(f"fullband_units.{index}", 0) for index in blocks),
    )


def axes(network: StreamingNetwork) -> Axes:
    """The width that each axis of each parameter and running statistic follows."""
    return _fcn_axes(network) if isinstance(network, Fcn) else _crn_axes(network)


def _norm(name: str, width: str) -> Axes:
    return {f"{name}.{part}": (width,) for part in NORM}


def _fcn_axes(network: Fcn) -> Axes:
    found: Axes = {}
    last = len(network.convs) - 1
    for index in range(last + 1):
        own = f"filters.{index}" if index < last else None
        found[f"convs.{index}.weight"] = (own, f"filters.{index - 1}" if index else None, None)
        found[f"convs.{index}.bias"] = (own,)
        if own is not None:
            found |= _norm(f"norms.{index}", own)
            if network.adaptation is not None:
                control = f"adaptation.controls.{index}"
                found |= {f"{control}.weight": (own, None), f"{control}.bias": (own,)}
    if network.adaptation is not None:
        found |= {"adaptation.bands.weight": (None, "filters.0"), "adaptation.bands.bias": (None,)}
        found["adaptation.loudness.weight"] = (None, None)
    if network.memory is not None:
        found |= _gru("memory.gru", None, "memory_units")
        found |= {"gate.gains.weight": (None, "memory_units"), "gate.gains.bias": (None,), "gate.shares": (None,)}
    return found


def _gru(name: str, inputs: str | None, units: str) -> Axes:
    return {
        f"{name}.weight_ih_l0": (units, inputs),
        f"{name}.weight_hh_l0": (units, units),
        f"{name}.bias_ih_l0": (units,),
        f"{name}.bias_hh_l0": (units,),
    }


def _crn_axes(network: StreamingNetwork) -> Axes:
    assert isinstance(network, Crn)
    narrow, wide = "channels", "subband_channels"
    found: Axes = {"entry.weight": (narrow, None, None, None), **_norm("entry_norm", narrow)}
    for index in range(network.config.depth):
        found[f"encoder.{index}.weight"] = (narrow, narrow, None, None)
        found |= _norm(f"encoder_norms.{index}", narrow)
        found[f"decoder.{index}.join.weight"] = (narrow, narrow)
        found[f"decoder.{index}.conv.weight"] = (narrow, narrow, None, None)
        found |= _norm(f"decoder.{index}.join_norm", narrow) | _norm(f"decoder.{index}.conv_norm", narrow)
    found |= {"down.weight": (wide, narrow, None, None), "up.weight": (narrow, wide), "mask.weight": (None, narrow, None, None)}
    found |= _norm("down_norm", wide) | _norm("up_norm", narrow) | {"mask.bias": (None,)}
    for block in network.subband:
        sub = f"subband_units.{block}"
        found |= _gru(f"subband.{block}.gru", wide, sub) | _norm(f"subband.{block}.norm", wide)
        found[f"subband.{block}.project.weight"] = (wide, sub)
    for block in network.fullband:
        full = f"fullband_units.{block}"
        found |= _gru(f"fullband.{block}.gru", full, full)
        found |= {f"fullband.{block}.reduce.weight": (full, wide), **_norm(f"fullband.{block}.reduce_norm", full)}
        found |= {f"fullband.{block}.expand.weight": (wide, full), f"fullband.{block}.expand.bias": (wide,)}
        found |= _norm(f"fullband.{block}.expand_norm", wide)
    return found


def repeated(kept: Tensor, width: int, size: int) -> Tensor:
    """Indices on an axis of ``size`` that repeats a width, for the kept indices of the width."""
    starts = torch.arange(0, size, width)
    return (starts[:, None] + kept[None, :]).flatten()


def shrink(network: StreamingNetwork, kept: Mapping[str, Tensor]) -> StreamingNetwork:
    """A smaller network of the same family that computes what is left when the other units are taken out.

    Args:
        network: Left as it is.
        kept: Sorted indices to keep, by width; widths that are not named stay whole.

    Raises:
        KeyError: A name that is no width of the network.
        ValueError: A width would be left with nothing.
    """
    sizes = widths(network)
    if unknown := set(kept) - set(sizes):
        raise KeyError(f"{unknown.pop()!r} is no width of this network: use one of {', '.join(sizes)}")
    if empty := [name for name, indices in kept.items() if not len(indices)]:
        raise ValueError(f"nothing would be left of {empty[0]}: keep at least one")
    smaller = with_widths(network, sizes | {name: len(indices) for name, indices in kept.items()})
    state = network.state_dict()
    for name, follows in axes(network).items():
        for axis, width in enumerate(follows):
            if width is not None and width in kept:
                indices = repeated(kept[width], sizes[width], state[name].shape[axis])
                state[name] = state[name].index_select(axis, indices.to(state[name].device))
    smaller.load_state_dict(state)
    return smaller.train(network.training)
