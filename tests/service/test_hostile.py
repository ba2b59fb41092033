"""Hostile and broken clients over a real server: a good stream beside each of them gives what it gives alone, bit by bit."""

import asyncio
import contextlib
import json
import socket

import httpx
import numpy as np
import pytest

from .client import END, HEAD, encode, frame, live, noise, receive, send, stream, talk, until
from .test_live_errors import BAD_MESSAGES

AUDIO = encode(noise(0.1))
PING, CONFIGURE = {"type": "ping"}, {"type": "configure", "model": "fcn", "variant": "original"}
GOOD = noise(0.8, 77)


@pytest.fixture(scope="module")
def undisturbed(running):
    """The good stream's output while it is alone."""
    return asyncio.run(stream(running.url, GOOD)).data


@contextlib.asynccontextmanager
async def good_stream(url, undisturbed):
    """Goes on all the while, in the same batches as the hostile ones."""
    finish = asyncio.Event()

    async def messages():
        for start in range(0, 6400, 320):
            yield encode(GOOD[:, start : start + 320])
        while not finish.is_set():
            yield b""
            await asyncio.sleep(0.05)
        yield encode(GOOD[:, 6400:])
        yield END

    task = asyncio.create_task(talk(url, messages()))
    yield
    finish.set()
    result = await task
    assert result.summary["samples_out"] == GOOD.shape[1]
    assert result.data == undisturbed


@pytest.fixture
def beside(running, undisturbed):
    """Runs a coroutine beside the good stream; afterwards the server holds nothing of either."""

    def run(work, server=running):
        async def both():
            async with good_stream(server.url, undisturbed):
                result = await work
            await until(lambda: server.runtime.engine.lanes == 0 and not server.runtime._streams)
            return result

        return asyncio.run(both())

    return run


NASTY = {
    "NaN": np.full(4000, np.nan),
    "infinities": np.tile([np.inf, -np.inf], 2000),
    "1e30": np.tile([1e30, -1e30], 2000),
    "denormals": np.tile([1e-40, -1e-45], 2000),
    "DC": np.ones(4000),
    "noise of bits": np.random.default_rng(3).integers(0, 1 << 32, 4000, np.uint32).view(np.float32),
}


@pytest.mark.parametrize("samples", NASTY.values(), ids=NASTY.keys())
def test_values_that_are_no_sound_stay_in_their_own_stream(beside, running, samples):
    with np.errstate(all="ignore"):
        data = np.asarray(samples).astype("<f4").tobytes()
    result = beside(talk(running.url, [data, END], encoding="pcm_f32le"))
    assert (result.summary["samples_out"], result.summary["resets"]) == (4000, 0)
    assert np.isfinite(result.audio).all()
    assert np.abs(result.audio).max() < 4


@pytest.mark.parametrize(
    "first", [[], [AUDIO], [CONFIGURE], [AUDIO, PING, CONFIGURE, AUDIO]], ids=["begin", "audio", "configure", "all"]
)
def test_messages_that_cannot_be_used_end_only_their_own_stream(beside, running, first):
    bad = {name: message for name, message in BAD_MESSAGES.items() if not first or not isinstance(message, bytes)}
    bad["odd bytes"] = BAD_MESSAGES["odd bytes"]

    async def all_of_them():
        return await asyncio.gather(*(talk(running.url, [*first, message, AUDIO, END]) for message in bad.values()))

    for name, result in zip(bad, beside(all_of_them()), strict=True):
        assert (result.close_code, result.error["code"]) == (4400, "bad_request"), name


def test_huge_and_empty_messages(beside, running):
    async def both():
        huge = [AUDIO, bytes(3 << 20), END], ['{"type": "ping", "x": "' + "x" * (2 << 20) + '"}']
        many = [b""] * 500 + [AUDIO] + [b""] * 500 + [END]
        return await asyncio.gather(*(talk(running.url, messages) for messages in (*huge, many)))

    binary, text, empty = beside(both())
    assert (binary.close_code, text.close_code) == (4413, 4413)
    assert empty.summary["samples_out"] == 1600
    assert len(empty.of("stats")) == 1001


QUERIES = {
    "at bounds": ({"sample_rate": 8000, "attenuation_limit_db": 0}, {"sample_rate": 48000, "attenuation_limit_db": 100}),
    "beyond": (
        {"sample_rate": 10**400},
        {"sample_rate": -(10**18)},
        {"sample_rate": "0x3e80"},
        {"sample_rate": "١٦٠٠٠"},
        {"channels": "2\x00"},
        {"channels": "1e0"},
        {"attenuation_limit_db": "1e400"},
        {"attenuation_limit_db": "9" * 5000},
        {"encoding": ["pcm_s16le", "wav"]},
        {"stats": "x" * 8000},
        {"sample_rate": "%00"},
    ),
    "unknown": ({"model": "../../etc/passwd"}, {"model": "a" * 8000}, {"variant": "\x00"}, {"model": "crn/original"}),
}


