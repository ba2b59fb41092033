"""Messages on the wire: however they are cut, and whatever stands between those with audio, all of them count."""

import asyncio
import fcntl
import itertools
import json
import random
import socket
import struct
import termios

import numpy as np
import pytest
from websockets.frames import Frame, Opcode
from websockets.frames import apply_mask as unmask
from websockets.protocol import CLIENT, Protocol, State

from service.live.outbox import NOTE_BYTES
from service.live.session import Session
from service.live.transport import MOST_BYTES, SHORTEST_FRAME, UNREAD_SECONDS
from service.runtime import CLOSE_SECONDS

from .client import HEAD, decode, encode, play, stream, tones, until

LENGTHS = [160, 5, 0, 62, 63, 320, 1, 320, 40000, 320, 320, 7, 4000]  # samples: lengths in one byte, in two and in eight


def masked(opcode, payload, fin=True):
    return Frame(opcode, payload, fin).serialize(mask=True)


def conversation(data):
    """Bytes of a client that sends these samples and ends, with all that the WebSocket protocol allows between messages."""
    parts, start = [], 0
    for index, length in enumerate(LENGTHS):
        message, start = data[start : start + 2 * length], start + 2 * length
        if index == 5:  # in three frames, with a ping in the middle
            parts.append(masked(Opcode.BINARY, message[:100], fin=False) + masked(Opcode.PING, b"between"))
            parts.append(masked(Opcode.CONT, message[100:101], fin=False) + masked(Opcode.CONT, message[101:]))
        else:
            parts.append(masked(Opcode.BINARY, message))
        if index % 4 == 3:
            parts.append(masked(Opcode.TEXT, b'{"type": "ping"}') + masked(Opcode.PONG, b""))
    assert start == len(data)
    return b"".join(parts) + masked(Opcode.TEXT, b'{"type": "end"}')


def answers(running, pieces, seconds=0.02):
    """What the server sends to these bytes, piece by piece: text messages as objects, audio, pongs and the close code."""

    async def talk():
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(HEAD)
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0 if len(piece) == 1 else seconds)  # so that it comes alone
        frames = []
        async with asyncio.timeout(20):
            while not frames or frames[-1].opcode is not Opcode.CLOSE:
                parser.receive_data(await reader.read(65536))
                frames += parser.events_received()
        writer.close()
        return frames

    parser = Protocol(CLIENT, state=State.OPEN, max_size=None)
    frames = asyncio.run(talk())
    texts = [json.loads(frame.data) for frame in frames if frame.opcode is Opcode.TEXT]
    audio = b"".join(frame.data for frame in frames if frame.opcode is Opcode.BINARY)
    pongs = [bytes(frame.data) for frame in frames if frame.opcode is Opcode.PONG]
    close = next(frame.data for frame in frames if frame.opcode is Opcode.CLOSE)
    return texts, audio, pongs, struct.unpack("!H", close[:2])[0]


@pytest.fixture(scope="module")
def audio(voice):
    return voice(sum(LENGTHS) / 16000)


def cuts(kind, data):
    """The bytes in pieces."""
    random_ = random.Random(kind)
    if kind == "whole":
        places = []
    elif kind == "single":  # byte by byte at the beginning, where heads and masks are cut
        places = range(1, 3000)
    else:
        places = sorted(random_.sample(range(1, len(data)), 60))
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("kind", ["whole", "single", "random 1", "random 2", "random 3"])
def test_every_message_counts_however_the_bytes_are_cut(running, audio, kind):
    data = encode(audio)
    texts, received, pongs, code = answers(running, cuts(kind, conversation(data)))
    expected = play(running.url, audio)
    assert (code, pongs) == (1000, [b"between"])
    assert texts[-1]["samples_in"] == texts[-1]["samples_out"] == len(audio)
    assert [text["seq"] for text in texts if text["type"] == "stats"] == list(range(len(LENGTHS)))
    assert sum(text["type"] == "pong" for text in texts) == len(LENGTHS) // 4
    assert np.abs(decode(received) - expected.audio).max() < 1e-3


DECOY = b"\x82\x80\0\0\0\0"  # an empty message with a mask of zeros


@pytest.mark.parametrize(
    ("cut", "length", "mask", "at"),
    [
        pytest.param(2, 0x8280, bytes(4), 2, id="in the length"),
        pytest.param(4, 640, DECOY[:4], 2, id="in the mask"),
        pytest.param(8, 640, bytes(4), 0, id="at the beginning"),
        pytest.param(328, 640, bytes(4), 320, id="in the middle"),
    ],
)
def test_bytes_of_a_message_that_look_like_a_message_are_none(running, cut, length, mask, at):
    data = bytes(at) + DECOY + bytes(length - at - len(DECOY))
    message = b"\x82\xfe" + struct.pack("!H", length) + mask + unmask(data, mask)
    pieces = [message[:cut], message[cut:], masked(Opcode.TEXT, b'{"type": "end"}')]
    texts, received, _, code = answers(running, pieces, seconds=0.05)
    assert code == 1000
    assert texts[-1]["samples_in"] == len(received) // 2 == length // 2
    assert [text["seq"] for text in texts if text["type"] == "stats"] == [0]


