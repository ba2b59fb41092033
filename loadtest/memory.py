"""What a live stream adds to a server's memory: streams that have talked stay open, and the server's resident memory is read.

The first streams talk in bursts and stay: with them the runtime's buffers get the size of a full batch, which is not counted.
The others join a few at a time, so that no backlog is measured.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from loadtest.errors import LoadtestError

WARM_UP = 40  # streams; a batch of the engine is 32 of them
BURST_CHUNKS = 8
GROUP = 25  # streams that talk at once
CHUNK_SECONDS = 0.02
SETTLE_SECONDS = 1.0
PATIENCE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Reading:
    """Resident memory of the server with so many live streams, in bytes."""

    streams: int
    resident: int


def stream_bytes(readings: Sequence[Reading]) -> float:
    """Bytes that a stream adds: the slope of a straight line through all readings but those without streams."""
    live = [one for one in readings if one.streams]
    slope, _ = np.polyfit([one.streams for one in live], [one.resident for one in live], 1)
    return float(slope)


async def read_memory(
    url: str, messages: Sequence[bytes], counts: Sequence[int], seconds: float, resident: Callable[[], int]
) -> list[Reading]:
    """Open streams, let each talk at real-time pace and fall silent, and read the memory: without streams and at each count.

    Args:
        url: With the query of the streams.
        messages: 20 ms of speech each, sent over and over.
        counts: Numbers of live streams, ascending, above ``WARM_UP``.
        seconds: How long each talks.
        resident: Reads the server's memory.

    Raises:
        LoadtestError: The server refuses a stream, or does not answer.
    """
    readings = [Reading(0, resident())]
    streams: list[_Stream] = []
    try:
        for count in (WARM_UP, *counts):
            while len(streams) < count:
                size = min(count - len(streams), WARM_UP if not streams else GROUP)
                group = [await _join(url, len(streams)) for _ in range(size)]
                streams += group
                await _talk(group, messages, seconds, bursts=len(streams) == WARM_UP)
            await asyncio.sleep(SETTLE_SECONDS)
            readings.append(Reading(count, resident()))
    finally:
        for stream in streams:
            await stream.hang_up()
    return readings


async def _join(url: str, before: int) -> _Stream:
    stream = _Stream()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ws_connect(lambda: stream, url, websocket_handshake_timeout=PATIENCE_SECONDS)
            await stream.said.wait()
    except (OSError, TimeoutError, WSError) as error:
        await stream.hang_up()
        raise LoadtestError(f"stream {before + 1} could not be made ({str(error) or type(error).__name__})") from error
    if stream.error:
        await stream.hang_up()
        raise LoadtestError(f"the server let in {before} streams and no more: name fewer with --streams ({stream.error})")
    return stream


async def _talk(streams: Sequence[_Stream], messages: Sequence[bytes], seconds: float, bursts: bool) -> None:
    began, chunks = time.perf_counter(), round(seconds / CHUNK_SECONDS)
    for chunk in range(chunks):
        if not bursts or chunk % BURST_CHUNKS == BURST_CHUNKS - 1:
            for stream in streams:
                stream.send_up_to(chunk + 1, messages)
        await asyncio.sleep(max(0.0, began + (chunk + 1) * CHUNK_SECONDS - time.perf_counter()))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for stream in streams:
                await stream.answered()
    except TimeoutError as error:
        raise LoadtestError(f"the server left chunks unanswered for {PATIENCE_SECONDS:g} s: look at its log") from error


class _Stream(WSListener):
    def __init__(self) -> None:
        super().__init__()
        self._transport: WSTransport | None = None
        self._sent = self._texts = 0
        self.said = asyncio.Event()  # the server has sent a text message since this was cleared
        self._gone = asyncio.Event()
        self.error = ""

    def send_up_to(self, count: int, messages: Sequence[bytes]) -> None:
        """Send messages until there have been so many."""
        assert self._transport is not None
        while self._sent < count:
            self._transport.send(WSMsgType.BINARY, messages[self._sent % len(messages)])
            self._sent += 1

    async def answered(self) -> None:
        """Wait for the statistics of all that was sent, which follow ``ready``."""
        while self._texts < self._sent + 1:
            if self.error:
                raise LoadtestError(f"the server ended a stream: {self.error}")
            self.said.clear()
            await self.said.wait()

    async def hang_up(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.disconnect(False)
            await self._gone.wait()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        if frame.msg_type == WSMsgType.TEXT:
            self._texts += 1
            text = frame.get_payload_as_ascii_text()
            if '"type": "error"' in text:
                self.error = text
            self.said.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self.error = self.error or "the connection is gone"
        self.said.set()
        self._gone.set()
