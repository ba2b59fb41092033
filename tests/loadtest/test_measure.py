"""Figures and verdicts with known right answers."""

from array import array

import pytest

from loadtest.measure import Bars, evaluate, percentiles
from loadtest.tally import KEPT_FAULTS, Tally, merge


def good(**changes):
    values = {
        "server_ms": array("f", [2.0] * 100),
        "client_ms": array("f", [3.0] * 100),
        "lateness_ms": array("f", [0.5] * 100),
        "connect_ms": array("f", [10.0] * 2),
        "real_time_factors": array("f", [0.25, 0.75]),
        "sent": 32000,
        "compared": 31000,
        "started": 2,
        "ended": 2,
        "cpu_seconds": 0.3,
    }
    return Tally(**{**values, **changes})


def figures(tally, **bars):
    return evaluate(tally, 2, 1.0, 0.5, 16000, Bars(**bars))


def test_percentiles_are_values_that_occurred():
    one = percentiles(array("f", range(1, 101)))
    assert (one.p50, one.p90, one.p95, one.p99, one.max) == (50, 90, 95, 99, 100)
    assert percentiles(array("f", [7.0])).p50 == 7
    assert percentiles(array("f")).max == 0


def test_what_keeps_every_bar_passes():
    one = figures(good())
    assert one.passed
    assert (one.server_ms.p99, one.client_ms.max, one.lateness_ms.p50, one.connect_ms.max) == (2, 3, 0.5, 10)
    assert (one.chunks, one.real_time_factor, one.generator_cpu, one.compared_seconds) == (100, 0.5, 0.2, 1.9)


def test_chunks_past_the_deadline_are_counted_from_both_ends():
    one = figures(
        good(server_ms=array("f", [40.0] * 97 + [41.0] * 3), client_ms=array("f", [80.0] * 90 + [90.0] * 10)), p99_ms=99
    )
    assert (one.late, one.late_client) == (3, 10)
    assert one.missed == ("3 chunks later than 40 ms", "10 chunks later than 80 ms as the client sees them")


def test_chunks_that_were_never_answered_are_late():
    one = figures(good(unanswered=2))
    assert (one.late, one.late_client) == (2, 2)
    assert not one.passed


@pytest.mark.parametrize("name", ["lost", "surplus", "unanswered", "refused", "failed", "broken", "violations", "altered"])
def test_every_kind_of_damage_misses_a_bar(name):
    one = figures(good(**{name: 3}))
    assert one.own_fault is None
    assert any(sentence.startswith("3 ") for sentence in one.missed)


def test_a_slow_server_misses_the_percentile():
    one = figures(good(server_ms=array("f", [1.0] * 98 + [30.0] * 2)))
    assert one.missed == ("p99 30.0 ms is above 20 ms",)
    assert figures(good(server_ms=array("f", [1.0] * 99 + [30.0]))).passed


def test_a_step_without_chunks_proves_nothing():
    assert figures(Tally()).missed == ("no chunk was sent",)


def test_a_late_generator_voids_the_result():
    one = figures(good(lateness_ms=array("f", [0.1] * 98 + [6.0] * 2)))
    assert "p99 6.0 ms" in one.own_fault
    assert not one.passed
    assert figures(good(lateness_ms=array("f", [0.1] * 98 + [6.0] * 2)), generator_ms=7).passed


def test_a_generator_that_stood_still_voids_the_result():
    assert "stood still" in figures(good(lateness_ms=array("f", [0.1] * 999 + [41.0]))).own_fault


def test_processes_are_put_together():
    first, second = good(deviation=0.1, lost=1), good(deviation=0.2, lost=2)
    first.fault("a")
    second.fault("a")
    second.fault("b")
    both = merge([first, second])
    assert (len(both.server_ms), both.lost, both.deviation, both.cpu_seconds) == (200, 3, 0.2, pytest.approx(0.6))
    assert both.faults == {"a": 2, "b": 1}
    assert len(first.server_ms) == 100


def test_sentences_are_bounded():
    tally = Tally()
    for index in range(1000):
        tally.violation(f"fault {index}")
    assert (len(tally.faults), tally.violations) == (KEPT_FAULTS, 1000)
