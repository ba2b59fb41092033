"""Parameter pruning for shipping: how many feature maps, filters and GRU units of each width stay.

Units of all widths compete. What it costs when one goes, ``compensation`` measures; it is divided by the share of
multiplications and parameters that this saves, as long as there are too many of these, so that what is taken first is
what takes much and matters little. The pruned network is an ordinary smaller network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from compression.pruning.groups import costs_with, widths
from models.network import StreamingNetwork

Costs = tuple[float, float]


def _costs(network: StreamingNetwork, sizes: Mapping[str, int], targets: Costs) -> Costs:
    """Multiplications and parameters at these widths, over those that are allowed."""
    macs, parameters = costs_with(network, sizes)
    return macs / targets[0], parameters / targets[1]


def _saved(before: Costs, after: Costs) -> float:
    """Share saved of the costs that are still too high, summed; a cost that is low enough already does not count."""
    return sum(1 - new / old for old, new in zip(before, after, strict=True) if old > 1)


def choose(
    network: StreamingNetwork,
    costs: Mapping[str, Tensor],
    macs_ratio: float,
    parameters_ratio: float,
    smallest: Callable[[str], int] = lambda width: 4,
    multiple: int = 1,
) -> dict[str, int]:
    """How many units to keep so that the network needs at most these shares of its multiplications and parameters.

    Args:
        network: To be pruned.
        costs: By width, what each unit's removal costs, the first to go first; from ``rank``.
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
    ranked = {name: costs[name].tolist()[::-1] for name in sizes}
    least = {name: smallest(name) for name in sizes}
    targets = macs_ratio * network.macs_per_second(), parameters_ratio * network.parameter_count()
    while max(before := _costs(network, sizes, targets)) > 1:
        prices = {
            name: ranked[name][size - 1] / saving
            for name, size in sizes.items()
            if size > least[name] and (saving := _saved(before, _costs(network, {**sizes, name: size - 1}, targets))) > 0
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
    """Widen again, each to its next multiple, where rounding down has left room; the most important for their cost first."""
    while True:
        costs, worth = _costs(network, sizes, targets), dict[str, float]()
        wider = {name: (size // multiple + 1) * multiple for name, size in sizes.items()}
        for name, size in sizes.items():
            if wider[name] <= len(ranked[name]) and max(new := _costs(network, {**sizes, name: wider[name]}, targets)) <= 1:
                growth = sum(after / before - 1 for before, after in zip(costs, new, strict=True))
                worth[name] = sum(ranked[name][size : wider[name]]) / growth
        if not worth:
            return
        widened = max(worth, key=lambda name: worth[name])
        sizes[widened] = wider[widened]


def schedule(ratio: float, rounds: int) -> list[float]:
    """Shares of what the round before left, that multiply to ``ratio``.

    Raises:
        ValueError: The ratio is not in (0, 1], or there is no round.
    """
    if not 0 < ratio <= 1 or rounds < 1:
        raise ValueError("a pruning ratio must lie in (0, 1], with at least one round")
    return [math.exp(math.log(ratio) / rounds)] * rounds