@pytest.mark.parametrize(("kind", "code"), [("at bounds", 1000), ("beyond", 4400), ("unknown", 4404)])
def test_parameters_at_and_beyond_their_bounds(beside, running, kind, code):
    async def all_of_them():
        return await asyncio.gather(*(talk(running.url, [AUDIO, END], **query) for query in QUERIES[kind]))

    results = beside(all_of_them())
    assert [result.close_code for result in results] == [code] * len(results)


@pytest.mark.parametrize("limit", [0, 100, 1e-300, 99.999999])
def test_limits_at_their_bounds_are_taken_in_the_middle(beside, running, limit):
    result = beside(talk(running.url, [AUDIO, {"type": "configure", "attenuation_limit_db": limit}, AUDIO, END]))
    assert result.summary["samples_out"] == 3200


def test_audio_after_the_end_is_neither_counted_nor_answered(beside, running):
    result = beside(talk(running.url, [AUDIO, END, *[AUDIO] * 50, {"type": "nonsense"}, END, b"odd"]))
    assert result.summary["samples_out"] == result.audio.shape[1] == 1600


def test_a_storm_of_changes_loses_nothing_and_piles_nothing_up(beside, running):
    changes = [
        {"type": "configure", "model": model, "variant": variant, "attenuation_limit_db": limit}
        for model in ("crn", "fcn")
        for variant in ("original", "pruned")
        for limit in (0, 30, 100)
    ]

    async def storm():
        lanes = 0
        await until(lambda: running.runtime.engine.lanes <= 1)  # streams of earlier tests are gone
        async with live(running.url, stats="off") as connection:
            events = []
            task = asyncio.create_task(receive(connection, events))
            for index in range(240):
                await send(connection, changes[index % len(changes)])
                await connection.send(bytes(20 * (index % 5)))
                lanes = max(lanes, running.runtime.engine.lanes)
            await send(connection, END)
            return await task, events, lanes

    code, events, lanes = beside(storm())
    assert (code, events[-1]["samples_in"], events[-1]["samples_out"]) == (1000, 4800, 4800)
    assert sum(isinstance(event, dict) and event["type"] == "configured" for event in events) == 240
    assert lanes <= 1 + 10  # the other stream's, and of the 30 ways through this one those not faded out yet


TEXT = frame(json.dumps(END).encode(), 1)
STATES = {
    "connected": b"",
    "half a request": HEAD[:60],
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
    "upgraded": HEAD,
    "half a frame's head": HEAD + b"\x82",
    "half a frame": HEAD + frame(AUDIO[:100])[:50],
    "half a message": HEAD + frame(AUDIO[:100], final=False),
    "audio": HEAD + 20 * frame(AUDIO),
    "changing": HEAD + frame(AUDIO) + frame(json.dumps(CONFIGURE).encode(), 1),
    "ended": HEAD + 20 * frame(AUDIO) + TEXT,
    "closing": HEAD + frame(AUDIO) + frame(b"\x03\xe8", 8),
    "refused": HEAD + frame(b"odd"),
    "text that is no UTF-8": HEAD + frame(b"\xff\xfe", 1),
    "no mask": HEAD + b"\x82\x02ab",
    "unknown opcode": HEAD + frame(b"", 3),
    "a long ping": HEAD + b"\x89\xfe\x01\x00" + bytes(4 + 256),
    "a frame of 2**63 bytes": HEAD + b"\x82\xff\x7f" + b"\xff" * 7 + bytes(4),
    "continuation of nothing": HEAD + frame(b"ab", 0),
}


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_client_may_leave_at_any_moment(beside, running, end):
    async def leave(data):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        if end == "reset":  # what is not read when the socket is closed makes it a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        head, rest = data[: len(HEAD)], data[len(HEAD) :]
        writer.write(head)
        if rest:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(rest)
        await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def all_of_them():
        await asyncio.gather(*map(leave, STATES.values()))
        await until(lambda: len(running.server.server_state.connections) <= 1)

    beside(all_of_them())


def test_three_hundred_connections_that_say_nothing_take_nothing_away(serve, undisturbed, beside, monkeypatch):
    monkeypatch.setattr("service.http.connection.HEAD_SECONDS", 0.8)
    monkeypatch.setattr("service.live.transport.LINGER_SECONDS", 0.1)

    async def crowd():
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(150)]
        upgraded = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(150)]
        for index, (_, writer) in enumerate(silent):
            writer.write(HEAD[: index % len(HEAD) // 2])
        for _, writer in upgraded:
            writer.write(HEAD)
        answers = [await reader.read() for reader, _ in silent + upgraded]
        for _, writer in silent + upgraded:
            writer.close()
        async with httpx.AsyncClient() as web:
            assert (await web.get(f"{server.http}/readyz")).status_code == 200
        return answers[:150], answers[150:]

    with serve(idle_seconds=1, max_streams=121) as server:
        silent, upgraded = beside(crowd(), server)
        assert silent == [b""] * 150
        told = [b'"idle"' in answer for answer in upgraded], [b'"overloaded"' in answer for answer in upgraded]
        assert (sum(told[0]), sum(told[1])) == (120, 30)
