"""When a stream's audio is due: as it comes, and what comes faster than it is stepped no faster than in real time."""

from types import SimpleNamespace

import numpy as np
import pytest

from service.engine.lane import Timing
from service.live.stream import BURST_SECONDS, EnhancementStream

HOP, RATE = 160, 16000
CHUNK = np.zeros((1, 320), np.float32)
SECONDS = CHUNK.shape[1] / RATE
VARIANT = SimpleNamespace(hop=HOP, delay=0, sample_rate=RATE)


class PatientEngine:
    """Keeps what it is handed until it is told to step, and the deadlines."""

    def __init__(self):
        self.waiting, self.deadlines = [], []

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
    monkeypatch.setattr("service.live.stream.time", SimpleNamespace(perf_counter=lambda: clock.now))
    engine = PatientEngine()
    stream = EnhancementStream(engine, VARIANT, RATE, 1, 100, lambda audio: None, lambda: None, pytest.fail)

    def feed(count):
        for _ in range(count):
            stream.feed(CHUNK)

    return engine, clock, feed


def due(engine, clock):
    """Seconds of what waits that are due now."""
    deadlines = engine.deadlines[len(engine.deadlines) - len(engine.waiting) :]
    return SECONDS * sum(deadline <= clock.now for deadline in deadlines)


def test_what_comes_in_real_time_is_due_as_it_comes(fed):
    engine, clock, feed = fed
    for _ in range(100):
        feed(1)
        assert due(engine, clock) == pytest.approx(SECONDS)
        engine.step()
        clock.now += SECONDS


def test_what_comes_in_real_time_is_due_however_long_the_engine_takes(fed):
    engine, clock, feed = fed
    for index in range(500):
        feed(1)
        assert due(engine, clock) == pytest.approx((index + 1) * SECONDS)
        clock.now += SECONDS
    assert np.diff(engine.deadlines) == pytest.approx(SECONDS)  # the oldest first


@pytest.mark.parametrize("drift", [0.99, 0.9999, 1.0001])
def test_a_clock_that_is_not_the_server_s_makes_no_stream_less_urgent(fed, drift):
    engine, clock, feed = fed
    for _ in range(20_000):
        feed(1)
        assert due(engine, clock) == pytest.approx(SECONDS)
        engine.step()
        clock.now += drift * SECONDS


def test_a_client_that_begins_with_what_it_has_recorded_while_it_connected_is_live_from_then_on(fed):
    engine, clock, feed = fed
    feed(round(1.0 / SECONDS))
    engine.step()
    for _ in range(100):
        feed(1)
        assert due(engine, clock) == pytest.approx(SECONDS)
        engine.step()
        clock.now += SECONDS


@pytest.mark.parametrize("silence", [0.0, 25.0], ids=["ahead of time", "after a silence"])
def test_of_what_comes_at_once_a_fraction_of_a_second_is_due_and_the_rest_as_time_goes_by(fed, silence):
    engine, clock, feed = fed
    feed(1)
    engine.step()
    clock.now += silence
    feed(round(25 / SECONDS))
    assert due(engine, clock) == pytest.approx(BURST_SECONDS, abs=2 * SECONDS)
    clock.now += 1.0
    assert due(engine, clock) == pytest.approx(1.0 + BURST_SECONDS, abs=2 * SECONDS)
