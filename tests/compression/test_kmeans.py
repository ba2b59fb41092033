"""One-dimensional k-means against a plain dynamic programme, and against Lloyd's algorithm where that is too slow."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.quantization.kmeans import EXACT_POINTS, kmeans


def least_cost(values: np.ndarray, weights: np.ndarray, clusters: int) -> float:
    """Optimal cost by trying every start of every last cluster."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]

    def spread(start: int, end: int) -> float:
        run, mass = values[start:end], weights[start:end]
        return float((mass * (run - np.average(run, weights=mass)) ** 2).sum())

    best = [0.0] + [spread(0, end) for end in range(1, len(values) + 1)]
    for _ in range(clusters - 1):
        best = [0.0] + [
            min(best[start] + (spread(start, end) if start < end else 0) for start in range(end + 1))
            for end in range(1, len(values) + 1)
        ]
    return best[-1]


def cost(values: np.ndarray, clusters: int, weights: np.ndarray | None = None) -> float:
    found = kmeans(values, clusters, weights)
    return float(
        (
            np.broadcast_to(1 if weights is None else weights, values.shape) * (values - found.centroids[found.indices]) ** 2
        ).sum()
    )


def lloyd_from_quantiles(values: np.ndarray, clusters: int, steps: int = 300) -> float:
    values = np.sort(values)
    centroids = np.quantile(values, (np.arange(clusters) + 0.5) / clusters)
    for _ in range(steps):
        groups = np.split(values, np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2))
        centroids = np.array([group.mean() if len(group) else old for group, old in zip(groups, centroids, strict=True)])
    nearest = centroids[np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)]
    return float(((values - nearest) ** 2).sum())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_cost_is_the_optimum(data: st.DataObject) -> None:
    numbers = st.one_of(st.integers(-4, 4).map(float), st.floats(-100, 100, width=32))
    values = np.array(data.draw(st.lists(numbers, min_size=1, max_size=14)))
    weights = np.array(data.draw(st.lists(st.floats(0.1, 10), min_size=len(values), max_size=len(values))))
    clusters = data.draw(st.integers(1, 6))
    scale = 1e-9 * (1 + (weights * values**2).sum())
    assert cost(values, clusters, weights) == pytest.approx(least_cost(values, weights, clusters), abs=scale)


def test_every_value_belongs_to_its_nearest_centroid_and_centroids_rise() -> None:
    values = np.random.default_rng(1).standard_normal((30, 40))
    found = kmeans(values, 16)
    assert found.indices.shape == values.shape
    assert (np.diff(found.centroids) > 0).all()
    distances = np.abs(values[..., None] - found.centroids)
    np.testing.assert_allclose(distances.min(-1), np.abs(values - found.centroids[found.indices]))


@pytest.mark.parametrize("clusters", [3, 4, 100])
def test_no_more_distinct_values_than_centroids_are_kept_as_they_are(clusters: int) -> None:
    values = np.float32([0.1, -7, 0.1, 3, 3, 0.1])
    found = kmeans(values, clusters)
    np.testing.assert_array_equal(found.centroids[found.indices].astype(np.float32), values)
    assert len(found.centroids) == 3


def test_one_value_is_one_centroid() -> None:
    found = kmeans([[2.5]], 4)
    assert found.centroids.tolist() == [2.5]
    assert found.indices.tolist() == [[0]]


def test_a_duplicate_counts_as_a_weight() -> None:
    repeated = kmeans([0.0, 0.0, 0.0, 1.0, 5.0, 6.0, 6.0], 2)
    weighted = kmeans([0.0, 1.0, 5.0, 6.0], 2, weights=[3, 1, 1, 2])
    np.testing.assert_allclose(repeated.centroids, [1 / 4, 17 / 3])
    np.testing.assert_allclose(weighted.centroids, repeated.centroids)


def test_a_heavy_value_draws_its_centroid() -> None:
    light, heavy = (kmeans([0.0, 1.0, 10.0, 11.0], 2, weights=[1, mass, 1, 1]).centroids[0] for mass in (1, 999))
    assert light == 0.5
    assert heavy == pytest.approx(0.999)


@pytest.mark.parametrize("count", [1000, 3 * EXACT_POINTS])
def test_the_order_of_the_values_does_not_matter(count: int) -> None:
    random = np.random.default_rng(2)
    values, order = random.standard_normal(count), random.permutation(count)
    one, other = kmeans(values, 12), kmeans(values[order], 12)
    np.testing.assert_array_equal(one.centroids, other.centroids)
    np.testing.assert_array_equal(one.indices[order], other.indices)


@pytest.mark.parametrize("kind", ["normal", "laplace", "uniform", "outliers", "two heaps"])
@pytest.mark.parametrize("clusters", [2, 7, 32, 256])
def test_many_values_cost_hardly_more_than_the_optimum_and_less_than_lloyd(kind: str, clusters: int) -> None:
    random = np.random.default_rng(clusters)
    values = {
        "normal": random.standard_normal(30_000),
        "laplace": random.laplace(size=30_000),
        "uniform": random.random(30_000),
        "outliers": np.append(random.standard_normal(30_000), [50.0, -80.0, 1000.0]),
        "two heaps": np.concatenate([random.normal(-1, 0.01, 20_000), random.normal(3, 1, 10_000)]),
    }[kind]
    assert cost(values, clusters) <= lloyd_from_quantiles(values, clusters) * (1 + 1e-9)


def test_many_values_cost_hardly_more_than_the_exact_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).laplace(size=4000)
    merged = {clusters: cost(values, clusters) for clusters in (3, 16, 64)}
    monkeypatch.setattr("compression.quantization.kmeans.EXACT_POINTS", len(values))
    for clusters, found in merged.items():
        assert cost(values, clusters) <= found <= 1.002 * cost(values, clusters)


def test_a_large_tensor_takes_a_moment() -> None:
    values = np.random.default_rng(4).standard_normal(300_000).astype(np.float32)
    start = time.process_time()
    assert len(kmeans(values, 256).centroids) == 256
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("values", "clusters", "weights"),
    [([], 2, None), ([1.0], 0, None), ([np.nan, 1.0], 1, None), ([1.0, 2.0], 1, [1, 0]), ([1.0, 2.0], 1, [1])],
)
def test_input_without_a_meaning_is_refused(values, clusters, weights) -> None:
    with pytest.raises(ValueError, match="k-means needs"):
        kmeans(values, clusters, weights)
