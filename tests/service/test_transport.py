"""Messages on the wire: however they are cut, and whatever stands between those with audio, all of them count."""

import asyncio
import itertools
import json
import random
import struct

import numpy as np
import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol, State

from .client import HEAD, decode, encode, frame, play

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


def answers(running, pieces):
    """What the server sends to these bytes, piece by piece: text messages as objects, audio, pongs and the close code."""

    async def talk():
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(HEAD)
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0 if len(piece) < 100 else 0.02)  # so that it comes alone
        received = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return received

    parser = Protocol(CLIENT, state=State.OPEN, max_size=None)
    parser.receive_data(asyncio.run(talk()))
    frames = parser.events_received()
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


def test_audio_that_looks_like_a_message_is_audio(running):
    decoy = b"\x82\x80\0\0\0\0"  # an empty message with a mask of zeros, or three samples
    data = bytes(320) + decoy + bytes(314)
    message = frame(data)
    texts, received, _, code = answers(running, [message[:328], message[328:], masked(Opcode.TEXT, b'{"type": "end"}')])
    assert code == 1000
    assert texts[-1]["samples_in"] == len(received) // 2 == 320
    assert [text["seq"] for text in texts if text["type"] == "stats"] == [0]
