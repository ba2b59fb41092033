"""Event loop and engine on one processor: a turn at a time, and what happens when a turn does not end."""

import asyncio
import time
from functools import partial

from service.engine import turns

from .engines import Counter, hops, lane, run_with_engine, until

in_turns = partial(run_with_engine, True)


def waits_for_turns(engine):
    """Grows with each time that the event loop waits."""
    waits, wait_for = [], engine._wake.wait_for

    def wait(predicate, timeout=None):
        if timeout is not None:
            waits.append(timeout)
        return wait_for(predicate, timeout)

    engine._wake.wait_for = wait
    return waits


def test_the_event_loop_stands_still_while_the_engine_steps(monkeypatch):
    monkeypatch.setattr(turns, "TURN_SECONDS", 10.0)

    class Slow(Counter):
        def step(self, audio, state):
            begun.append(len(ticks))
            time.sleep(0.05)
            ended.append(len(ticks))
            return super().step(audio, state)

    ticks, begun, ended = [], [], []

    async def work(engine):
        one = lane(engine, Slow())
        for value in range(3):
            engine.submit(one.lane, hops(value), 0.0)
            while len(one.sums) <= value:
                await asyncio.sleep(0)
                ticks.append(None)
        assert begun == ended

    in_turns(work)


def test_what_comes_in_one_turn_of_the_event_loop_is_stepped_together():
    async def work(engine):
        network = Counter()
        lanes = [lane(engine, network) for _ in range(9)]
        for value, one in enumerate(lanes):
            engine.submit(one.lane, hops(value), 0.0)
        await until(lambda: all(one.sums for one in lanes))
        assert [sorted(rows) for rows, _ in network.batches] == [list(range(9))]

    in_turns(work)


def test_a_step_that_does_not_end_holds_the_event_loop_up_only_once():
    async def work(engine):
        network = Counter()
        network.gate.clear()
        one, other, waits = lane(engine, network), lane(engine, network), waits_for_turns(engine)
        engine.submit(one.lane, hops(1), 0.0)
        await until(network.entered.is_set)
        for value in range(20):
            engine.submit(other.lane, hops(value), 0.0)
            await asyncio.sleep(0.002)
        assert len(waits) == 1
        network.gate.set()
        await until(lambda: one.sums == [1] and other.sums == [sum(range(end)) for end in range(1, 21)])

    in_turns(work)


def test_an_engine_that_has_died_holds_the_event_loop_up_only_once(monkeypatch, caplog):
    monkeypatch.setattr("service.engine.thread.take_due", lambda *_: 1 / 0)

    async def work(engine):
        one, waits = lane(engine, Counter()), waits_for_turns(engine)
        for value in range(20):
            engine.submit(one.lane, hops(value), 0.0)
            await asyncio.sleep(0.002)
        assert not engine.alive
        assert 1 <= len(waits) <= 2  # in one it dies, in the other it is dead

    with caplog.at_level("CRITICAL"):
        in_turns(work)
