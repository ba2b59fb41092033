"""A well-behaved client of the live protocol, and the sounds that it sends."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DTYPES = {"pcm_s16le": "<i2", "pcm_f32le": "<f4"}
END = {"type": "end"}
HEAD = (
    b"GET /ws/enhance HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclasses.dataclass
class Result:
    """All that a server sent on one connection, in order.

    Attributes:
        events: Binary messages as bytes, text messages as dicts.
        close_code: Of the server's close frame, 1006 without one.
    """

    events: list[bytes | dict[str, Any]]
    close_code: int
    encoding: str = "pcm_s16le"
    channels: int = 1

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Text messages of one type."""
        return [event for event in self.events if isinstance(event, dict) and event["type"] == kind]

    @property
    def data(self) -> bytes:
        """All audio."""
        return b"".join(event for event in self.events if isinstance(event, bytes))

    @property
    def audio(self) -> np.ndarray:
        """All audio, ``[channels, samples]``, full scale ±1."""
        return decode(self.data, self.encoding, self.channels)

    @property
    def ready(self) -> dict[str, Any]:
        """The first message."""
        assert isinstance(self.events[0], dict), self.events[0]
        assert self.events[0]["type"] == "ready", self.events[0]
        return self.events[0]

    @property
    def summary(self) -> dict[str, Any]:
        """The last message of a stream that ended well."""
        assert self.close_code == 1000, (self.close_code, self.events[-1])
        assert isinstance(self.events[-1], dict)
        assert self.events[-1]["type"] == "summary"
        return self.events[-1]

    @property
    def error(self) -> dict[str, Any]:
        """The last message of a stream that ended with an error."""
        assert isinstance(self.events[-1], dict), self.close_code
        assert self.events[-1]["type"] == "error", self.events[-1]
        return self.events[-1]

    def samples_before(self, index: int) -> int:
        """Samples received before event number ``index``."""
        size = np.dtype(DTYPES[self.encoding]).itemsize * self.channels
        return sum(len(event) for event in self.events[:index] if isinstance(event, bytes)) // size


def frame(data: bytes, opcode: int = 2, final: bool = True) -> bytes:
    """A WebSocket client's frame of at most 64 kB, with a mask of zeros."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return bytes([opcode | (0x80 if final else 0)]) + size + bytes(4) + data


def encode(audio: np.ndarray, encoding: str = "pcm_s16le") -> bytes:
    """``[channels, samples]`` or ``[samples]`` to interleaved bytes."""
    samples = np.atleast_2d(audio).T
    if encoding == "pcm_s16le":
        samples = np.clip(np.rint(samples * 32768), -32768, 32767)
    return samples.astype(DTYPES[encoding]).tobytes()


def decode(data: bytes, encoding: str = "pcm_s16le", channels: int = 1) -> np.ndarray:
    """The inverse of ``encode``, ``[channels, samples]``."""
    scale = 32768 if encoding == "pcm_s16le" else 1
    return (np.frombuffer(data, DTYPES[encoding]).astype(np.float32) / np.float32(scale)).reshape(-1, channels).T


def cut(data: bytes, lengths: Iterable[int], frame: int = 2) -> list[bytes]:
    """Messages of so many frames, and one with what is left."""
    messages, start = [], 0
    for length in lengths:
        messages.append(data[start : start + length * frame])
        start += length * frame
    return [*messages, data[start:]]


def chunks(data: bytes, seconds: float = 0.02, rate: int = 16000, frame: int = 2) -> list[bytes]:
    """Messages of equal length."""
    size = round(seconds * rate) * frame
    return [data[start : start + size] for start in range(0, len(data), size)]


def tones(
    seconds: float, rate: int = 16000, frequencies: Sequence[float] = (220, 700, 2300, 5100), peak: float = 0.1
) -> np.ndarray:
    """A sum of sines that fades in and out, so that it is band-limited, ``[samples]``."""
    time_ = np.arange(round(seconds * rate)) / rate
    audio = sum(np.sin(2 * np.pi * frequency * time_ + index) for index, frequency in enumerate(frequencies))
    fade = round(0.05 * rate)
    envelope = np.minimum(1, np.minimum(np.arange(len(time_)), np.arange(len(time_))[::-1]) / fade)
    return (peak / len(frequencies) * audio * np.sin(envelope * np.pi / 2) ** 2).astype(np.float32)


def noise(seconds: float, seed: int = 0, rate: int = 16000, channels: int = 1, level: float = 0.1) -> np.ndarray:
    """Noise that swells and fades, on the grid of 16-bit samples, ``[channels, samples]``."""
    samples = round(seconds * rate)
    audio = np.random.default_rng(seed).standard_normal((channels, samples)) * (1 + np.sin(np.arange(samples) / 700 + seed)) / 2
    return decode(encode((level * audio).clip(-1, 1)), channels=1).reshape(samples, channels).T


async def receive(socket: ClientConnection, events: list[bytes | dict[str, Any]]) -> int:
    """Collect what comes until the connection is closed; gives the close code."""
    try:
        while True:
            message = await socket.recv()
            events.append(message if isinstance(message, bytes) else json.loads(message))
    except ConnectionClosed:
        return socket.close_code or 1006


Message = bytes | str | dict[str, Any]


async def talk(
    url: str, messages: Iterable[Message] | AsyncIterable[Message], headers: dict[str, str] | None = None, **query: Any
) -> Result:
    """Send messages one after the other, reading all the while, until the server closes."""
    result = Result([], 0, query.get("encoding", "pcm_s16le"), query.get("channels", 1))
    async with asyncio.timeout(60), live(url, headers, **query) as socket:
        receiver = asyncio.create_task(receive(socket, result.events))
        try:
            if isinstance(messages, AsyncIterable):
                async for message in messages:
                    await send(socket, message)
            else:
                for message in messages:
                    await send(socket, message)
        except ConnectionClosed:
            pass  # the server has had enough: what it said is in the events
        result.close_code = await receiver
    return result


def play(
    url: str, audio: np.ndarray, lengths: Iterable[int] | None = None, headers: dict[str, str] | None = None, **query: Any
) -> Result:
    """One stream of ``[channels, samples]`` from beginning to end, in messages of 20 ms or of so many samples."""
    return asyncio.run(stream(url, audio, lengths, headers, **query))


async def stream(
    url: str, audio: np.ndarray, lengths: Iterable[int] | None = None, headers: dict[str, str] | None = None, **query: Any
) -> Result:
    """The same, to be awaited."""
    audio = np.atleast_2d(audio)
    encoding = query.get("encoding", "pcm_s16le")
    data, frame = encode(audio, encoding), len(audio) * np.dtype(DTYPES[encoding]).itemsize
    rate = query.get("sample_rate", 16000)
    messages = chunks(data, 0.02, rate, frame) if lengths is None else cut(data, lengths, frame)
    return await talk(url, [*messages, END], headers, channels=len(audio), **query)


def live(url: str, headers: dict[str, str] | None = None, **query: Any) -> connect:
    """A connection, to be used with ``async with``."""
    return connect(f"{url}?{urlencode(query)}", additional_headers=headers, compression=None, proxy=None, close_timeout=2)


async def send(socket: ClientConnection, message: Message) -> None:
    """One message; dicts go as JSON."""
    await socket.send(json.dumps(message) if isinstance(message, dict) else message)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Poll until something is so.

    Raises:
        TimeoutError: It never was.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not happen")
        await asyncio.sleep(0.01)
