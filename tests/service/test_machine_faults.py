"""A full disk, too many open files, a clock that jumps, connections that are only half there: live streams go on."""

import asyncio
import io
import socket
import time

import httpx
import numpy as np
import psutil
import pytest
import soundfile

from models.offline import enhance
from models.zoo import load_variant

from .client import END, HEAD, decode, encode, live, noise, receive, send, until
from .process import started

SOUND = noise(1.5, 4)
WAV = {"Content-Type": "audio/wav"}


def recording(seconds, format_="WAV", level=0.1):
    """A file at 48 kHz, 96 kB of WAV a second."""
    buffer = io.BytesIO()
    audio = level * np.random.default_rng(0).standard_normal(round(48000 * seconds))
    soundfile.write(buffer, audio.clip(-1, 1), 48000, format=format_)
    return buffer.getvalue()


async def beside(url, work):
    """A live stream, half of it before and half after something else; gives its output and what that gave."""
    async with live(url, variant="original") as connection:
        events = []
        task = asyncio.create_task(receive(connection, events))
        await connection.send(encode(SOUND[:, :12000]))
        result = await work()
        await connection.send(encode(SOUND[:, 12000:]))
        await send(connection, END)
        assert await task == 1000
    return decode(b"".join(one for one in events if isinstance(one, bytes))), result


@pytest.fixture
def expected(zoo_folder):
    return enhance(load_variant(zoo_folder / "crn/original.onnx"), SOUND)


def test_a_full_disk_refuses_large_files_only(zoo_folder, tmp_path, expected):
    uploads = {
        "body": {"content": recording(115), "headers": WAV},  # in memory up to 8 MiB
        "form": {"files": {"file": recording(115)}},
        "result": {"content": recording(115, "FLAC", 1e-3), "headers": {"Content-Type": "audio/flac"}},
    }

    async def post_all():
        async with httpx.AsyncClient(base_url=served.http, timeout=300) as web:
            return {name: await web.post("/enhance?variant=pruned", **upload) for name, upload in uploads.items()}

    limits = {"RLIMIT_FSIZE": 10 << 20}  # as if the disk was full then
    with started(tmp_path, "--zoo", zoo_folder, limits=limits, idle_seconds=60) as served:
        output, answers = asyncio.run(beside(served.url, post_all))
        for name, answer in answers.items():
            assert (name, answer.status_code, answer.json()["code"]) == (name, 503, "overloaded")
            assert "retry-after" in answer.headers
        assert "Traceback" not in served.log
        assert httpx.post(f"{served.http}/enhance", content=recording(1), headers=WAV).status_code == 200
    np.testing.assert_allclose(output, expected, atol=2e-4)


@pytest.mark.parametrize("workers", [1, 2])
def test_without_descriptors_live_streams_go_on_and_connections_are_taken_again_later(zoo_folder, tmp_path, expected, workers):
    async def crowd():
        connections = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(150)]
        await until(lambda: "Too many open files" in served.log)
        await asyncio.sleep(2)  # time to write the same line very often
        lines = served.log.count("connections cannot be taken")
        for _, writer in connections:
            writer.close()
        return lines

    limits = {"RLIMIT_NOFILE": 64}
    flags = ["--zoo", zoo_folder, "--workers", workers]
    with started(tmp_path, *flags, limits=limits, idle_seconds=60) as served:
        output, lines = asyncio.run(beside(served.url, crowd))
        asyncio.run(until(lambda: httpx.get(f"{served.http}/readyz").status_code == 200))
        descriptors = psutil.Process(served.process.pid).num_fds()
        assert "Traceback" not in served.log
    assert 1 <= lines < 50
    assert descriptors < 60
    np.testing.assert_allclose(output, expected, atol=2e-4)


def test_a_clock_that_jumps_changes_nothing(running, monkeypatch, expected):
    day = 86400.0
    jumps = iter(range(1 << 60))
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + (-1) ** next(jumps) * 400 * day)

    async def wait():
        await asyncio.sleep(0.6)  # twice round the watch over the engine and the streams

    output, _ = asyncio.run(beside(running.url, wait))
    np.testing.assert_allclose(output, expected, atol=2e-4)


def test_a_client_that_sends_no_more_but_reads_on_leaves_nothing_behind(running, expected):
    async def half_close():
        for data in (b"", HEAD[:50], HEAD, HEAD + b"\x82\x84" + bytes(8)):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(data)
            writer.write_eof()
            await reader.read()
            writer.close()

    output, _ = asyncio.run(beside(running.url, half_close))
    np.testing.assert_allclose(output, expected, atol=2e-4)
    asyncio.run(until(lambda: running.runtime.engine.lanes == 0 and not running.server.server_state.connections))


def test_a_client_that_is_gone_without_a_word_is_given_up(serve, monkeypatch):
    """Nothing comes from it any more, no answer to the closing handshake either."""
    monkeypatch.setattr("service.live.transport.LINGER_SECONDS", 0.2)

    async def vanish():
        with socket.create_connection(("127.0.0.1", running.port)) as plain:
            plain.sendall(HEAD)
            await until(lambda: running.runtime.engine.lanes == 1)
            await until(lambda: running.runtime.engine.lanes == 0 and not running.server.server_state.connections)

    with serve(idle_seconds=0.5) as running:
        asyncio.run(vanish())
