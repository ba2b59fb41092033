"""A file that brings its decoder down is refused; nobody else notices, and the next file is decoded."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from models.offline import enhance

from .client import noise, stream, until
from .faulty_decoder import FAULTS, RATE
from .files import post, read, write
from .test_file_errors import assert_refused

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files are decoded in the server")
BAD = write(noise(5.0, 1, RATE), RATE)
AUDIO = noise(1.3, 2)
GOOD = write(AUDIO, 16000, subtype="FLOAT")
ORIGINAL = {"model": "crn", "variant": "original"}
LATE = {"sleep", "stop"}
NOT_ITS_FAULT = {"kill", *LATE}  # as far as the server knows
SPOKEN = {"confinement", "no end"}


@pytest.fixture
def faulty(monkeypatch):
    """Makes the decoders of servers that start from here on have a fault."""

    def choose(fault):
        program = Path(__file__).parent / "faulty_decoder.py"
        monkeypatch.setattr("service.files.decoder_process.COMMAND", (sys.executable, str(program), fault))
        # a machine that is busy must not matter, least of all to the fault that uses up its processor time
        monkeypatch.setattr("service.files.decoder_process.WAIT_SECONDS", 8 if fault in LATE else 300)
        monkeypatch.setattr("service.files.decoder_process.START_SECONDS", 300)

    return choose


def assert_good(running, answer):
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(read(answer.content)[0], enhance(running.variant("crn/original"), AUDIO), atol=1e-4)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in SPOKEN])
def test_a_fault_of_the_decoder_ends_its_file_only(serve, faulty, fault, caplog):
    async def beside():
        async with httpx.AsyncClient(base_url=running.http, timeout=300) as web:

            def send(data):
                return web.post("/enhance", content=data, headers={"Content-Type": "audio/wav"}, params=ORIGINAL)

            return await asyncio.gather(send(BAD), send(GOOD), stream(running.url, AUDIO, **ORIGINAL))

    faulty(fault)
    with serve(uploads=2) as running:
        bad, good, live = asyncio.run(beside())
        if fault in NOT_ITS_FAULT:
            assert_refused(bad, 503, "overloaded")
        else:
            message = assert_refused(bad, 422, "unprocessable")
            assert "after 2.00 s" in message
        assert_good(running, good)
        np.testing.assert_allclose(live.audio, enhance(running.variant("crn/original"), AUDIO), atol=1e-4)
        assert_good(running, post(running.http, GOOD, **ORIGINAL))
        assert [line.name for line in caplog.records] == ["service.files.decoders"]
        assert len(running.runtime.decoders.processes) <= 2


def test_a_reference_that_brings_the_decoder_down_is_named(serve, faulty):
    faulty("abort")
    with serve() as running:
        files = {"file": ("noisy.wav", GOOD), "reference": ("clean.wav", BAD)}
        answer = httpx.post(f"{running.http}/compare", files=files, timeout=300)
        assert "reference" in assert_refused(answer, 422, "unprocessable")


def test_a_decoder_can_open_and_write_nothing_and_knows_no_keys(serve, faulty, monkeypatch):
    faulty("confinement")
    monkeypatch.setenv("SECRET_KEY", "x")
    monkeypatch.setenv("QUIETWIRE_LOG_LEVEL", "info")
    with serve() as running:
        assert assert_refused(post(running.http, BAD), 422, "unprocessable") == "confined but for []."


def test_a_decoder_that_never_ends_is_held_to_the_longest_recording(serve, faulty):
    faulty("no end")
    with serve(max_file_seconds=20) as running:
        assert_refused(post(running.http, BAD), 413, "too_large")
        assert_good(running, post(running.http, GOOD, **ORIGINAL))


def test_a_client_that_leaves_ends_the_work_on_its_file(serve, faulty):
    async def leave():
        async with httpx.AsyncClient(base_url=running.http) as web:
            task = asyncio.create_task(web.post("/enhance", content=BAD, headers={"Content-Type": "audio/wav"}))
            await until(lambda: bool(running.runtime.decoders.processes))
            task.cancel()
        await until(lambda: running.runtime.files.coming == 0)
        await until(lambda: not running.runtime.decoders.processes)

    faulty("no end")
    with serve(max_file_seconds=1e9, uploads=1) as running:
        asyncio.run(leave())
        assert_good(running, post(running.http, GOOD, **ORIGINAL))


def test_a_decoder_that_was_killed_while_it_had_nothing_to_do_is_replaced(serve):
    with serve(uploads=1) as running:
        assert_good(running, post(running.http, GOOD, **ORIGINAL))
        (first,) = running.runtime.decoders.processes
        os.kill(first, signal.SIGKILL)
        assert_good(running, post(running.http, GOOD, **ORIGINAL))
        assert running.runtime.decoders.processes != [first]


def test_one_decoder_serves_many_files_and_is_replaced_in_time(serve, monkeypatch):
    monkeypatch.setattr("service.files.decoders.MAX_FILES", 3)
    with serve(uploads=1) as running:
        seen = []
        for data in (GOOD, GOOD[:3000], b"fLaC, or so it says", GOOD):
            post(running.http, data)
            seen.append(running.runtime.decoders.processes)
        assert seen[0] == seen[1] != []
        assert seen[2] == []
        assert seen[3] not in ([], seen[0])


def test_signals_that_are_meant_for_the_server_do_not_end_a_decoder(serve):
    with serve(uploads=1) as running:
        post(running.http, GOOD)
        before = running.runtime.decoders.processes
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(before[0], number)
        assert_good(running, post(running.http, GOOD, **ORIGINAL))
        assert running.runtime.decoders.processes == before


def test_a_stop_ends_the_decoders(serve):
    with serve() as running:
        assert running.runtime.decoders.processes == []  # none before the first file
        post(running.http, GOOD)
        (decoder,) = running.runtime.decoders.processes
        assert psutil.Process(decoder).is_running()
    assert not psutil.pid_exists(decoder)


def test_a_decoder_that_cannot_be_started_is_said_with_a_time_to_retry(serve, monkeypatch):
    monkeypatch.setattr("service.files.decoder_process.COMMAND", ("/nowhere/python",))
    with serve() as running:
        answer = post(running.http, GOOD)
        assert_refused(answer, 503, "overloaded")
        assert "retry-after" in answer.headers
        monkeypatch.undo()
        assert_good(running, post(running.http, GOOD, **ORIGINAL))


def test_where_files_cannot_be_handed_over_they_are_decoded_in_the_server(serve, monkeypatch):
    monkeypatch.setattr("service.files.decoders.SEPARATE", False)
    with serve() as running:
        assert_good(running, post(running.http, GOOD, **ORIGINAL))
        assert_refused(post(running.http, GOOD[:20]), 415, "unsupported_media")
        assert running.runtime.decoders.processes == []
