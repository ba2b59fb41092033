"""Small networks for the service's tests: two with random weights, and two that give back what they get."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch

from compression.export.variant import export
from models.crn import Crn, CrnConfig
from models.fcn import INPUT_SCALE, TAPS, Fcn, FcnConfig
from models.network import StreamingNetwork

Network = TypeVar("Network", bound=StreamingNetwork)


def random_crn() -> Crn:
    """A ``crn`` with statistics of its own in every normalisation; its hop is not that of ``fcn`` and no part of a message."""
    torch.manual_seed(11)
    config = CrnConfig(
        channels=8, subband_channels=12, subband_units=(8,), fullband_units=(6,), depth=1, hop=256, bins_per_band=8
    )
    return warmed_up(Crn(config))


def random_fcn() -> Fcn:
    """The same for an ``fcn``."""
    torch.manual_seed(12)
    return warmed_up(Fcn(FcnConfig(filters=(4,) * 7)))


def warmed_up(network: Network) -> Network:
    """Let it hear some noise in training mode."""
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(0.1 * torch.randn(4, 3200))
    return network.eval()


def identity_crn() -> Crn:
    """A mask of one: the output is the input, but for the bin at 8 kHz."""
    network = random_crn()
    with torch.no_grad():
        network.mask.weight.zero_()
        network.mask.bias.zero_()[::2] = 1.0
    return network


def identity_fcn() -> Fcn:
    """Two filters per layer carry ``x`` and ``-x`` past the rectifier: leaky(x) - leaky(-x) = 1.3 x.

    The output is tanh(x), 216 samples late.
    """
    network = Fcn(FcnConfig(filters=(2,) * 7))
    middle = TAPS // 2
    with torch.no_grad():
        for index, conv in enumerate(network.convs):
            conv.bias.zero_()
            taps = conv.weight.zero_()[:, :, middle]
            if index == 0:
                taps[:, 0] = torch.tensor([1.0, -1.0])
            elif index < len(network.norms):
                taps.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) / 1.3)
            else:
                taps[0] = torch.tensor([1.0, -1.0]) / (1.3 * INPUT_SCALE)
        for norm in network.norms:
            norm.weight.fill_((1 + norm.eps) ** 0.5)
    return network.eval()


def build_zoo(folder: Path) -> Path:
    """Random networks as ``original``, the ones that change nothing as ``pruned``."""
    torch.set_num_threads(1)
    for network in (random_crn(), random_fcn()):
        export(network, "original", folder, {}, {})
    for network in (identity_crn(), identity_fcn()):
        export(network, "pruned", folder, {}, {})
    return folder
