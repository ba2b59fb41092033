"""Clients that send files slowly, stop, leave, or do not read the answer: they are cut off, and hold nothing afterwards."""

import asyncio
import contextlib
import socket

import httpx
import numpy as np
import pytest

from models.offline import enhance

from .client import noise, stream, until
from .files import post, write
from .test_file_errors import FORM, WAV, assert_refused
from .test_hostile_files import open_uploads

HEAD = b"POST /enhance HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"
SILENCE = write(np.zeros((2, 30 * 192_000)), 192_000, "FLAC")  # some kB that become 23 MB, more than any buffer holds
ANSWER_BYTES = 30 * 192_000 * 4 + 44


@contextlib.asynccontextmanager
async def connected(running, data=b"", size=None):
    """A connection of which as little as possible is read ahead."""
    raw = socket.create_connection(("127.0.0.1", running.port))
    if size is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
    writer.write(data)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until_free(running):
    """Until nothing is held for any upload or answer."""
    runtime = running.runtime
    await until(lambda: runtime.files.idle)


async def trickle(writer, bytes_, seconds):
    """Send so many bytes every so often, until the server has had enough."""
    with contextlib.suppress(OSError):
        while True:
            writer.write(b"%x\r\n%b\r\n" % (bytes_, bytes(bytes_)))
            await writer.drain()
            await asyncio.sleep(seconds)


@pytest.mark.parametrize("begin", [b"", FORM], ids=["raw", "form"])
def test_who_sends_a_byte_at_a_time_is_refused_and_then_cut_off(serve, monkeypatch, begin):
    monkeypatch.setattr("service.http.connection.READ_SECONDS", 0.3)
    head = FORM_HEAD if begin else HEAD

    async def loris():
        async with connected(running, head + b"Transfer-Encoding: chunked\r\n\r\n") as (reader, writer):
            if begin:
                writer.write(b"%x\r\n%b\r\n" % (len(begin), begin))
            trickling = asyncio.create_task(trickle(writer, 1, 0.02))
            answer = await reader.readline()
            with contextlib.suppress(OSError):  # a reset, most likely
                while await reader.read(1000):
                    pass
            await trickling  # which would go on for ever otherwise
            await until_free(running)
            return answer

    with serve(idle_seconds=0.4, uploads=1) as running:
        assert b" 408 " in asyncio.run(loris())
        assert post(running.http, WAV).status_code == 200


def test_an_upload_takes_no_longer_than_the_longest_recording(serve):
    async def endless():
        head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        async with connected(running, head) as (reader, writer):
            trickling = asyncio.create_task(trickle(writer, 1 << 16, 0.01))
            answer = await reader.readline()
            trickling.cancel()
            return answer

    with serve(idle_seconds=0.5, max_file_seconds=0.5) as running:
        assert b" 408 " in asyncio.run(endless())
        asyncio.run(until_free(running))


def test_slow_uploads_keep_no_others_out(serve):
    async def crowd():
        head = HEAD + b"Content-Length: 100000\r\n\r\nRIFF"
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(7):
                await stack.enter_async_context(connected(running, head))
            await until(lambda: running.runtime.files.coming == 7)
            return await asyncio.to_thread(post, running.http, WAV)

    with serve(idle_seconds=20, uploads=1) as running:
        assert asyncio.run(crowd()).status_code == 200


def test_slow_uploads_take_all_places_only_until_they_are_cut(serve):
    async def crowd():
        async with contextlib.AsyncExitStack() as stack:
            head = HEAD + b"Content-Length: 100000\r\n\r\nRIFF"
            slow = [await stack.enter_async_context(connected(running, head)) for _ in range(22)]
            answers = [await reader.readline() for reader, _ in slow]
            live = await stream(running.url, noise(0.5), model="crn", variant="original")
            return answers, live

    with serve(idle_seconds=0.5, uploads=2) as running:
        answers, live = asyncio.run(crowd())
        assert sorted(int(answer.split()[1]) for answer in answers) == [408] * 16 + [503] * 6
        np.testing.assert_allclose(live.audio, enhance(running.variant("crn/original"), noise(0.5)), atol=1e-4)
        assert post(running.http, WAV).status_code == 200


