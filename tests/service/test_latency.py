"""Percentiles from a histogram of constant size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.telemetry.latency import LatencyHistogram


def test_nothing_counted_gives_zeros():
    assert LatencyHistogram().percentiles(50, 95) == {"p50": 0, "p95": 0, "max": 0}


def test_one_value_is_all_its_percentiles():
    histogram = LatencyHistogram()
    histogram.add(3.21)
    assert histogram.percentiles(1, 50, 99) == {"p1": 3.21, "p50": 3.21, "p99": 3.21, "max": 3.21}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.02, 50_000), min_size=1, max_size=300))
def test_percentiles_are_within_a_bucket(values):
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    found = histogram.percentiles(50, 95, 99)
    for percent in (50, 95, 99):
        exact = np.percentile(values, percent, method="inverted_cdf")
        assert found[f"p{percent}"] == pytest.approx(exact, rel=0.013, abs=0.001)
    assert found["max"] == round(max(values), 3)
    assert histogram.count == len(values)


@pytest.mark.parametrize("value", [0, 1e-9, 1e9])
def test_values_outside_the_buckets_are_counted_too(value):
    histogram = LatencyHistogram()
    histogram.add(value)
    assert histogram.count == 1
    assert histogram.percentiles(50)["max"] == round(value, 3)
