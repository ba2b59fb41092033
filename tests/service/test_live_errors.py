"""What a client does wrong ends its own stream, with the protocol's code and one sentence, and nobody else's."""

import asyncio
import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.offline import enhance

from .client import END, encode, live, noise, receive, send, stream, talk, until

AUDIO = encode(noise(0.1))
BAD_QUERIES = [
    {"sample_rate": 7999},
    {"sample_rate": 48001},
    {"sample_rate": "x"},
    {"sample_rate": "16000.5"},
    {"channels": 3},
    {"channels": 0},
    {"channels": "mono"},
    {"encoding": "mp3"},
    {"attenuation_limit_db": -1},
    {"attenuation_limit_db": 101},
    {"attenuation_limit_db": "nan"},
    {"attenuation_limit_db": "much"},
    {"stats": "foo"},
]
BAD_MESSAGES = {
    "malformed JSON": "{",
    "no JSON": "hello",
    "empty text": "",
    "array": "[]",
    "number": "7",
    "no type": "{}",
    "unknown type": {"type": "stop"},
    "type that is no string": {"type": ["end"]},
    "deep JSON": "[" * 100_000,
    "deep object": '{"type":' * 50_000,
    "limit of another kind": {"type": "configure", "attenuation_limit_db": "loud"},
    "limit out of range": {"type": "configure", "attenuation_limit_db": 100.5},
    "limit that is no number": '{"type": "configure", "attenuation_limit_db": NaN}',
    "limit beyond all numbers": '{"type": "configure", "attenuation_limit_db": 1' + 400 * "0" + "}",
    "variant of another kind": {"type": "configure", "variant": 3},
    "odd bytes": AUDIO + b"x",
    "WAV": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "RF64": b"RF64\xff\xff\xff\xffWAVE",
    "FLAC": b"fLaC\x00\x00\x00\x22",
    "Ogg": b"OggS\x00\x02\x00\x00",
    "MP3": b"ID3\x04\x00\x00\x00\x00",
}


@contextlib.asynccontextmanager
async def bystander(running):
    """A stream that goes on all the while, and must end with exactly its result."""
    audio = noise(2.0, 77)
    finish = asyncio.Event()

    async def messages():
        for start in range(0, 16000, 320):
            yield encode(audio[:, start : start + 320])
        await finish.wait()
        yield encode(audio[:, 16000:])
        yield END

    task = asyncio.create_task(talk(running.url, messages(), model="fcn", variant="original"))
    yield
    finish.set()
    result = await task
    assert result.summary["samples_out"] == 32000
    np.testing.assert_allclose(result.audio, enhance(running.variant("fcn/original"), audio), atol=1e-4)


def beside_another_stream(running, conversation):
    async def both():
        async with bystander(running):
            return await conversation

    return asyncio.run(both())


def assert_refused(result, close_code, code):
    error = result.error
    assert error.keys() == {"type", "code", "message"}
    assert (result.close_code, error["code"]) == (close_code, code)
    assert error["message"].endswith(".")
    assert "\n" not in error["message"]
    return error["message"]


@pytest.mark.parametrize("query", BAD_QUERIES, ids=lambda query: "=".join(map(str, *query.items())))
def test_a_parameter_out_of_range_is_refused_by_name(running, query):
    result = beside_another_stream(running, talk(running.url, [AUDIO, END], **query))
    assert next(iter(query)) in assert_refused(result, 4400, "bad_request")
    assert len(result.events) == 1


def test_a_parameter_without_a_value_is_one_that_was_not_given(running):
    names = ("model", "variant", "sample_rate", "encoding", "channels", "attenuation_limit_db", "stats", "token")
    result = asyncio.run(talk(running.url, [END], **dict.fromkeys(names, "")))
    default = asyncio.run(talk(running.url, [END]))
    assert result.summary["samples_out"] == 0
    assert result.ready | {"session_id": ""} == default.ready | {"session_id": ""}


