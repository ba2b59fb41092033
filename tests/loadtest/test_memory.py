"""What a live stream adds to a server's memory."""

import asyncio

import pytest

from loadtest.errors import LoadtestError
from loadtest.memory import WARM_UP, Reading, read_memory, stream_bytes

MESSAGES = [bytes(640)]


def test_the_slope_leaves_out_what_the_first_streams_cost():
    readings = [Reading(0, 1_000), Reading(40, 9_000), Reading(50, 9_500), Reading(100, 12_000)]
    assert stream_bytes(readings) == pytest.approx(50)


def test_streams_talk_stay_and_are_counted(running):
    counts = [WARM_UP + 2, WARM_UP + 30]
    readings = asyncio.run(read_memory(running.url, MESSAGES, counts, 0.2, lambda: 7))
    assert readings == [Reading(count, 7) for count in (0, WARM_UP, *counts)]


def test_a_server_that_refuses_ends_it_in_a_sentence(running):
    with pytest.raises(LoadtestError, match=r"let in 0 streams .*unknown_model"):
        asyncio.run(read_memory(f"{running.url}?variant=none", MESSAGES, [WARM_UP + 2], 0.2, lambda: 7))
