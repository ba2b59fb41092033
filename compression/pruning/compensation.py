"""What removed units did is handed to those that stay: optimal brain surgery on whole units.

A layer reads its inputs linearly. Where one of them goes, the layer's output changes least, in mean square, if the
removed input is replaced by the mixture of the others that predicts it best; that mixture goes into the weights of the
others, so the network is as small as without it. Both the mixture and its error follow from the second moments of
the inputs (Hassibi and Stork, NIPS 1992; for whole columns Kwon et al., NeurIPS 2022), so a pass over some mixtures is all
that is needed. Units are removed one by one, the one first that the others stand in for best.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from compression.pruning.groups import axes, widths
from models.crn import FrequencyConv
from models.fcn import TAPS, LongConv
from models.network import StreamingNetwork

RIDGE = 1e-4  # of the mean power, added to each input's
WINDOW_STEP = 16  # samples from one window of a long convolution to the next: neighbours say the same
Moments = dict[str, Tensor]
Hook = Callable[[nn.Module, Any, Any], None]


@dataclasses.dataclass(frozen=True)
class Reader:
    """A weight that reads units: along its second axis.

    Attributes:
        weight: Its name.
        width: What it reads.
        layer: Name of the module.
        state: It reads the layer's own last outputs, as a GRU does, and not its inputs.
    """

    weight: str
    width: str
    layer: str
    state: bool


def readers(network: StreamingNetwork) -> list[Reader]:
    """All weights that read units that can be removed."""
    found = []
    for name, follows in axes(network).items():
        if len(follows) > 1 and follows[1] is not None:
            layer, _, part = name.rpartition(".")
            found.append(Reader(name, follows[1], layer, part == "weight_hh_l0"))
    return found


def listen(network: StreamingNetwork, inputs: Iterable[Tensor], hooks: Iterable[tuple[nn.Module, Hook]]) -> None:
    """Run signals ``[batch, samples]`` through a network; hooks get a module, what it reads and what it says, each time."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        for signals in inputs:
            network(signals)
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def measure_moments(network: StreamingNetwork, inputs: Iterable[Tensor]) -> Moments:
    """Mean products of what each weight reads for one output.

    Args:
        network: In evaluation mode.
        inputs: Signals ``[batch, samples]`` on its device.

    Returns:
        By the weight's name ``[repeats, reads, reads]``, float64. A flattened spectrum repeats a width band by band; of each
        unit a convolution reads a window, tap by tap.
    """
    sizes, sums, counts = widths(network), Moments(), dict[str, int]()

    def hook(reader: Reader) -> Hook:
        def add(module: nn.Module, arguments: Any, output: Any) -> None:
            x = _windows(module, output[0] if reader.state else arguments[0], sizes[reader.width])
            sums[reader.weight] = sums.get(reader.weight, 0) + (x.transpose(1, 2) @ x).double()
            counts[reader.weight] = counts.get(reader.weight, 0) + x.shape[1]

        return add

    listen(network, inputs, [(network.get_submodule(reader.layer), hook(reader)) for reader in readers(network)])
    return {name: total / counts[name] for name, total in sums.items()}


