"""One stream alone: what a server makes of each recording, which the microphones' audio is compared with."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from typing import Any

import numpy as np
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from loadtest.audio import Recording
from loadtest.check import Reference
from loadtest.errors import LoadtestError

AHEAD_SECONDS = 1.0  # sent and not answered yet; no server has to hold back more
PATIENCE_SECONDS = 10.0  # without anything from the server
START = "start one with `quietwire serve`, or name another with --url"


@dataclasses.dataclass(frozen=True)
class Single:
    """What a server said and gave.

    Attributes:
        facts: Its ``ready`` message.
        reference: Its output.
    """

    facts: dict[str, Any]
    reference: Reference


async def run_single(url: str, headers: dict[str, str], recording: Recording, seconds: float) -> Single:
    """Send a recording over and over in one stream, as fast as the server takes it.

    Args:
        url: With the whole query.
        headers: Of the handshake.
        recording: What to send.
        seconds: Audio to send, at least.

    Raises:
        LoadtestError: No connection, an error of the server, or output that is not as long as the input.
    """
    stream = _Stream(recording, seconds)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ws_connect(lambda: stream, url, extra_headers=headers)
    except (OSError, TimeoutError, WSError, ValueError) as error:
        address = url.partition("?")[0]
        reason = " ".join((str(error) or type(error).__name__).split())
        raise LoadtestError(f"no connection to {address} ({reason}): {START}") from error
    return await stream.result()


class _Stream(WSListener):
    def __init__(self, recording: Recording, seconds: float) -> None:
        super().__init__()
        self._recording, self._messages, self._seconds = recording, recording.messages(), seconds
        self._transport: WSTransport | None = None
        self._facts: dict[str, Any] = {}
        self._tail = self._total = self._sent = 0
        self._error = ""
        self._output = bytearray()
        self._summary: dict[str, Any] | None = None
        self._heard, self._closed = asyncio.Event(), asyncio.Event()

    async def result(self) -> Single:
        """Wait for the end, and check it."""
        try:
            while not self._closed.is_set():
                self._heard.clear()
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._heard.wait()
        except TimeoutError as error:
            raise LoadtestError(f"the server sent nothing for {PATIENCE_SECONDS:g} s to a stream that was alone") from error
        finally:
            if self._transport is not None:
                self._transport.disconnect(False)
        if self._summary is None:
            raise LoadtestError(f"the server ended a stream that was alone: {self._error or 'without a word'}")
        if len(self._output) != 2 * self._sent:
            counts = f"sent {self._sent} samples and received {len(self._output) / 2:g}"
            raise LoadtestError(f"a stream that was alone {counts}: the server loses or adds audio")
        output = np.frombuffer(bytes(self._output), "<i2")[: self._sent - self._tail]
        return Single(self._facts, Reference(output, self._tail))

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        self._heard.set()
        if frame.msg_type == WSMsgType.TEXT:
            try:
                self._take(json.loads(frame.get_payload_as_bytes()))
            except (KeyError, TypeError, ValueError, AttributeError):
                self._error = "a text message was not what the protocol says"
                transport.disconnect(False)
        elif frame.msg_type == WSMsgType.CLOSE:
            if not self._error and self._summary is None:
                self._error = frame.get_payload_as_bytes()[2:].decode(errors="replace")
            transport.send_close()
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._output += frame.get_payload_as_memoryview()
            self._send()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self._closed.set()
        self._heard.set()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "ready":
            self._facts, recording = message, self._recording
            milliseconds = float(message["algorithmic_latency_ms"]) + float(message["hop_ms"])
            self._tail = math.ceil(milliseconds / 1000 * recording.rate)
            chunks = math.ceil((self._seconds * recording.rate + self._tail) / recording.chunk)
            self._total = chunks * recording.chunk
            self._send()
        elif message["type"] == "summary":
            self._summary = message
        elif message["type"] == "error":
            self._error = f"{message['message']} ({message['code']})"

    def _send(self) -> None:
        recording, transport = self._recording, self._transport
        if transport is None or self._sent == self._total:
            return
        while self._sent < self._total and self._sent - len(self._output) // 2 < AHEAD_SECONDS * recording.rate:
            transport.send(WSMsgType.BINARY, self._messages[self._sent // recording.chunk % len(self._messages)])
            self._sent += recording.chunk
        if self._sent == self._total:
            transport.send(WSMsgType.TEXT, b'{"type": "end"}')
