"""Faults of the engine: a row that is no longer finite, a step that raises, hangs or takes the thread with it."""

import asyncio
import contextlib
import threading

import httpx
import numpy as np
import pytest

from models.offline import enhance
from models.zoo import Variant
from service.engine.thread import Engine
from service.engine.watchdog import Watchdog

from .client import END, encode, live, noise, receive, stream, talk, until
from .engines import Counter, blocked, hops, lane
from .engines import until as soon

LOUD = 0.9  # a value that only the stream with the fault sends


class Poisoned(Counter):
    """A state becomes infinite at 777, an output NaN at 888, and both are as large as they may be at 999."""

    def step(self, audio, state):
        out, following = super().step(audio, state)
        following = np.where((audio == 777).any(axis=1, keepdims=True), np.float32(np.inf), following)
        out = np.where(audio == 888, np.float32(np.nan), out)
        large = (audio == 999).any(axis=1, keepdims=True)
        return np.where(large, np.finfo(np.float32).max, out), np.where(large, np.finfo(np.float32).max, following)


@pytest.mark.parametrize("poison", [777, 888])
def test_a_row_that_is_not_finite_begins_anew_and_no_other_is_touched(poison, caplog, with_engine):
    async def work(engine):
        network = Poisoned()
        bad, good = lane(engine, network), lane(engine, network)
        for value in (5, poison, 3, 4):
            seen = len(bad.sums)
            network.gate.clear()
            engine.submit(bad.lane, hops(value), 0.0)
            engine.submit(good.lane, hops(1), 0.0)
            network.gate.set()
            await soon(lambda seen=seen: len(bad.sums) > seen and len(good.sums) > seen)
        assert bad.sums == [5, 0, 3, 7]
        assert good.sums == [1, 2, 3, 4]
        assert (bad.lane.resets, good.lane.resets) == (1, 0)

    with caplog.at_level("ERROR"):
        with_engine(work)


def test_values_whose_sum_is_too_large_are_no_fault(with_engine):
    async def work(engine):
        one = lane(engine, Poisoned())
        engine.submit(one.lane, hops(999), 0.0)
        await soon(lambda: one.sums)
        assert one.lane.resets == 0
        assert np.isfinite(one.sums).all()

    with_engine(work)


def test_only_the_row_that_raises_fails_and_the_rest_of_its_batch_goes_on(caplog, with_engine):
    async def work(engine):
        network = Counter()
        await blocked(engine, network)
        lanes = [lane(engine, network) for _ in range(5)]
        for value, one in enumerate(lanes):
            engine.submit(one.lane, hops(666 if value == 2 else value), 0.0)
        network.gate.set()
        await soon(lambda: lanes[2].failures and all(one.sums for one in lanes if one is not lanes[2]))
        for one in lanes:
            engine.submit(one.lane, hops(10), 0.0)
        await soon(lambda: all(len(one.sums) == 2 for one in lanes if one is not lanes[2]))
        assert [one.sums for one in lanes] == [[0, 10], [1, 11], [], [3, 13], [4, 14]]
        assert [len(one.failures) for one in lanes] == [0, 0, 1, 0, 0]

    with caplog.at_level("CRITICAL"):
        with_engine(work)


def test_an_engine_that_hangs_stops_without_its_thread(monkeypatch):
    monkeypatch.setattr("service.engine.thread.STOP_SECONDS", 0.05)

    async def work():
        engine, network = Engine(asyncio.get_running_loop(), 10, lambda *_: None), Counter()
        engine.start()
        one = lane(engine, network)
        network.gate.clear()
        engine.submit(one.lane, hops(1), 0.0)
        await soon(network.entered.is_set)
        engine.stop()
        assert engine.alive
        network.gate.set()
        await soon(lambda: not engine.alive)
        assert one.sums == []

    asyncio.run(work())


def test_time_in_which_the_event_loop_stood_still_is_not_held_against_the_engine():
    class Stepping:
        alive, step_number = True, 1

    watchdog = Watchdog(5)
    assert watchdog.check(Stepping, 0.0) is None
    assert watchdog.check(Stepping, 1000.0) is None  # stopped by SIGSTOP, say
    assert [watchdog.check(Stepping, 1000 + tick / 4) is None for tick in range(1, 30)].count(True) == 18
    Stepping.step_number = 2
    assert watchdog.check(Stepping, 1010.0) is None


def marked(audio):
    return (np.abs(audio) > 0.6).any(axis=1)