@pytest.mark.parametrize("message", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_a_message_that_cannot_be_used_is_refused(running, message):
    assert_refused(beside_another_stream(running, talk(running.url, [message, END])), 4400, "bad_request")


@pytest.mark.parametrize("message", [m for m in BAD_MESSAGES.values() if not isinstance(m, bytes)][:7])
def test_a_bad_control_message_is_refused_in_the_middle_too(running, message):
    assert_refused(asyncio.run(talk(running.url, [AUDIO, message, AUDIO, END])), 4400, "bad_request")


@pytest.mark.parametrize(("encoding", "channels", "size"), [("pcm_s16le", 2, 6), ("pcm_f32le", 1, 6), ("pcm_f32le", 2, 12)])
def test_a_part_of_a_sample_of_all_channels_is_refused(running, encoding, channels, size):
    result = asyncio.run(talk(running.url, [bytes(24), bytes(size), END], encoding=encoding, channels=channels))
    assert str(size) in assert_refused(result, 4400, "bad_request")


@pytest.mark.parametrize("parts", [b"\xff\xfe", [b'{"type": "end", "x": "', b'\xff"}']], ids=["one frame", "two"])
def test_text_that_is_no_utf_8_is_refused_and_leaves_no_traceback(running, caplog, parts):
    async def send_it():
        events = []
        async with live(running.url) as socket:
            task = asyncio.create_task(receive(socket, events))
            await socket.send(AUDIO)
            await socket.send(parts, text=True)
            return await task, events

    code, events = asyncio.run(send_it())
    assert (code, events[-1]["code"]) == (4400, "bad_request")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_header_is_seen_however_it_is_cut(running):
    wav = BAD_MESSAGES["WAV"]
    assert asyncio.run(talk(running.url, [wav[:2], b"", wav[2:4], wav[4:]])).close_code == 4400


def test_the_bytes_of_a_header_are_audio_once_a_stream_has_begun(running):
    result = asyncio.run(talk(running.url, [b"", AUDIO, b"RIFF", b"fLaC", END]))
    assert result.summary["samples_out"] == 1604


@pytest.mark.parametrize("query", [{"variant": "combined"}, {"model": "rnnoise"}, {"model": "fcn", "variant": "quantized"}])
def test_what_is_not_loaded_is_refused_with_a_list_of_what_is(running, query):
    result = beside_another_stream(running, talk(running.url, [AUDIO], **query))
    message = assert_refused(result, 4404, "unknown_model")
    assert all(name in message for name in ("crn/original", "crn/pruned", "fcn/original", "fcn/pruned"))


@pytest.mark.parametrize("size", [(1 << 20) + 2, (2 << 20) + 2, 20 << 20])
def test_a_message_over_the_limit_is_refused(running, size):
    result = beside_another_stream(running, talk(running.url, [AUDIO, bytes(size), END]))
    assert_refused(result, 4413, "too_large")


def test_a_control_message_over_the_limit_is_refused(running):
    result = asyncio.run(talk(running.url, [json.dumps({"type": "ping", "padding": "x" * (1 << 20)}), END]))
    assert_refused(result, 4413, "too_large")


def test_a_message_at_the_limit_is_taken(running):
    result = asyncio.run(talk(running.url, [bytes(1 << 20), END], sample_rate=48000))
    assert result.summary["samples_out"] == 1 << 19


def test_who_sends_nothing_is_closed_after_the_idle_time(serve):
    async def silent():
        async with live(running.url) as socket:
            await send(socket, AUDIO)
            await socket.wait_closed()
            return socket.close_code

    with serve(idle_seconds=0.2) as running:
        assert asyncio.run(silent()) == 4408
        result = asyncio.run(talk(running.url, []))
        assert "0.2 s" in assert_refused(result, 4408, "idle")


def test_who_waits_for_the_output_of_a_message_that_took_longer_than_the_idle_time_gets_it(serve):
    async def wait_for_all(running):
        async with live(running.url, variant="pruned", stats="off") as connection:
            received = 0
            await connection.send(encode(noise(3.0)))
            while received < 47000:
                message = await connection.recv()
                received += len(message) // 2 if isinstance(message, bytes) else 0
            await send(connection, END)
            return await receive(connection, [])

    with serve(idle_seconds=1, max_ahead_seconds=1) as running:
        assert asyncio.run(wait_for_all(running)) == 1000


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(running):
    async def leave():
        async with bystander(running):
            for abort in (True, False):
                async with live(running.url, channels=2, stats="second") as socket:
                    await socket.recv()
                    for _ in range(20):
                        await socket.send(AUDIO)
                    if abort:
                        socket.transport.abort()
                    else:
                        await socket.close()
            await until(lambda: running.runtime.engine.lanes == 1)
        await until(lambda: running.runtime.engine.lanes == 0)

    asyncio.run(leave())


def test_a_client_that_ends_and_does_not_wait_leaves_nothing_behind(running):
    async def leave():
        for _ in range(10):
            async with live(running.url) as socket:
                await socket.recv()
                await socket.send(encode(noise(1.0)))
                await send(socket, END)
                socket.transport.abort()
        await until(lambda: running.runtime.engine.lanes == 0)

    asyncio.run(leave())
    assert asyncio.run(stream(running.url, noise(0.1))).summary["samples_out"] == 1600


MIXTURE = st.sampled_from(
    [AUDIO, AUDIO, b"", bytes(2), END, {"type": "ping"}, {"type": "configure", "model": "fcn"}, *BAD_MESSAGES.values()]
)


@settings(max_examples=20, deadline=None)
@given(messages=st.lists(MIXTURE, max_size=6), channels=st.integers(1, 2))
def test_whatever_is_sent_ends_in_a_summary_or_an_error(running, messages, channels):
    result = asyncio.run(talk(running.url, [*messages, END], channels=channels))
    ends = {1000: "summary", 4400: "error"}
    assert result.events[-1]["type"] == ends[result.close_code]
    asyncio.run(until(lambda: running.runtime.engine.lanes == 0))
