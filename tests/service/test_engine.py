"""The engine alone: batches, urgency, rows of state, and faults, with a network that counts."""

import asyncio
import time

import numpy as np
import pytest

from service.engine.scheduling import MAX_HOPS, MAX_ROWS

from .engines import HOP, Counter, blocked, hops, lane, until


def test_every_lane_gets_its_own_output_in_order(with_engine):
    async def work(engine):
        lanes = [lane(engine, network) for network in (Counter("a"), Counter("b")) for _ in range(5)]
        for value in range(1, 40):
            for index, one in enumerate(lanes):
                engine.submit(one.lane, hops(value * 10**-index, 0), time.perf_counter())
        await until(lambda: all(len(one.sums) == 78 for one in lanes))
        for index, one in enumerate(lanes):
            expected = np.repeat(np.cumsum(np.arange(1, 40)), 2) * 10.0**-index
            np.testing.assert_allclose(one.sums, expected, rtol=1e-4)

    with_engine(work)


def test_a_row_is_clean_for_the_next_lane(with_engine):
    async def work(engine):
        network = Counter()
        for _ in range(3):
            one = lane(engine, network)
            engine.submit(one.lane, hops(5), 0.0)
            await until(lambda one=one: one.sums)
            assert one.sums == [5]
            engine.close(one.lane)
        assert engine.lanes == 0

    with_engine(work, capacity=1)


def test_there_are_only_so_many_rows(with_engine):
    async def work(engine):
        network = Counter()
        lanes = [lane(engine, network) for _ in range(3)]
        assert not engine.has_room(network, 1)
        assert engine.has_room(Counter("other"), 3)
        with pytest.raises(MemoryError):
            lane(engine, network)
        engine.close(lanes[1].lane)
        engine.close(lanes[1].lane)  # twice gives one row back
        assert engine.has_room(network, 1)
        assert not engine.has_room(network, 2)

    with_engine(work, capacity=3)


def test_a_lane_that_is_closed_during_its_step_gets_nothing_and_leaves_its_successor_alone(with_engine):
    async def work(engine):
        network = Counter()
        first = await blocked(engine, network, 100)
        engine.close(first.lane)
        second = lane(engine, network)  # in the same row
        engine.submit(second.lane, hops(1), 0.0)
        network.gate.set()
        await until(lambda: second.sums)
        assert second.sums == [1]
        assert first.sums == []
        engine.submit(first.lane, hops(1), 0.0)  # too late, and ignored

    with_engine(work, capacity=1)


def test_a_lane_that_is_closed_after_its_step_gets_nothing_either(with_engine):
    async def work(engine):
        delivered = []

        def close_all(audio, timing):
            delivered.append(audio)
            for one in lanes:
                engine.close(one)

        networks = [Counter("a"), Counter("b")]
        lanes = [engine.open(network, close_all, pytest.fail) for network in networks]
        await blocked(engine, networks[0])
        for one in lanes:
            engine.submit(one, hops(5), 0.0)
        networks[0].gate.set()
        await until(lambda: all(network.batches[-1:] == [([5], 1)] for network in networks))
        await asyncio.sleep(0.02)
        assert len(delivered) == 1

    with_engine(work)


@pytest.fixture
def few_early_hops(monkeypatch):
    """However fast the network is, what has come too fast gets four hops of a tick."""
    monkeypatch.setattr("service.engine.scheduling.EARLY_HOPS", (4, 4))
    return 4


def test_what_is_due_is_stepped_before_what_is_ahead_of_real_time(with_engine, few_early_hops):
    async def work(engine):
        network = Counter()
        await blocked(engine, network)
        now = time.perf_counter()
        early = [lane(engine, network) for _ in range(40)]
        for index, one in enumerate(early):
            engine.submit(one.lane, hops(1000 + index), now + 100 + index)
        due = [lane(engine, network) for _ in range(40)]
        for index, one in enumerate(due):
            engine.submit(one.lane, hops(1 + index), now - index)
        network.gate.set()
        await until(lambda: all(one.sums for one in early + due))
        rows = [row for batch, _ in network.batches[1:] for row in batch]
        first = rows[: 40 + few_early_hops]
        assert {row for row in first if row < 1000} == set(range(1, 41))
        assert [row for row in rows if row >= 1000] == [1000 + index for index in range(40)]  # the most urgent first
        assert max(len(batch) for batch, _ in network.batches) <= MAX_ROWS

    assert len(with_engine(work)) > 10


