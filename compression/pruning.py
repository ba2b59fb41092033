"""Parameter pruning for shipping: how many feature maps, filters and GRU units of each width stay.

Importance is the first-order Taylor estimate of Molchanov et al. (CVPR 2019): the square of what the loss would change
if the unit's parameters were zero, averaged over batches. Units of all widths compete; each one's importance is divided
by the share of multiplications and parameters that removing it saves, as long as there are too many of these, so that
what is taken first is what costs much and matters little. Which units of a width stay, and what becomes of the work of the
others, ``standing_in`` says. The pruned network is an ordinary smaller network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from compression.groups import axes, widths, with_widths
from models.network import StreamingNetwork

Loss = Callable[[StreamingNetwork, int], Tensor]


def importance(network: StreamingNetwork, loss: Loss, batches: int) -> dict[str, Tensor]:
    """Taylor importance of every unit.

    Args:
        network: Evaluated with its running statistics, on the device of the batches.
        loss: Of the network on batch ``n``.
        batches: How many to average over.

    Returns:
        A tensor ``[width]`` per width; the loss squared is its unit.
    """
    sizes, follows = widths(network), axes(network)
    totals = {name: torch.zeros(size) for name, size in sizes.items()}
    network.eval()
    for batch in range(batches):
        network.zero_grad()
        torch.autograd.backward(loss(network, batch))
        changes = {name: torch.zeros(size) for name, size in sizes.items()}
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            effect = (parameter.detach() * parameter.grad).cpu()
            for axis, width in enumerate(follows[name]):
                if width is not None:
                    others = [other for other in range(effect.ndim) if other != axis]
                    along = effect.sum(others) if others else effect
                    changes[width] += along.view(-1, sizes[width]).sum(0)
        for name, change in changes.items():
            totals[name] += change.square() / batches
    network.zero_grad()
    return totals


Costs = tuple[float, float]


def _costs(network: StreamingNetwork, sizes: Mapping[str, int], targets: Costs) -> Costs:
    """Multiplications and parameters at these widths, over those that are allowed."""
    current = with_widths(network, sizes)
    return current.macs_per_second() / targets[0], current.parameter_count() / targets[1]


def _saved(before: Costs, after: Costs) -> float:
    """Share saved of the costs that are still too high, summed; a cost that is low enough already does not count."""
    return sum(1 - new / old for old, new in zip(before, after, strict=True) if old > 1)


def choose(
    network: StreamingNetwork,
    scores: Mapping[str, Tensor],
    macs_ratio: float,
    parameters_ratio: float,
    smallest: Callable[[str], int] = lambda width: 4,
    multiple: int = 1,
) -> dict[str, int]:
    """How many units to keep so that the network needs at most these shares of its multiplications and parameters.

    Args:
        network: To be pruned.
        scores: From ``importance``.
        macs_ratio: Of ``network.macs_per_second()``, in (0, 1].
        parameters_ratio: Of ``network.parameter_count()``, in (0, 1].
        smallest: What a width does not become smaller than, of its name.
        multiple: Widths end as multiples of this where they are larger than that; they are rounded down, and what this saves
            too much is given back where it is worth most.

    Returns:
        The size of each width.

    Raises:
        ValueError: The shares cannot be reached.
    """
    sizes = widths(network)
    ranked = {name: scores[name].sort(descending=True).values.tolist() for name in sizes}
    least = {name: smallest(name) for name in sizes}
    targets = macs_ratio * network.macs_per_second(), parameters_ratio * network.parameter_count()
    while max(costs := _costs(network, sizes, targets)) > 1:
        prices = {
            name: ranked[name][size - 1] / saving
            for name, size in sizes.items()
            if size > least[name] and (saving := _saved(costs, _costs(network, {**sizes, name: size - 1}, targets))) > 0
        }
        if not prices:
            raise ValueError(f"the shares {macs_ratio:g} and {parameters_ratio:g} cannot be reached with the smallest widths")
        cheapest = min(prices, key=lambda name: prices[name])
        sizes[cheapest] -= 1
    if multiple > 1:
        lower = {name: size // multiple * multiple for name, size in sizes.items()}
        sizes = {name: max(lower[name], min(size, max(multiple, least[name]))) for name, size in sizes.items()}
        _give_back(network, sizes, ranked, targets, multiple)
    return sizes


def _give_back(
    network: StreamingNetwork, sizes: dict[str, int], ranked: Mapping[str, list[float]], targets: Costs, multiple: int
) -> None:
    """Widen again, ``multiple`` units at a time, where rounding down has left room; the most important for their cost first."""
    while True:
        costs, worth = _costs(network, sizes, targets), dict[str, float]()
        for name, size in sizes.items():
            wider = size + multiple
            if wider <= len(ranked[name]) and max(new := _costs(network, {**sizes, name: wider}, targets)) <= 1:
                growth = sum(after / before - 1 for before, after in zip(costs, new, strict=True))
                worth[name] = sum(ranked[name][size:wider]) / growth
        if not worth:
            return
        sizes[max(worth, key=lambda name: worth[name])] += multiple


def schedule(ratio: float, rounds: int) -> list[float]:
    """Shares of what the round before left, that multiply to ``ratio``.

    Raises:
        ValueError: The ratio is not in (0, 1], or there is no round.
    """
    if not 0 < ratio <= 1 or rounds < 1:
        raise ValueError("a pruning ratio must lie in (0, 1], with at least one round")
    return [math.exp(math.log(ratio) / rounds)] * rounds
