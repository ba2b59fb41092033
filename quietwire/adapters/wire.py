"""The network on a server, for callers that cannot wait: what has not come back in time is heard unprocessed."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from quietwire.adapters.frames import Array, FrameEnhancer
from quietwire.client.address import Address
from quietwire.client.errors import QuietwireError
from quietwire.client.loop_thread import LoopThread
from quietwire.client.options import Reconnect, StreamOptions
from quietwire.client.stream import AsyncStream
from service.audio.fifo import SampleFifo

log = logging.getLogger(__name__)
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds before another stream is tried


class WireEnhancer(FrameEnhancer):
    """A live stream to a server, in a thread of its own; ``process`` does not wait for it.

    Output is given a constant ``delay_ms`` after its input. Samples that have not come back by then are given as they
    were sent, at the same place in time, and counted in ``late_samples``; when they do come they are dropped. So a slow
    or broken connection lets noise through and never holds up the call. It is made again as ``AsyncStream`` does; a stream
    that has ended all the same is followed by another one, at once where it ended because nothing was said for long (a muted
    microphone), later and later where the server is full or away, and never where it refuses what is asked for.

    Args:
        url: Of the server.
        sample_rate: In Hz, 8000 to 48000.
        channels: 1 or 2.
        delay_ms: Time for the way there and back and the network's latency, 32 ms of ``crn`` and 23.5 ms of ``fcn``.
        token: API key.
        options: Model, variant and attenuation limit, as for ``AsyncClient.stream``.
        flush_seconds: How long ``flush`` waits for the rest at most.

    Attributes:
        late_samples: Given unprocessed because their output was not there.
        failure: Why all audio passes unprocessed at present; None while there is a stream or none was needed yet.
    """

    def __init__(
        self,
        url: str,
        sample_rate: int,
        channels: int = 1,
        *,
        delay_ms: float = 100.0,
        token: str | None = None,
        options: StreamOptions | None = None,
        flush_seconds: float = 5.0,
    ) -> None:
        self._address, self._token, self._flush_seconds = Address.parse(url), token, flush_seconds
        self._options: dict[str, Any] = {
            "stats": "off",
            **(options or {}),
            "sample_rate": sample_rate,
            "channels": channels,
            "encoding": "pcm_f32le",
        }
        self._thread = LoopThread()
        self._arrival = threading.Condition()
        self._outgoing: asyncio.Queue[Array | None] | None = None  # of the present stream
        self._wait, self._next_attempt = FIRST_WAIT, 0.0  # seconds, and on the clock of ``time.monotonic``
        self.late_samples = 0
        self.failure: Exception | None = None
        super().__init__(sample_rate, channels, 100.0, round(delay_ms / 1000 * sample_rate))

    def _begin(self) -> None:
        super()._begin()
        with self._arrival:
            self._outgoing = None
            self._wet = SampleFifo(self.channels)  # output, from sample ``_received - len(_wet)`` to ``_received``
            self._given = self._received = 0

    def close(self) -> None:
        """Break the stream off and end its thread."""
        self._thread.stop()
        super().close()

    def _submit(self, audio: Array) -> None:
        with self._arrival:
            if self._outgoing is None:
                if time.monotonic() < self._next_attempt:
                    return
                self._leave_out(self._taken - audio.shape[1])
                self._outgoing = asyncio.Queue()
                asyncio.run_coroutine_threadsafe(self._converse(self._outgoing), self._thread.loop)
            outgoing = self._outgoing
        samples = np.ascontiguousarray(audio.T) if self.channels > 1 else audio[0].copy()
        self._thread.loop.call_soon_threadsafe(outgoing.put_nowait, samples)

    def _leave_out(self, begin: int) -> None:
        """The output up to ``begin`` that has not come will not come any more: the next is that of ``begin``."""
        if self._received < self._given:
            self._wet, self._received = SampleFifo(self.channels), self._given
        self._wet.append(np.full((self.channels, begin - self._received), np.nan, dtype=np.float32))
        self._received = begin

    def _finish(self) -> None:
        with self._arrival:
            if self._outgoing is not None:
                self._thread.loop.call_soon_threadsafe(self._outgoing.put_nowait, None)
            self._arrival.wait_for(lambda: self._received >= self._taken or self._outgoing is None, self._flush_seconds)

    def _enhanced(self, dry: Array) -> Array:
        count = dry.shape[1]
        with self._arrival:
            late = min(self._given - (self._received - len(self._wet)), len(self._wet))
            self._wet.take(late)
            ready = min(len(self._wet), count)
            wet = self._wet.take(ready)
        self._given += count
        wet = np.concatenate([wet, np.full((self.channels, count - ready), np.nan, dtype=np.float32)], axis=1)
        missing = np.isnan(wet)
        self.late_samples += int(missing[0].sum())
        return np.where(missing, dry, wet)

    async def _converse(self, outgoing: asyncio.Queue[Array | None]) -> None:
        async def source() -> AsyncIterator[Array]:
            while (samples := await outgoing.get()) is not None:
                yield samples

        options = StreamOptions(**self._options)  # type: ignore[typeddict-item]
        try:
            async with AsyncStream(self._address, self._token, Reconnect(), options) as stream:
                async for samples in stream.enhance(source()):
                    self._arrived(samples.reshape(-1, self.channels).T, outgoing)
        except Exception as error:  # whatever it is, the call goes on
            self._ended(error, outgoing)

    def _ended(self, error: Exception, outgoing: asyncio.Queue[Array | None]) -> None:
        with self._arrival:
            if outgoing is not self._outgoing:
                return  # a stream that was given up
            code = error.code if isinstance(error, QuietwireError) else ""
            if code == "idle":
                log.info("nothing was said for so long that the stream has ended: the next sound begins another")
            else:
                if self.failure is None:
                    log.warning("noise is not removed: %s", error)
                self.failure = error
                again = isinstance(error, QuietwireError) and error.retryable
                self._next_attempt = time.monotonic() + (self._wait if again else float("inf"))
                self._wait = min(LONGEST_WAIT, 2 * self._wait)
            self._outgoing = None
            self._arrival.notify_all()

    def _arrived(self, audio: Array, outgoing: asyncio.Queue[Array | None]) -> None:
        with self._arrival:
            if outgoing is self._outgoing:  # not the rest of a stream that was given up
                self.failure, self._wait = None, FIRST_WAIT
                self._wet.append(audio)
                self._received += audio.shape[1]
                self._arrival.notify_all()
