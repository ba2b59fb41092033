"""Due times, and the wheel that keeps them."""

import asyncio
import random

import pytest

from loadtest.clock import SLOTS, Network, Schedule, TimerWheel


def ticks(network, count=1000, start=100, period=20, seed=0):
    schedule = Schedule(start, period, network, random.Random(seed))
    return [schedule.next() for _ in range(count)]


def test_without_delays_chunks_are_due_when_the_microphone_has_them():
    assert ticks(Network(), 5) == [100, 120, 140, 160, 180]


def test_jitter_holds_back_by_no_more_than_it_says_and_keeps_order():
    due = ticks(Network(jitter_ms=50))
    held = [tick - (100 + 20 * index) for index, tick in enumerate(due)]
    assert due == sorted(due)
    assert min(held) >= 0
    assert max(held) <= 50
    assert len(set(held)) > 20


def test_bursts_release_chunks_together_when_the_last_is_due():
    due = ticks(Network(burst_chunks=4, burst_seconds=0.2))
    held = [tick - (100 + 20 * index) for index, tick in enumerate(due)]
    assert due == sorted(due)
    assert set(held) == {0, 20, 40, 60}
    first = held.index(60)
    assert held[first : first + 4] == [60, 40, 20, 0]
    assert 40 < held.count(60) < 100  # one begins 200 ms after the last one's end, in the mean, and takes 80 ms


def test_what_was_recorded_while_the_stream_connected_comes_at_once_and_the_rest_as_the_microphone_has_it():
    assert ticks(Network(lead_ms=50), 6) == [100, 100, 100, 110, 130, 150]


def test_the_same_seed_gives_the_same_schedule():
    network = Network(30, 3, 0.5)
    assert ticks(network, seed=1) == ticks(network, seed=1) != ticks(network, seed=2)


class Recorder:
    def __init__(self, again=()):
        self.fired, self.again = [], list(again)

    def fire(self, tick):
        self.fired.append(tick)
        if self.again:
            self.wheel.add(self.again.pop(0), self)


def turn(recorder, add, seconds=0.1):
    async def run():
        recorder.wheel = TimerWheel(asyncio.get_running_loop())
        add(recorder.wheel)
        await asyncio.sleep(seconds)
        recorder.wheel.stop()

    asyncio.run(run())
    return recorder.fired


def test_the_wheel_calls_in_order_and_never_early():
    recorder = Recorder()
    due = [30, 10, 20, 20]
    assert turn(recorder, lambda wheel: [wheel.add(tick, recorder) for tick in due]) == [10, 20, 20, 30]


def test_what_is_late_already_is_called_at_the_next_tick():
    recorder = Recorder(again=[5])
    fired = turn(recorder, lambda wheel: wheel.add(10, recorder))
    assert fired == [10, 11]


def test_what_is_too_far_ahead_is_refused():
    recorder = Recorder()
    with pytest.raises(ValueError, match="beyond"):
        turn(recorder, lambda wheel: wheel.add(SLOTS, recorder))
