"""When a stream's audio is due: in real time, and of a client that catches up no more than what would come in real time."""

from types import SimpleNamespace

import numpy as np
import pytest

from service.lane import Timing
from service.stream import LATE_SECONDS, EnhancementStream

HOP, RATE = 160, 16000
CHUNK = np.zeros((1, 320), np.float32)
SECONDS = CHUNK.shape[1] / RATE
VARIANT = SimpleNamespace(hop=HOP, delay=0, sample_rate=RATE)


class PatientEngine:
    """Keeps what it is handed until it is told to step; notes how much of it is due when it comes, as far as deadlines say."""

    def __init__(self, clock):
        self.clock, self.waiting, self.deadlines = clock, [], []

    def open(self, variant, deliver, fail):
        self.deliver = deliver
        return deliver

    def submit(self, lane, audio, deadline):
        self.waiting.append(audio)
        self.deadlines.append(deadline)

    def step(self):
        while self.waiting:
            self.deliver(self.waiting.pop(0), Timing(0.0, 0.0, 1))


@pytest.fixture
def fed(monkeypatch):
    """Feeds a stream; gives the engine, the clock, and a function that feeds so many chunks at once."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("service.stream.time", SimpleNamespace(perf_counter=lambda: clock.now))
    engine = PatientEngine(clock)
    stream = EnhancementStream(engine, VARIANT, RATE, 1, 100, lambda audio: None, lambda: None, pytest.fail)

    def feed(count):
        for _ in range(count):
            stream.feed(CHUNK)

    return engine, clock, feed


def test_what_comes_in_real_time_is_due_as_it_comes(fed):
    engine, clock, feed = fed
    for _ in range(100):
        feed(1)
        engine.step()
        clock.now += SECONDS
    assert engine.deadlines == pytest.approx([1000 + index * SECONDS for index in range(100)])


def test_what_comes_in_real_time_is_due_however_long_the_engine_takes(fed):
    engine, clock, feed = fed
    for _ in range(500):
        feed(1)
        clock.now += SECONDS
    assert engine.deadlines == pytest.approx([1000 + index * SECONDS for index in range(500)])


def test_a_late_burst_of_a_fraction_of_a_second_goes_before_others(fed):
    engine, clock, feed = fed
    feed(1)
    clock.now += 20 * SECONDS
    feed(20)
    assert engine.deadlines == pytest.approx([1000 + index * SECONDS for index in range(21)])


def test_a_client_that_catches_up_after_a_long_silence_goes_before_others_with_its_first_half_second_only(fed):
    engine, clock, feed = fed
    feed(1)
    engine.step()
    clock.now += 25.0
    feed(round(25 / SECONDS))
    late = [deadline for deadline in engine.deadlines[1:] if deadline <= clock.now]
    assert len(late) * SECONDS == pytest.approx(LATE_SECONDS, abs=2 * SECONDS)
    assert engine.deadlines == sorted(engine.deadlines)
    engine.step()
    clock.now += SECONDS
    feed(1)
    assert engine.deadlines[-1] <= clock.now, "it has caught up, and is live again"


def test_a_client_ahead_of_real_time_is_due_in_real_time(fed):
    engine, _, feed = fed
    for _ in range(100):
        feed(1)
        engine.step()
    assert engine.deadlines == pytest.approx([1000 + index * SECONDS for index in range(100)])