def loud(seconds):
    audio = noise(seconds)
    audio[:, audio.shape[1] // 2 :] = LOUD
    return audio


def test_a_stream_whose_state_goes_bad_goes_on_and_is_told_in_its_summary(serve, monkeypatch):
    step = Variant.step

    def poisoned(self, audio, state):
        out, following = step(self, audio, state)
        following = following.copy()
        following[marked(audio)] = np.nan
        return out, following

    monkeypatch.setattr(Variant, "step", poisoned)

    async def both(running):
        return await asyncio.gather(stream(running.url, loud(0.2)), stream(running.url, noise(0.5, 2)))

    with serve() as running:
        sick, well = asyncio.run(both(running))
        counted = running.runtime.metrics.registry.get_sample_value("quietwire_rows_reset_total")
    assert sick.summary["samples_out"] == 3200
    assert sick.summary["resets"] == counted > 0
    assert well.summary["resets"] == 0
    np.testing.assert_allclose(well.audio, enhance(running.variant("crn/original"), noise(0.5, 2)), atol=1e-4)


@contextlib.contextmanager
def faulty(monkeypatch, fault):
    """Steps with a loud row do something else; ``held`` is what the first step of an engine's trial waits for."""
    step, held = Variant.step, threading.Event()

    def broken(self, audio, state):
        if marked(audio).any():
            fault()
        if audio.shape == (1, self.hop) and not audio.any():
            held.wait(10)
        return step(self, audio, state)

    with monkeypatch.context() as patch:
        patch.setattr(Variant, "step", broken)
        yield held


async def recovers(running, held, kind, before):
    """Streams are told, the server is not ready with a reason, and then serves again."""
    metrics = running.runtime.metrics.registry
    async with httpx.AsyncClient(base_url=running.http) as web, live(running.url) as idle:
        events = []
        waiting = asyncio.create_task(receive(idle, events))
        await idle.send(encode(noise(0.1)))
        await until(lambda: any(isinstance(event, bytes) for event in events))
        failed = await talk(running.url, [encode(loud(0.1)), END])
        assert (failed.close_code, failed.error["code"]) == (1011, "internal")
        assert await waiting == 1011  # it had done nothing wrong, but its state is lost
        assert events[-1]["code"] == "internal"
        answer = await web.get("/readyz")
        assert (answer.status_code, answer.json()["reason"]) == (503, before)
        refused = await talk(running.url, [END])
        assert refused.close_code == 1011
        held.set()
        while (await web.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
    assert metrics.get_sample_value("quietwire_engine_restarts_total", {"kind": kind}) == 1
    result = await stream(running.url, noise(0.5))
    np.testing.assert_allclose(result.audio, enhance(running.variant("crn/original"), noise(0.5)), atol=1e-4)


@pytest.mark.parametrize("processors", [2, 1])
def test_an_engine_that_hangs_is_replaced(serve, monkeypatch, caplog, processors):
    released = threading.Event()
    with (
        caplog.at_level("CRITICAL"),
        faulty(monkeypatch, lambda: released.wait(20)) as held,
        serve(processors, max_step_seconds=0.3) as one,
    ):
        first = one.runtime.engine
        asyncio.run(recovers(one, held, "hang", "the engine has been in one step for more than 0.3 s"))
        assert one.runtime.engine is not first
        released.set()
        asyncio.run(until(lambda: not first.alive))
    assert "takes its place" in caplog.text


@pytest.mark.parametrize("processors", [2, 1])
def test_an_engine_whose_thread_dies_is_replaced(serve, monkeypatch, caplog, processors):
    def die():
        raise SystemExit  # not an Exception: nothing in the engine holds it up

    with caplog.at_level("CRITICAL"), faulty(monkeypatch, die) as held, serve(processors) as one:
        asyncio.run(recovers(one, held, "death", "the engine has stopped"))


def test_engines_that_hang_again_and_again_are_replaced_only_so_often(serve, monkeypatch, caplog):
    released = threading.Event()
    step = Variant.step

    def hang(self, audio, state):
        if threading.current_thread().name == "engine":
            released.wait(30)
        return step(self, audio, state)

    def engines():
        return sum(thread.name == "engine" for thread in threading.enumerate())

    monkeypatch.setattr("service.engine.watchdog.PERIOD_SECONDS", 0.05)
    monkeypatch.setattr("service.runtime.PERIOD_SECONDS", 0.05)
    others = engines()  # of the servers of other tests
    with caplog.at_level("CRITICAL"), serve(max_step_seconds=0.1) as running:
        monkeypatch.setattr(Variant, "step", hang)
        assert asyncio.run(talk(running.url, [encode(noise(0.1)), END])).close_code == 1011
        asyncio.run(until(lambda: "restart the server" in (running.runtime.not_ready_reason() or "")))
        asyncio.run(asyncio.sleep(0.3))
        assert engines() <= others + 4
        released.set()