@pytest.mark.parametrize("kind", [Opcode.BINARY, Opcode.PING, Opcode.TEXT])
def test_thousands_of_tiny_frames_are_answered_in_order_and_hold_nobody_up(running, audio, kind):
    payload = b'{"type": "ping"}' if kind is Opcode.TEXT else b""
    flood = masked(kind, payload) * 20_000 + masked(Opcode.TEXT, b'{"type": "end"}')

    async def beside():
        task = asyncio.create_task(asyncio.to_thread(answers, running, [flood]))
        good = await stream(running.url, audio)
        return good, await task

    good, (texts, _, pongs, code) = asyncio.run(beside())
    assert good.summary["samples_out"] == len(audio)
    assert code == 1000
    assert texts[-1]["type"] == "summary"
    if kind is Opcode.BINARY:
        assert [text["seq"] for text in texts if text["type"] == "stats"] == list(range(20_000))
    elif kind is Opcode.TEXT:
        assert sum(text["type"] == "pong" for text in texts) == 20_000
    else:
        assert len(pongs) == 20_000


def test_a_client_that_asks_much_and_reads_nothing_is_no_longer_heard(serve):
    sent = masked(Opcode.BINARY, b"") * 40_000 + masked(Opcode.TEXT, b'{"type": "ping"}') * 40_000

    async def ask(running):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(HEAD)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(sent)
        sessions = running.runtime._streams
        await until(lambda: bool(sessions))
        [session] = sessions
        await until(lambda: session._transport.read_paused and session._outbox.fill > 0.5)
        await asyncio.sleep(0.5)
        waiting = len(session._outbox._items), len(session._inbox._messages), len(session._transport._kept)
        writer.transport.abort()
        await until(lambda: not sessions)
        return waiting

    with serve(max_unread_seconds=60) as running:
        items, messages, kept = asyncio.run(ask(running))
    assert items < 60 * 32000 / NOTE_BYTES
    assert messages < MOST_BYTES / SHORTEST_FRAME
    assert kept < 300_000  # one read from the socket


def test_of_a_client_far_ahead_of_real_time_a_few_seconds_wait_in_the_kernel(serve):
    second = masked(Opcode.BINARY, bytes(32000))

    async def send_all(running):
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(HEAD.replace(b"enhance", b"enhance?stats=off&model=fcn&variant=pruned"))
        sessions = running.runtime._streams
        await until(lambda: bool(sessions))
        writer.write(200 * second)
        [session] = sessions
        await until(lambda: session._transport.read_paused)
        connection = session._transport.transport.get_extra_info("socket")
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.02)
            most = max(most, struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0])
        writer.transport.abort()
        return most / len(second)

    with serve(max_ahead_seconds=30) as running:
        waiting = asyncio.run(send_all(running))
    assert 0 < waiting < 2 * UNREAD_SECONDS + 0.5  # of the size that it is given, the kernel makes the double


def test_pings_of_a_client_that_does_not_read_take_no_room_and_the_newest_is_answered_when_it_does(serve):
    async def ping(running):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(HEAD)
        await reader.readuntil(b"\r\n\r\n")
        sessions = running.runtime._streams
        await until(lambda: bool(sessions))
        [session] = sessions
        transport = session._transport.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        writer.transport.pause_reading()
        most = 0
        for index in range(400):  # 12 MB, more than the kernel keeps
            writer.write(b"".join(masked(Opcode.PING, b"%06d" % (240 * index + one) + bytes(119)) for one in range(240)))
            await writer.drain()
            most = max(most, transport.get_write_buffer_size())
        writer.transport.resume_reading()
        parser, newest = Protocol(CLIENT, state=State.OPEN, max_size=None), b""
        async with asyncio.timeout(20):
            while not newest.startswith(b"095999"):
                parser.receive_data(await reader.read(65536))
                frames = [frame for frame in parser.events_received() if frame.opcode is Opcode.PONG]
                newest = bytes(frames[-1].data) if frames else newest
        writer.transport.abort()
        return most

    with serve(max_unread_seconds=60) as running:
        assert asyncio.run(ping(running)) < 200_000


def test_who_takes_long_to_read_the_end_is_told_that_it_was_one(running, monkeypatch):
    run, waits = Session.run, CLOSE_SECONDS + 0.3

    async def held_up(session):
        await run(session)
        session._transport.pause_writing()
        asyncio.get_running_loop().call_later(waits, session._transport.resume_writing)

    monkeypatch.setattr(Session, "run", held_up)
    assert play(running.url, tones(0.1)).close_code == 1000


def test_a_long_message_is_taken_in_pieces_and_answered_once(running):
    audio = np.tile(tones(5.0, 8000), 4)
    query = {"sample_rate": 8000, "model": "crn", "variant": "original"}
    whole = play(running.url, audio, [], **query)
    assert [stats["seq"] for stats in whole.of("stats")] == [0]
    assert whole.summary["samples_out"] == len(audio)
    parts = play(running.url, audio, [4000] * 39, **query)
    assert np.abs(whole.audio - parts.audio).max() < 1e-3