FORM_HEAD = HEAD.replace(b"audio/wav", b"multipart/form-data; boundary=x")
BODIES = {
    "half a head": HEAD,
    "no body": HEAD + b"Content-Length: 1000\r\n\r\n",
    "half a body": HEAD + b"Content-Length: 7000\r\n\r\n" + WAV[:3000],
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1000\r\nRIFF",
    "half a form": HEAD.replace(b"audio/wav", b"multipart/form-data; boundary=x")
    + b"Content-Length: 7000\r\n\r\n"
    + FORM
    + WAV[:99],
    "all, but waits for nothing": HEAD + b"Content-Length: %d\r\n\r\n" % len(WAV) + WAV,
    "all, and then some": HEAD + b"Content-Length: %d\r\n\r\n" % len(WAV) + WAV + HEAD,
}


@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_upload_may_break_off_at_any_moment(running, end):
    async def leave(data):
        async with connected(running, data) as (_, writer):
            if end == "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            await asyncio.sleep(0.02)

    async def all_of_them():
        await asyncio.gather(*map(leave, BODIES.values()))
        await until_free(running)
        await until(lambda: not open_uploads("/nowhere"))

    asyncio.run(all_of_them())
    assert post(running.http, WAV).status_code == 200


async def unread_answer(running, stack, size):
    """Ask for a large answer, and read no more of it than the first line."""
    head = HEAD.replace(b"/enhance", b"/enhance?model=fcn&variant=pruned")
    data = head + b"Content-Length: %d\r\n\r\n" % len(SILENCE) + SILENCE
    reader, writer = await stack.enter_async_context(connected(running, data, size))
    assert b" 200 " in await reader.readline()
    return reader, writer


def test_who_does_not_read_the_answer_is_cut_off_and_holds_nothing(serve, monkeypatch):
    monkeypatch.setattr("service.http.connection.READ_SECONDS", 0.5)

    async def never_read():
        async with contextlib.AsyncExitStack() as stack:
            reader, _ = await unread_answer(running, stack, 4096)
            assert running.runtime.files.leaving == 1
            await until_free(running)
            received = 0
            with contextlib.suppress(OSError):
                while more := await reader.read(1 << 20):
                    received += len(more)
            return received

    with serve(uploads=1) as running:
        assert asyncio.run(never_read()) < ANSWER_BYTES
        assert post(running.http, WAV).status_code == 200


def test_who_reads_the_answer_slowly_gets_all_of_it(serve, monkeypatch):
    monkeypatch.setattr("service.http.connection.READ_SECONDS", 5)

    async def read_slowly():
        async with contextlib.AsyncExitStack() as stack:
            reader, _ = await unread_answer(running, stack, 1 << 18)
            await reader.readuntil(b"\r\n\r\n")
            received = 0
            while received < ANSWER_BYTES:
                received += len(await reader.read(1 << 18))
                await asyncio.sleep(0.01)
            return received

    with serve(uploads=1) as running:
        assert asyncio.run(read_slowly()) == ANSWER_BYTES


def test_answers_that_are_not_read_are_bounded(serve):
    with serve(uploads=1) as running, contextlib.ExitStack() as answers:
        for _ in range(8):
            answers.enter_context(running.runtime.files.answer())
        refused = post(running.http, WAV)
        assert_refused(refused, 503, "overloaded")
        assert "retry-after" in refused.headers
        answers.close()
        assert post(running.http, WAV).status_code == 200


def test_a_refusal_in_the_middle_of_a_body_is_read_by_a_client_that_goes_on_for_a_while(serve):
    async def body():
        for _ in range(50):
            yield bytes(1000)
            await asyncio.sleep(0.01)

    async def send():
        async with httpx.AsyncClient(base_url=running.http) as web:
            return await web.post("/enhance", content=body(), headers={"Content-Type": "text/plain"})

    with serve() as running:
        assert_refused(asyncio.run(send()), 415, "unsupported_media")


def test_a_stop_waits_for_answers_that_are_being_read(serve):
    async def stop(runtime):
        with runtime.files.answer():
            draining = asyncio.create_task(runtime.drain())
            await asyncio.sleep(0.3)
            assert not draining.done()
        await asyncio.wait_for(draining, 5)

    with serve(drain_seconds=60) as running:
        asyncio.run(stop(running.runtime))