def test_what_is_ahead_of_real_time_takes_little_of_a_step_that_somebody_live_waits_for(with_engine, few_early_hops):
    async def work(engine):
        network = Counter()
        await blocked(engine, network)
        early, due = [lane(engine, network) for _ in range(6)], lane(engine, network)
        for one in early:
            engine.submit(one.lane, hops(*[1000] * 2 * MAX_HOPS), time.perf_counter() + 100)
        engine.submit(due.lane, hops(1), time.perf_counter())
        network.gate.set()
        await until(lambda: all(len(one.sums) == 2 * MAX_HOPS for one in early))
        counts = [(len(batch), count) for batch, count in network.batches[1:]]
        assert counts[0] == (1 + few_early_hops, 1)
        assert max(rows * count for rows, count in counts[1:]) == 2 * few_early_hops
        assert due.sums == [1]

    with_engine(work)


def test_the_later_part_of_a_long_piece_waits_like_what_is_ahead_of_real_time(with_engine, few_early_hops):
    async def work(engine):
        network = Counter()
        await blocked(engine, network)
        long = [lane(engine, network) for _ in range(7)]
        for one in long:
            engine.submit(one.lane, hops(*[1000] * 200 * MAX_HOPS), time.perf_counter())  # due now, and over a long time
        network.gate.set()
        await until(lambda: all(one.sums for one in long))
        seconds = 200 * MAX_HOPS * HOP / network.sample_rate
        assert engine.lag < 1 < seconds
        await until(lambda: all(len(one.sums) == 200 * MAX_HOPS for one in long))
        assert len(network.batches[1][0]) == len(long)  # the first parts were due, all at once
        assert max(len(batch) * count for batch, count in network.batches[3:]) == 2 * few_early_hops

    with_engine(work)


def test_a_backlog_is_stepped_in_long_pieces_without_a_change(with_engine):
    async def work(engine):
        network = Counter()
        one = await blocked(engine, network, 1)
        engine.submit(one.lane, hops(*range(100, 120)), 0.0)
        for value in range(9):
            engine.submit(one.lane, hops(value), 0.0)
        network.gate.set()
        await until(lambda: len(one.sums) == 30)
        assert one.sums == np.cumsum([1, *range(100, 120), *range(9)]).tolist()
        assert [count for _, count in network.batches] == [1, MAX_HOPS, MAX_HOPS, MAX_HOPS, 5]

    with_engine(work)


def test_a_step_that_raises_is_told_to_its_lanes_and_the_engine_goes_on(caplog, with_engine):
    async def work(engine):
        network, other = Counter(), Counter("other")
        bad, good = lane(engine, network), lane(engine, other)
        engine.submit(bad.lane, hops(666), 0.0)
        engine.submit(good.lane, hops(7), 0.0)
        await until(lambda: bad.failures and good.sums)
        assert isinstance(bad.failures[0], ValueError)
        assert (bad.sums, good.sums, good.failures) == ([], [7], [])

    with caplog.at_level("CRITICAL"):
        with_engine(work)


def test_a_receiver_that_raises_does_not_reach_the_next(caplog, with_engine):
    async def work(engine):
        network = Counter()
        network.gate.clear()
        broken = engine.open(network, lambda *_: 1 / 0, print)
        fine = lane(engine, network)
        engine.submit(broken, hops(1), 0.0)
        engine.submit(fine.lane, hops(2), 0.0)
        network.gate.set()
        await until(lambda: fine.sums)

    with caplog.at_level("CRITICAL"):
        with_engine(work)


def test_what_waits_is_told_in_seconds_and_lags_only_once_it_is_due(with_engine):
    async def work(engine):
        network = Counter()
        first, second = lane(engine, network), lane(engine, network)
        assert (engine.lag, engine.waiting_seconds) == (0, 0)
        network.gate.clear()
        engine.submit(first.lane, hops(1), 0.0)
        await until(network.entered.is_set)
        engine.submit(second.lane, hops(1, 2, 3), time.perf_counter() + 100)
        assert engine.lag < 0
        assert engine.waiting_seconds == 3 * HOP / network.sample_rate
        engine.submit(first.lane, hops(4), 0.0)
        await until(lambda: engine.lag > 0.01)
        network.gate.set()
        await until(lambda: len(second.sums) == 3 and len(first.sums) == 2)
        assert (engine.lag, engine.waiting_seconds) == (0, 0)

    with_engine(work)


def test_timings_tell_the_batch(with_engine):
    async def work(engine):
        one = lane(engine, Counter())
        engine.submit(one.lane, hops(1), 0.0)
        await until(lambda: one.timings)
        (timing,) = one.timings
        assert timing.batch == 1
        assert timing.queue >= 0
        assert timing.compute > 0

    assert with_engine(work) == [("counter", 1)]
