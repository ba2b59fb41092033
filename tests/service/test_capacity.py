"""What a stream costs, from measured steps."""

import time

import numpy as np
import pytest

from service.engine.capacity import FULL_BATCH, Capacity

HOP_SECONDS = 0.01


class Network:
    """Takes the time it is told to: a millisecond a step, and so much for each row and hop."""

    hop, sample_rate = 160, 16000
    initial_state = np.zeros(1, np.float32)

    def __init__(self, name: str, row_ms: float) -> None:
        self.name, self.row_ms = name, row_ms

    def step(self, audio, state):
        time.sleep(0.001 + self.row_ms / 1000 * len(audio) * (audio.shape[1] // self.hop))


@pytest.fixture
def capacity() -> Capacity:
    """Two variants whose steps take a fixed millisecond, and 0.1 or 0.4 ms for each row and hop."""
    made = Capacity(2, 0.5)
    for name, row in (("fast", 1e-4), ("slow", 4e-4)):
        made._times[name] = (1e-3, row)
        made._hop_seconds[name] = HOP_SECONDS
    return made


fast, slow = Network("fast", 0.1), Network("slow", 0.4)


def test_a_stream_costs_its_rows_and_its_share_of_the_steps(capacity):
    assert capacity.cost(fast) == pytest.approx((1e-3 / FULL_BATCH / 2 + 1e-4) / HOP_SECONDS)


def test_a_hop_nearly_as_long_as_a_message_bears_the_whole_step(capacity):
    longer = Network("fast", 0.1)
    longer.hop = 256
    capacity._hop_seconds["fast"] = 0.016
    assert capacity.cost(longer) == pytest.approx((1e-3 / FULL_BATCH + 1e-4) / 0.016)


def test_engine_and_event_loop_share_one_core_and_have_one_each_on_two(capacity):
    streams = [(fast, 1), (slow, 2)]
    engine = capacity.cost(fast) + 2 * capacity.cost(slow)
    loop = 2 * capacity.loop_cost
    assert capacity.load(streams) == pytest.approx(max(engine, loop))
    capacity._cores = 1
    assert capacity.load(streams) == pytest.approx(engine + loop)


def test_streams_fit_up_to_the_load_and_no_further(capacity):
    most = int(0.5 / capacity.cost(slow))
    assert capacity.fits([(slow, 1)] * most)
    assert not capacity.fits([(slow, 1)] * (most + 1))


def test_slower_steps_than_predicted_leave_room_for_fewer_and_normal_ones_bring_it_back(capacity):
    before = capacity.cost(fast)
    for _ in range(2000):
        capacity.observe_step("fast", 10, 2, 3 * (1e-3 + 20 * 1e-4))
    assert capacity.cost(fast) == pytest.approx(3 * before, rel=0.01)
    for _ in range(4000):
        capacity.observe_step("fast", 1, 1, 1.1e-3)
    assert capacity.cost(fast) == pytest.approx(before, rel=0.02)


def test_a_variant_that_was_not_timed_changes_no_estimate(capacity):
    capacity.observe_step("other", 1, 1, 100.0)
    assert capacity.slowdown == 1


def test_the_event_loops_time_is_taken_per_second_of_audio(capacity):
    for _ in range(100):
        capacity.observe_loop(0.2, 50.0)
    assert capacity.loop_cost == pytest.approx(0.004, rel=0.01)
    capacity.observe_loop(0.2, 0.0)  # no stream, other work
    assert capacity.loop_cost == pytest.approx(0.004, rel=0.01)


def test_what_a_bad_moment_left_behind_is_forgotten_once_there_are_no_streams(capacity):
    streams = [(fast, 1)]
    assert capacity.fits(streams)
    capacity.observe_step("fast", 1, 1, 3600.0)  # the machine was suspended meanwhile
    assert capacity.slowdown < 2
    for _ in range(200):
        capacity.observe_loop(1.0, 1.0)
        capacity.observe_step("fast", 10, 2, 3600.0)
    assert not capacity.fits(streams)
    for _ in range(400):
        capacity.rest(0.25)
    assert capacity.fits(streams)
    assert (capacity.slowdown, capacity.loop_cost) == (pytest.approx(1, abs=0.01), pytest.approx(0.002, abs=1e-4))


def test_the_costlier_of_two_variants_is_measured_as_such():
    capacity = Capacity(2, 0.5)
    cheap, dear = Network("cheap", 0.1), Network("dear", 2.0)
    for network in (cheap, dear):
        capacity.calibrate(network)
    assert capacity.cost(dear) > 3 * capacity.cost(cheap) > 0
