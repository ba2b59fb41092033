"""Signals to a real server under live streams; `python -m tests.trials.faults_under_load` has a hundred of them."""

import asyncio
import signal

import pytest

from models.zoo import load_variant

from .client import until
from .crowd import Plan, broken_promises, live_through, sounds
from .process import started

VARIANTS = ["crn/original"]


@pytest.fixture(scope="module")
def heard(zoo_folder):
    return sounds(load_variant(zoo_folder / "crn/original.onnx"), 60)


def roles(outcomes):
    """How many streams of each kind ended with which code."""
    return sorted({(one.role, one.code, sum(one.role == other.role for other in outcomes)) for one in outcomes})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_costs_no_sample_of_a_stream_that_ends_in_time(zoo_folder, tmp_path, heard, number):
    with started(tmp_path, "--zoo", zoo_folder, "--drain-seconds", 60, variants=VARIANTS) as served:
        plan = Plan(6, 0, seconds=0.5, ending_seconds=1.5, drain_seconds=60)
        outcomes = asyncio.run(live_through(served.url, heard, plan, lambda: served.process.send_signal(number)))
        assert served.process.wait(60) == 0
    assert broken_promises(outcomes, killed=False) == []
    assert roles(outcomes) == [("ends", 1000, 6)]


def test_a_stop_tells_the_streams_that_do_not_end(zoo_folder, tmp_path, heard):
    with started(tmp_path, "--zoo", zoo_folder, "--drain-seconds", 1, variants=VARIANTS) as served:
        plan = Plan(0, 4, seconds=0.5, ending_seconds=0, drain_seconds=1)
        outcomes = asyncio.run(live_through(served.url, heard, plan, served.process.terminate))
        assert served.process.wait(60) == 0
    assert broken_promises(outcomes, killed=False) == []
    assert roles(outcomes) == [("stays", 1012, 4)]


def test_what_was_received_from_a_server_that_is_killed_is_right(zoo_folder, tmp_path, heard):
    with started(tmp_path, "--zoo", zoo_folder, variants=VARIANTS) as served:
        plan = Plan(0, 8, seconds=1.0, ending_seconds=0, drain_seconds=0)
        outcomes = asyncio.run(live_through(served.url, heard, plan, served.process.kill))
    assert broken_promises(outcomes, killed=True) == []
    assert roles(outcomes) == [("stays", 1006, 8)]
    assert any(one.received for one in outcomes)


def test_a_rolling_restart_loses_no_sample_and_refuses_nobody(zoo_folder, tmp_path, heard):
    flags = ["--zoo", zoo_folder, "--workers", 2, "--drain-seconds", 60, "--log-level", "warning"]
    with started(tmp_path, *flags, variants=VARIANTS) as served:
        before = served.workers

        async def replaced():
            await until(lambda: len(served.workers) == 2 and not served.workers & before, 120)

        plan = Plan(6, 0, seconds=0.5, ending_seconds=1.5, drain_seconds=60, newcomer_seconds=0.2)
        strike = lambda: served.process.send_signal(signal.SIGHUP)  # noqa: E731
        outcomes = asyncio.run(live_through(served.url, heard, plan, strike, replaced))
        assert served.log == ""
    assert broken_promises(outcomes, killed=False) == []
    assert [role[:2] for role in roles(outcomes)] == [("comes", 1000), ("ends", 1000)]
