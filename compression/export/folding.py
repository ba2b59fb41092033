"""Normalisation put into the layers before it, so that a network's parameters are the numbers that are stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from compression.training.recipe import build_network
from models.crn import ChannelNorm, Crn
from models.fcn import Fcn
from models.network import StreamingNetwork


class FrozenNorm(nn.BatchNorm1d):
    """Normalisation that uses its running statistics in training, too."""

    def train(self, mode: bool = True) -> FrozenNorm:
        super().train(False)
        return self


class FrozenChannelNorm(ChannelNorm, FrozenNorm):
    """The same over the last dimension."""


def normalised_layers(network: StreamingNetwork) -> Iterator[tuple[str, str]]:
    """Names of each layer that is followed by a normalisation, and of that.

    Raises:
        TypeError: A family that is not known here.
    """
    if isinstance(network, Fcn):
        yield from ((f"convs.{i}", f"norms.{i}") for i in range(len(network.norms)))
    elif isinstance(network, Crn):
        yield from ((name, f"{name}_norm") for name in ("entry", "down", "up"))
        for index in range(network.config.depth):
            yield f"encoder.{index}", f"encoder_norms.{index}"
            yield from ((f"decoder.{index}.{name}", f"decoder.{index}.{name}_norm") for name in ("join", "conv"))
        for block in network.subband:
            yield f"subband.{block}.project", f"subband.{block}.norm"
        for block in network.fullband:
            yield from ((f"fullband.{block}.{name}", f"fullband.{block}.{name}_norm") for name in ("reduce", "expand"))
    else:
        raise TypeError(f"no folding is written for networks of the family {network.family!r}")


@torch.no_grad()
def fold_normalisation(network: StreamingNetwork) -> StreamingNetwork:
    """An equal network whose normalisations only add their bias, and none where the layer before has a bias of its own.

    Their scale is exactly 1 (so folding again changes nothing), frozen, and stays so in training mode. Parameters that
    do nothing any more have ``requires_grad`` off; all others are stored by the export as they are, rearranged at most.
    """
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    folded = build_network({"family": network.family, **network.hyperparameters()})
    for layer, norm in normalised_layers(network):
        former = network.get_submodule(norm)
        assert isinstance(former, _BatchNorm)
        scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + former.eps).sqrt()
        shift = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        weight = state[f"{layer}.weight"]
        repeats = len(weight) // len(scale)
        repeated = scale.repeat(repeats)
        weight.mul_(repeated.view(-1, *[1] * (weight.ndim - 1)))
        if f"{layer}.bias" in state:
            state[f"{layer}.bias"].mul_(repeated).add_(shift.repeat(repeats))
            shift = torch.zeros_like(shift)
        fixed = _frozen(former)
        fixed.weight.requires_grad_(False)
        fixed.bias.requires_grad_(f"{layer}.bias" not in state)
        parent, _, child = norm.rpartition(".")
        setattr(folded.get_submodule(parent), child, fixed)
        state |= {f"{norm}.weight": torch.ones_like(scale), f"{norm}.bias": shift}
        state |= {f"{norm}.running_mean": torch.zeros_like(scale), f"{norm}.running_var": _unit_variance(scale, former.eps)}
    folded.load_state_dict(state)
    return folded.to(next(iter(state.values())).device).eval()


@torch.no_grad()
def unfold_normalisation(folded: StreamingNetwork, former: StreamingNetwork) -> StreamingNetwork:
    """An ordinary network that computes what a folded one does, with the normalisation of the one that was folded.

    Its layers are as large as the former's, so that it can be trained on over the statistics of batches.
    """
    state = {name: value.detach().clone() for name, value in former.state_dict().items()}
    stored = folded.state_dict()
    state |= {name: stored[name].clone() for name, _ in folded.named_parameters()}
    for layer, norm in normalised_layers(former):
        module = former.get_submodule(norm)
        assert isinstance(module, _BatchNorm)
        deviation = (state[f"{norm}.running_var"] + module.eps).sqrt()
        gain = former.get_parameter(f"{norm}.weight").detach()
        gain = torch.where(gain == 0, deviation, gain)  # what was silenced for good can speak again
        scale = gain / deviation
        weight = state[f"{layer}.weight"]
        repeated = scale.repeat(len(weight) // len(scale))
        weight.div_(repeated.view(-1, *[1] * (weight.ndim - 1)))
        shift = state[f"{norm}.running_mean"] * scale
        state[f"{norm}.weight"] = gain
        if f"{layer}.bias" in state:
            state[f"{norm}.bias"] = former.get_parameter(f"{norm}.bias").detach().clone()
            offset = (state[f"{norm}.bias"] - shift).repeat(len(weight) // len(scale))
            state[f"{layer}.bias"].sub_(offset).div_(repeated)
        else:
            state[f"{norm}.bias"] = stored[f"{norm}.bias"] + shift
    ordinary = build_network({"family": former.family, **former.hyperparameters()})
    ordinary.load_state_dict(state)
    return ordinary.eval()


def _frozen(norm: _BatchNorm) -> FrozenNorm:
    kind = FrozenChannelNorm if isinstance(norm, ChannelNorm) else FrozenNorm
    return kind(norm.num_features, norm.eps)


def _unit_variance(like: Tensor, eps: float) -> Tensor:
    """A variance that in float32 is exactly 1 once ``eps`` is added."""
    variance = np.float32(1) - np.float32(eps)
    assert variance + np.float32(eps) == 1
    return torch.full_like(like, float(variance))


def stored_parameters(network: StreamingNetwork) -> dict[str, nn.Parameter]:
    """The parameters of a folded network that a variant's file holds, by name."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