def _windows(module: nn.Module, x: Tensor, width: int) -> Tensor:
    """What a layer reads, ``[repeats, outputs, reads]``."""
    if isinstance(module, LongConv):
        return x.unfold(2, TAPS, WINDOW_STEP).transpose(1, 2).flatten(0, 1).flatten(1)[None]
    if isinstance(module, FrequencyConv):
        padding, stride = int(module.padding[1]), module.stride[1]
        x = functional.pad(x, (0, 0, padding, padding)).unfold(2, module.kernel_size[1], stride)
        return x.flatten(0, 2).flatten(1)[None]
    return x.reshape(-1, x.shape[-1] // width, width).transpose(0, 1)


def _columns(weight: Tensor, width: int) -> Tensor:
    """``[repeats, outputs, reads]``, float64."""
    flat = weight.detach().double().flatten(2) if weight.ndim > 2 else weight.detach().double().unsqueeze(2)
    return flat.reshape(len(flat), flat.shape[1] // width, width * flat.shape[2]).transpose(0, 1)


def _ridged(moments: Tensor) -> Tensor:
    power: Tensor = moments.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12)
    return moments + torch.diag_embed((RIDGE * power)[:, None].expand(moments.shape[:2]))


class _Surgery:
    """What removing one unit more would cost a weight: error of its output over the output's power.

    The taps of a convolution are taken one by one here, each with what it alone reads.
    """

    def __init__(self, columns: Tensor, moments: Tensor, width: int) -> None:
        taps = moments.shape[1] // width
        by_tap = moments.view(len(moments), width, taps, width, taps).diagonal(dim1=2, dim2=4)
        pooled = _ridged(by_tap.mean(-1))
        rows = columns.reshape(len(columns), -1, width, taps).transpose(2, 3).flatten(1, 2)
        self.gram = rows.transpose(1, 2) @ rows
        self.inverse = torch.linalg.inv(pooled)
        self.power = float((self.gram * pooled).sum()) + 1e-30

    def costs(self) -> Tensor:
        """Of each unit ``[width]``; those of removed ones mean nothing."""
        gain: Tensor = self.gram.diagonal(dim1=1, dim2=2) / self.inverse.diagonal(dim1=1, dim2=2).clamp(min=1e-12)
        return gain.clamp(min=0).sum(0) / self.power

    def remove(self, unit: int) -> None:
        """Let the others stand in for a unit."""
        pivot = self.inverse[:, unit, unit].clamp(min=1e-12)[:, None, None]
        row = self.inverse[:, unit : unit + 1] / pivot
        column = self.gram[:, :, unit : unit + 1]
        cross = column @ row
        own = column[:, unit : unit + 1] * (row.transpose(1, 2) @ row)
        self.gram = self.gram - cross - cross.transpose(1, 2) + own
        self.inverse = self.inverse - pivot * (row.transpose(1, 2) @ row)


@dataclasses.dataclass(frozen=True)
class Ranking:
    """In which order the units of a width go, and what each costs.

    Attributes:
        order: ``[width]`` the first to go first; the last one never goes.
        costs: ``[width]`` error that its removal adds to what reads the width, over the power of that, summed.
    """

    order: Tensor
    costs: Tensor

    def kept(self, size: int) -> Tensor:
        """Sorted indices of the units that stay when ``size`` do."""
        return self.order[len(self.order) - size :].sort().values


def rank(network: StreamingNetwork, moments: Moments) -> dict[str, Ranking]:
    """Of each width, the units in the order in which the others can best do without them."""
    ranked, state = {}, network.state_dict()
    for width, whole in widths(network).items():
        weights = [reader.weight for reader in readers(network) if reader.width == width]
        surgeries = [_Surgery(_columns(state[weight], whole), moments[weight], whole) for weight in weights]
        left = torch.ones(whole, dtype=torch.bool)
        order, costs = list[int](), list[float]()
        while len(order) < whole - 1:
            total = sum((surgery.costs() for surgery in surgeries), start=torch.zeros(whole, dtype=torch.float64))
            unit = int(torch.where(left, total, torch.inf).argmin())
            left[unit] = False
            order.append(unit)
            costs.append(float(total[unit]))
            for surgery in surgeries:
                surgery.remove(unit)
        order.append(int(left.nonzero()))
        ranked[width] = Ranking(torch.tensor(order), torch.tensor([*costs, torch.inf]))
    return ranked


@torch.no_grad()
def compensate(network: StreamingNetwork, moments: Moments, kept: Mapping[str, Tensor]) -> StreamingNetwork:
    """A network of the same widths in which those that stay do as well as they can without the others.

    Args:
        network: Left as it is.
        moments: From ``measure_moments``.
        kept: Sorted indices to keep, by width; widths that are not named stay whole.
    """
    changed, sizes = copy.deepcopy(network), widths(network)
    state = changed.state_dict()
    for reader in readers(network):
        width, weight = sizes[reader.width], state[reader.weight]
        if reader.width not in kept or len(kept[reader.width]) == width:
            continue
        columns, second = _columns(weight, width), _ridged(moments[reader.weight])
        there = torch.zeros(width, dtype=torch.bool, device=weight.device)
        there[kept[reader.width].to(weight.device)] = True
        there = there.repeat_interleave(columns.shape[2] // width)
        stay, gone = there.nonzero().flatten(), (~there).nonzero().flatten()
        mixture = torch.linalg.solve(second[:, stay][:, :, stay], second[:, stay][:, :, gone])
        columns[:, :, stay] += columns[:, :, gone] @ mixture.transpose(1, 2)
        weight.copy_(columns.transpose(0, 1).reshape(weight.shape))
    return changed
