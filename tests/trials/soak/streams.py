"""What the soak sends: a programme of speech, pauses, loud and quiet, and streams that send it as fast as it is enhanced."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import numpy as np
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from loadtest.audio import Samples, load_recordings

RATE = 16000
CHUNK = 2560  # samples of a message: whole hops, so that every stream is cut at the same places
WINDOW_BYTES = 2 * RATE  # sent and not answered yet
PROBE_SECONDS = 8


def make_programme(seconds: float, seed: int = 1) -> Samples:
    """Speech at changing levels, silence, noise and clipped noise, in pieces of 1 to 9 s, ``[chunks * CHUNK]``."""
    random = np.random.default_rng(seed)
    speech = np.concatenate([one.samples for one in load_recordings([], RATE, 20, 60.0, 8)]).astype(np.float64)
    pieces, total = [], 0
    while total < seconds * RATE:
        length = int(random.integers(1, 10)) * RATE
        kind = random.random()
        if kind < 0.8:
            start = int(random.integers(0, len(speech)))
            piece = speech.take(range(start, start + length), mode="wrap") * 10 ** random.uniform(-2, 0.3)
        elif kind < 0.9:
            piece = np.zeros(length)
        else:
            piece = random.standard_normal(length) * 10 ** random.uniform(1, 5)
        pieces.append(piece)
        total += length
    whole = np.clip(np.rint(np.concatenate(pieces)), -32768, 32767).astype(np.int16)
    return whole[: len(whole) // CHUNK * CHUNK]


def cut(samples: Samples) -> list[bytes]:
    """Messages of ``CHUNK`` samples; what is left over is dropped."""
    data, size = samples.astype("<i2").tobytes(), 2 * CHUNK
    return [data[start : start + size] for start in range(0, len(data) // size * size, size)]


class FastStream(WSListener):
    """One stream, as fast as the server answers.

    Args:
        source: Messages; the stream ends when there are no more.
        keep: Samples to keep of the end of the output.

    Attributes:
        sent: Samples.
        received: Samples.
        fault: Why it did not end as it should, or None.
    """

    def __init__(self, source: Iterator[bytes], keep: int = 0) -> None:
        super().__init__()
        self._source, self._keep = source, 2 * keep
        self._output = bytearray()
        self._sent = self._received = 0
        self._ended = False
        self._summary: tuple[int, int] | None = None
        self.fault: str | None = "it was never let in"
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def sent(self) -> int:
        return self._sent // 2

    @property
    def received(self) -> int:
        return self._received // 2

    @property
    def tail(self) -> Samples:
        """The end of the output ``[keep]``."""
        return np.frombuffer(bytes(self._output[-self._keep :]), "<i2")

    async def run(self, url: str) -> FastStream:
        """From connecting to the end."""
        try:
            await ws_connect(lambda: self, f"{url}&stats=off")
            await self.closed
        except (OSError, WSError) as error:
            self.fault = f"no connection: {error}"
        return self

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        if frame.msg_type == WSMsgType.TEXT:
            message = json.loads(frame.get_payload_as_bytes())
            if message["type"] == "error":
                self.fault = f"{message['code']}: {message['message']}"
            elif message["type"] == "summary":
                self._summary = message["samples_in"], message["samples_out"]
            else:
                self.fault = "it was not finished"
                self._send(transport)
        elif frame.msg_type == WSMsgType.CLOSE:
            if self._summary is not None:
                whole = self._summary == (self.sent, self.sent) and self.received == self.sent
                self.fault = None if whole else f"{self.received} of {self.sent} samples came, told {self._summary}"
            transport.send_close()
            transport.disconnect()
        else:
            self._received += len(frame.get_payload_as_memoryview())
            if self._keep:
                self._output += frame.get_payload_as_memoryview()
                if len(self._output) > 4 * self._keep:
                    del self._output[: -self._keep]
            self._send(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows."""
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self, transport: WSTransport) -> None:
        while not self._ended and self._sent - self._received < WINDOW_BYTES:
            message = next(self._source, None)
            if message is None:
                self._ended = True
                transport.send(WSMsgType.TEXT, b'{"type": "end"}')
            else:
                self._sent += len(message)
                transport.send(WSMsgType.BINARY, message)
