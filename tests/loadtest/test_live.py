"""Microphones against a real server, and against one with faults."""

import asyncio
import time

import numpy as np
import pytest

from loadtest.audio import make_recording
from loadtest.clock import Network
from loadtest.errors import LoadtestError
from loadtest.fleet import run_fleet, split
from loadtest.generator import Job, generate
from loadtest.measure import Bars, evaluate
from loadtest.single import run_single

from ..service.client import noise, tones
from .impostor import LATENCY_MS, impostor

QUERY = "?sample_rate=16000&encoding=pcm_s16le&channels=1&stats=chunk"
LOOSE = Bars(p99_ms=1e6, late_ms=1e6, generator_ms=1e6)


def recordings(count=1):
    sounds = [noise(0.4, seed=3)[0], tones(0.5)]
    return tuple(make_recording(f"{index}", (32000 * sounds[index]).astype(np.int16), 16000, 20) for index in range(count))


def job(url, streams=4, seconds=0.25, heard=1, known=1.0, **changes):
    audio = recordings(heard)
    references = tuple(asyncio.run(run_single(url + QUERY, {}, one, known)).reference for one in audio)
    values = {
        "url": url + QUERY,
        "headers": {},
        "microphones": tuple(range(streams)),
        "streams": streams,
        "seconds": seconds,
        "ramp": 0.05,
        "chunk_ms": 20,
        "network": Network(),
        "hang_up_seconds": None,
        "recordings": audio,
        "references": references,
        "tolerance": 1e-3,
        "seed": 0,
    }
    return Job(**{**values, **changes})


def figures(tally, one):
    return evaluate(tally, one.streams, one.seconds, one.ramp, 16000, LOOSE)


def test_a_real_server_gives_every_stream_what_a_single_one_gets(running):
    one = job(running.url, streams=6, seconds=0.6, heard=2)
    said = []
    tally = asyncio.run(generate(one, said.append))
    step = figures(tally, one)
    assert step.missed == ()
    assert (tally.started, tally.ended, tally.lost, tally.violations) == (6, 6, 0, 0)
    assert len(tally.server_ms) == len(tally.client_ms) == len(tally.lateness_ms) == tally.sent // 320
    assert tally.compared > 0.7 * tally.sent
    assert tally.deviation <= 2 / 32768
    assert max(progress.live for progress in said) > 0


def test_jitter_bursts_and_hang_ups_change_nothing_in_the_audio(running):
    one = job(running.url, seconds=0.6, network=Network(30, 4, 0.2, 100), hang_up_seconds=0.2)
    tally = asyncio.run(generate(one))
    assert tally.hung_up > 2
    assert tally.started == tally.hung_up + tally.ended
    assert figures(tally, one).missed == ()
    assert tally.compared > 0


def test_a_stream_goes_on_beyond_the_single_stream_and_the_recording(running):
    one = job(running.url, streams=1, seconds=0.7, known=0.5)
    tally = asyncio.run(generate(one))
    assert tally.sent > 0.6 * 16000
    assert 8000 <= tally.compared < 8000 + 2 * 320  # the recording is 6400 long
    assert figures(tally, one).missed == ()


def test_a_full_server_refuses_and_the_others_are_unharmed(serve):
    with serve(max_streams=2) as server:
        one = job(server.url, streams=5)
        tally = asyncio.run(generate(one))
    assert (tally.started, tally.ended, tally.refused, tally.failed) == (2, 2, 3, 0)
    assert figures(tally, one).missed == ("3 streams refused",)


def test_several_processes_give_one_result(running):
    one = job(running.url, streams=3)
    said = []
    tally = run_fleet(split(one, 2), lambda process, progress: said.append(process))
    assert (tally.started, tally.ended, tally.lost, tally.altered) == (3, 3, 0, 0)
    assert [part.microphones for part in split(one, 2)] == [(0, 2), (1,)]
    assert len(split(one, 8)) == 3


def test_an_honest_server_that_is_not_ours_passes():
    with impostor() as (url, server):
        one = job(url)
        tally = asyncio.run(generate(one))
    assert figures(tally, one).missed == ()
    assert set(tally.server_ms) == {LATENCY_MS}
    assert figures(tally, one).real_time_factor == 0.5
    assert server.queries[1]["stats"] == ["chunk"]


@pytest.mark.parametrize(
    ("fault", "missed", "sentence"),
    [
        ("drop", "samples lost", "320 samples too early"),
        ("add", "samples that were never sent", "320 samples too late"),
        ("alter", "audio is not the single stream's", "not what a single stream receives"),
        ("order", "against the protocol", "out of order"),
        ("babble", "against the protocol", "not what the protocol says"),
        ("count", "against the protocol", "summary's counts"),
        ("silent", "chunks without statistics", None),
        ("refuse", "2 streams refused", "overloaded No room."),
        ("break", "2 streams ended by the server", "internal Something broke."),
    ],
)
def test_a_fault_is_caught_and_named(fault, missed, sentence):
    with impostor(fault) as (url, _):
        one = job(url, streams=2, seconds=0.4, ramp=0.0)
        tally = asyncio.run(generate(one))
    assert any(missed in one for one in figures(tally, one).missed)
    if sentence is not None:
        assert any(sentence in fault for fault in tally.faults), tally.faults


def test_messages_in_fragments_are_put_together():
    with impostor("fragments") as (url, _):
        one = job(url, streams=2)
        assert figures(asyncio.run(generate(one)), one).missed == ()


def test_a_slow_server_is_not_spared():
    with impostor("slow") as (url, _):
        one = job(url, streams=1, seconds=0.4, ramp=0.0)
        tally = asyncio.run(generate(one))
    assert len(tally.lateness_ms) >= 15  # sent all the same
    assert max(tally.client_ms) >= 200
    assert sum(latency > 100 for latency in tally.client_ms) >= 4  # those that had to wait behind


def test_a_generator_that_stands_still_says_so(running):
    one = job(running.url, streams=1, seconds=0.7)
    stalled = []

    def stall(progress):
        if not stalled:
            stalled.append(time.sleep(0.2))

    tally = asyncio.run(generate(one, stall))
    step = evaluate(tally, 1, one.seconds, one.ramp, 16000, Bars(late_ms=100, generator_ms=1e6))
    assert step.lateness_ms.max >= 150
    assert "stood still" in step.own_fault


def test_a_server_that_is_gone_is_not_a_crash(running):
    one = job(running.url, streams=2, seconds=0.1)
    tally = asyncio.run(generate(Job(**{**vars(one), "url": "ws://127.0.0.1:9/ws/enhance"})))
    assert (tally.started, tally.failed) == (0, 2)
    assert not figures(tally, one).passed


@pytest.mark.parametrize("fault", ["drop", "break", "refuse", "babble"])
def test_a_server_that_fails_a_single_stream_is_not_tested(fault):
    with impostor(fault) as (url, server):
        server.connections = 1
        with pytest.raises(LoadtestError, match="alone"):
            asyncio.run(run_single(url + QUERY, {}, recordings()[0], 1.0))
