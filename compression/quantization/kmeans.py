"""One-dimensional k-means: exact by dynamic programming, and for many values exact on a summary, then polished.

Sorted values are cut into runs; the best last cut never moves left when a value is added, so each layer of the table is
found by divide and conquer (Ckmeans.1d.dp, Wang and Song 2011; Grønlund et al., arXiv:1701.07204). All the middles of one
level are searched together. Many values are first merged into a few thousand weighted points, dense where there are many
values and where they are far apart; Lloyd's steps on the full data then repair what the merging lost.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
EXACT_POINTS = 2048  # distinct values up to which the result is the optimum
LLOYD_STEPS = 200


@dataclasses.dataclass(frozen=True)
class Clustering:
    """Centroids and which one stands for each value.

    Attributes:
        centroids: ``[clusters]``, rising; fewer than asked for where there are fewer distinct values.
        indices: Of the values' shape.
    """

    centroids: Floats
    indices: Integers


class _Points:
    """Weighted points in rising order, with running sums of weight and of its first two moments about their mean."""

    def __init__(self, values: Floats, weights: Floats) -> None:
        self.values, self.weights = values, weights
        self.origin = float(np.average(values, weights=weights))
        centred = values - self.origin
        self.sums = [np.concatenate([[0.0], np.cumsum(weights * centred**power)]) for power in range(3)]

    def cost(self, starts: Integers, ends: Integers) -> Floats:
        """Weighted squared distance of the points ``starts`` to ``ends`` (not included) from their mean."""
        weight, first, second = (sums[ends] - sums[starts] for sums in self.sums)
        spread: Floats = np.maximum(second - first**2 / weight, 0)
        return spread

    def means(self, cuts: Integers) -> Floats:
        """Mean of each run between neighbouring cuts."""
        weight, first = (np.diff(sums[cuts]) for sums in self.sums[:2])
        return first / weight + self.origin


def kmeans(values: npt.ArrayLike, clusters: int, weights: npt.ArrayLike | None = None) -> Clustering:
    """Cluster numbers so that the weighted squared distance to their centroids is least.

    Args:
        values: Any shape. Up to ``EXACT_POINTS`` distinct values the result is optimal; else it is a local optimum near it.
        clusters: How many centroids at most.
        weights: Positive, of the values' shape; 1 for each where None.

    Raises:
        ValueError: No values, values or weights that are not finite, weights that are not positive, or no clusters.
    """
    array = np.asarray(values, dtype=np.float64)
    masses = np.ones_like(array) if weights is None else np.asarray(weights, dtype=np.float64)
    if clusters < 1 or not array.size or masses.shape != array.shape:
        raise ValueError("k-means needs at least one cluster, at least one value, and a weight for each value")
    if not np.isfinite(array).all() or not np.isfinite(masses).all() or masses.min() <= 0:
        raise ValueError("k-means needs finite values and positive weights")
    distinct, inverse = np.unique(array, return_inverse=True)
    inverse = inverse.reshape(array.shape)
    if len(distinct) <= clusters:
        return Clustering(distinct, inverse)
    points = _Points(distinct, np.bincount(inverse.ravel(), masses.ravel()).astype(np.float64))
    if len(distinct) <= EXACT_POINTS:
        cuts = _optimal_cuts(points, clusters)
    else:
        starts = _summary(distinct, max(EXACT_POINTS, 4 * clusters))
        merged = _Points(points.means(np.append(starts, len(distinct))), np.add.reduceat(points.weights, starts))
        cuts = np.append(starts, len(distinct))[_optimal_cuts(merged, clusters)]
        cuts = _polish(points, cuts)
    run = np.repeat(np.arange(len(cuts) - 1), np.diff(cuts))
    return Clustering(points.means(cuts), run[inverse])


def _summary(values: Floats, count: int) -> Integers:
    """Starts of about ``count`` runs of rising values: half of them equally many values, half equally wide."""
    by_rank = np.arange(count // 2) * len(values) // (count // 2)
    by_width = np.searchsorted(values, np.linspace(values[0], values[-1], count // 2, endpoint=False))
    return np.union1d(by_rank, by_width)


def _optimal_cuts(points: _Points, clusters: int) -> Integers:
    """Where the optimal clusters start, and the number of points."""
    count = len(points.values)
    ends = np.arange(count + 1)
    best = np.full(count + 1, np.inf)
    best[1:] = points.cost(np.zeros(count, dtype=np.int64), ends[1:])
    choices = np.zeros((clusters, count + 1), dtype=np.int32)
    for layer in range(1, clusters):
        best, choices[layer] = _next_layer(points, best, layer)
    cuts = [count]
    for layer in range(clusters - 1, -1, -1):
        cuts.append(int(choices[layer][cuts[-1]]))
    return np.array(cuts[::-1])


def _next_layer(points: _Points, before: Floats, layer: int) -> tuple[Floats, Integers]:
    """Least cost of the first n points in ``layer + 1`` clusters, and where the last one starts, for all n.

    ``before`` is the same for ``layer`` clusters. n is halved level by level: the start for a middle lies between those
    for the middles found to its left and right.
    """
    count = len(points.values)
    best, choice = np.full(count + 1, np.inf), np.zeros(count + 1, dtype=np.int64)
    lows, highs = np.array([layer + 1]), np.array([count])  # the n still open, interval by interval
    lefts, rights = np.array([layer]), np.array([count - 1])  # between which starts lie
    while len(lows):
        middles = (lows + highs) // 2
        lengths = np.minimum(rights, middles - 1) - lefts + 1
        offsets = np.cumsum(lengths) - lengths
        starts = np.arange(lengths.sum()) - np.repeat(offsets - lefts, lengths)
        costs = before[starts] + points.cost(starts, np.repeat(middles, lengths))
        least = np.minimum.reduceat(costs, offsets)
        hits = np.flatnonzero(costs == np.repeat(least, lengths))
        found = starts[hits[np.searchsorted(hits, offsets)]]
        best[middles], choice[middles] = least, found
        lows, highs = np.concatenate([lows, middles + 1]), np.concatenate([middles - 1, highs])
        lefts, rights = np.concatenate([lefts, found]), np.concatenate([found, rights])
        unfinished = lows <= highs
        lows, highs, lefts, rights = lows[unfinished], highs[unfinished], lefts[unfinished], rights[unfinished]
    return best, choice


def _polish(points: _Points, cuts: Integers) -> Integers:
    """Lloyd's steps until nothing moves; O(k log n) each."""
    for _ in range(LLOYD_STEPS):
        centroids = points.means(cuts)
        inner = np.searchsorted(points.values, (centroids[1:] + centroids[:-1]) / 2)
        moved = np.unique(np.concatenate([cuts[:1], inner, cuts[-1:]]))  # a run that became empty is dropped
        if np.array_equal(moved, cuts):
            break
        cuts = moved
    return cuts
