"""What a tick takes: all that is due, and a bounded part of what has come faster than real time."""

import numpy as np
import pytest

from service.engine.lane import Lane
from service.engine.scheduling import EARLY_HOPS, EARLY_TICK_SECONDS, MAX_HOPS, MAX_ROWS, Pace, take_due

from .engines import HOP, Counter, hops

NOW, SECONDS = 100.0, HOP / Counter.sample_rate


def lanes(count, waiting, deadline):
    """Lanes of one network with so many hops, each due a hop after the one before."""
    network = Counter()
    ready = {Lane(network, row, print, print): None for row in range(count)}
    for lane in ready:
        lane.jobs = [(hops(0), deadline + index * SECONDS, NOW) for index in range(waiting)]
    return ready


def taken(ready, early_hops):
    """Hops of each lane that a tick takes."""
    batches = take_due(ready, NOW, early_hops)
    assert all(len(batch) <= MAX_ROWS for batch in batches)
    return {work.lane: len(work.audio) // HOP for batch in batches for work in batch}


def test_all_that_is_due_is_taken_in_one_tick():
    assert sorted(taken(lanes(80, 1, NOW), 4).values()) == [1] * 80


def test_beside_what_is_due_a_hop_each_of_what_is_early_as_far_as_there_is_room():
    early = lanes(20, 10, NOW + 1)
    due = lanes(5, 1, NOW)
    found = taken({**early, **due}, 12)
    assert [found[lane] for lane in due] == [1] * 5
    assert [found[lane] for lane in early if lane in found] == [1] * 12


@pytest.mark.parametrize(("count", "each"), [(1, MAX_HOPS), (8, MAX_HOPS), (100, MAX_HOPS // 2)])
def test_where_nothing_is_due_longer_pieces_are_taken(count, each):
    found = taken(lanes(count, 50, NOW + 1), 64)
    assert set(found.values()) == {each}
    assert len(found) == min(count, 128 // each)


def test_after_a_stop_of_the_whole_machine_no_lane_is_left_behind():
    ready, waiting = lanes(80, 60, NOW + 1), 60
    ticks = 0
    while ready:
        taken(ready, 64)
        ticks += 1
        left = [len(lane.jobs) for lane in ready]
        assert max(left, default=0) - min(left, default=0) <= MAX_HOPS or len(ready) < 80
    assert ticks <= 80 * waiting / 128 + 10


def test_how_much_is_taken_follows_what_a_hop_costs():
    for cost, most in ((1e-5, EARLY_HOPS[1]), (EARLY_TICK_SECONDS / 20, 20), (1.0, EARLY_HOPS[0])):
        pace = Pace(0.0)
        assert pace.early_hops == EARLY_HOPS[0]
        pace.observe_step(0.0, 8 * cost, 8)
        assert pace.early_hops == pytest.approx(most, abs=1), "from the first step on"
        for index in range(1, 300):
            pace.observe_step(10.0 * index, 10.0 * index + 8 * EARLY_TICK_SECONDS / 30, 8)
        assert pace.early_hops == pytest.approx(30, abs=1)


def test_the_order_of_a_lane_is_kept():
    (lane,) = ready = lanes(1, 0, NOW)
    lane.jobs = [(hops(value), NOW + 1 + value * SECONDS, NOW) for value in range(20)]
    heard = []
    while ready:
        heard += [work.audio for batch in take_due(ready, NOW, 4) for work in batch]
    assert np.concatenate(heard)[::HOP].tolist() == list(range(20))
