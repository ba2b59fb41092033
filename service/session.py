"""One WebSocket connection: the protocol's messages on the outside, one ``EnhancementStream`` inside.

Two tasks run per connection. The receiver reads messages in order and stops reading while the client is too far ahead;
the sender writes what the stream delivers. Everything the client gets passes through one bounded outbox, so audio,
statistics and answers keep their order.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.websockets import WebSocket, WebSocketDisconnect

from service import pcm
from service.errors import ServiceError
from service.latency import LatencyHistogram
from service.outbox import Outbox, Receipt
from service.parameters import Configure, End, Ping, StreamParameters, parse_control
from service.runtime import Runtime, describe
from service.stream import EnhancementStream

Array = npt.NDArray[np.float32]
MAX_WAITING_SECONDS = 2.0  # handed to the engine and not stepped yet

log = logging.getLogger(__name__)


class Session:
    """A live stream from ``ready`` to ``summary``.

    Args:
        websocket: Accepted already.
        runtime: What the whole process shares.
        parameters: The query's.

    Raises:
        ServiceError: Unknown model or variant, or no room.
    """

    def __init__(self, websocket: WebSocket, runtime: Runtime, parameters: StreamParameters) -> None:
        self.id = uuid.uuid4().hex
        self._websocket, self._runtime, self._parameters = websocket, runtime, parameters
        variant = runtime.variant(parameters.model, parameters.variant)
        runtime.admit(variant, parameters.channels)
        self._stream = EnhancementStream(
            runtime.engine,
            variant,
            parameters.sample_rate,
            parameters.channels,
            parameters.attenuation_limit_db,
            self._on_audio,
            self._on_progress,
            self._on_failure,
        )
        bytes_per_second = parameters.sample_rate * parameters.channels * pcm.SAMPLE_BYTES[parameters.encoding]
        patience = runtime.settings.max_unread_seconds
        self._outbox = Outbox(websocket, patience * bytes_per_second, patience, self._settle)
        self._waiting: deque[Receipt] = deque()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seq = self._repaired = 0
        self._latency, self._window = LatencyHistogram(), LatencyHistogram()

    async def run(self) -> None:
        """Serve until the client ends or leaves.

        Raises:
            ServiceError: The stream has to be closed with an error.
            WebSocketDisconnect: The client has left.
        """
        self._outbox.put({"type": "ready", "session_id": self.id, **self._facts()})
        sender = asyncio.create_task(self._outbox.send_until("summary"))
        tasks: set[asyncio.Future[None]] = {sender, asyncio.create_task(self._receive()), self._failure}
        if self._parameters.stats == "second":
            tasks.add(asyncio.create_task(self._send_stats_every_second()))
        pending = tasks
        try:
            with self._runtime.live(self):
                while sender in pending:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._log_end()
            self._stream.close()

    def fail(self, error: ServiceError) -> None:
        """End the stream with an error from outside, such as a stop of the server."""
        if not self._failure.done():
            self._failure.set_exception(error)

    def _log_end(self) -> None:
        stream, name = self._stream, self._stream.variant.name
        self._runtime.metrics.audio_seconds.labels(name).inc(stream.samples_in / self._parameters.sample_rate)
        latency = self._latency.percentiles(50, 99)
        log.info("stream %s (%s): %d samples in, %d out, ms %s", self.id, name, stream.samples_in, stream.samples_out, latency)

    def _facts(self) -> dict[str, Any]:
        variant, parameters = self._stream.variant, self._parameters
        return {
            **describe(variant),
            "sample_rate": parameters.sample_rate,
            "encoding": parameters.encoding,
            "channels": parameters.channels,
            "attenuation_limit_db": self._stream.attenuation_limit_db,
            "hop_ms": variant.hop / variant.sample_rate * 1000,
            "algorithmic_latency_ms": round(self._stream.latency_seconds * 1000, 3),
        }

    # Input

    async def _receive(self) -> None:
        while True:
            await self._paced()
            try:
                async with asyncio.timeout(self._runtime.settings.idle_seconds):
                    event = await self._websocket.receive()
            except TimeoutError as error:
                seconds = self._runtime.settings.idle_seconds
                raise ServiceError("idle", f"Nothing was received for {seconds:g} s: send audio, or end the stream.") from error
            if event["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(event.get("code", 1005))
            arrived = time.perf_counter()
            if event.get("bytes") is not None:
                self._take_audio(event["bytes"], arrived)
            elif await self._take_control(event["text"]):
                return

    async def _paced(self) -> None:
        """Wait while the client is too far ahead; the transport then slows it down."""
        stream = self._stream
        while stream.waiting_seconds > MAX_WAITING_SECONDS or self._outbox.fill > 0.5:
            await self._progress()
        while (ahead := stream.ahead_seconds - self._runtime.settings.max_ahead_seconds) > 0:
            await asyncio.sleep(min(ahead, 0.5))

    async def _progress(self) -> None:
        """Wait until something was stepped or sent."""
        self._outbox.moved.clear()
        await self._outbox.moved.wait()

    def _take_audio(self, data: bytes, arrived: float) -> None:
        if self._stream.samples_in == 0:
            pcm.refuse_header(data)
        audio, repaired = pcm.decode(data, self._parameters.encoding, self._parameters.channels)
        self._repaired += repaired
        self._stream.feed(audio)
        self._waiting.append(Receipt(self._seq, self._stream.position, arrived))
        self._seq += 1
        self._on_progress()

    async def _take_control(self, text: str) -> bool:
        """Handle a text message; True when the stream is to end."""
        message = parse_control(text)
        match message:
            case Ping():
                self._outbox.put({"type": "pong"})
            case Configure():
                while self._waiting:  # or a client that switches fast would pile up lanes
                    await self._progress()
                self._configure(message)
            case End():
                self._stream.finish()
                while self._waiting or self._stream.samples_out < self._stream.samples_in:
                    await self._progress()
                await self._outbox.emptied()
                self._outbox.put(self._summary())
        return isinstance(message, End)

    def _configure(self, message: Configure) -> None:
        variant = None
        if message.model is not None or message.variant is not None:
            card = self._stream.variant.card
            variant = self._runtime.variant(message.model or card.model, message.variant or card.variant)
        self._stream.configure(variant, message.attenuation_limit_db)
        self._outbox.put({"type": "configured", "session_id": self.id, **self._facts()})

    def _summary(self) -> dict[str, Any]:
        stream = self._stream
        seconds = stream.samples_in / self._parameters.sample_rate
        return {
            "type": "summary",
            "samples_in": stream.samples_in,
            "samples_out": stream.samples_out,
            "audio_seconds": round(seconds, 6),
            "latency_ms": self._latency.percentiles(50, 95, 99),
            "real_time_factor": round(stream.compute_seconds / seconds, 6) if seconds else 0.0,
            "model_bytes": stream.variant.card.bytes,
            "samples_repaired": self._repaired,
        }

    # Output

    def _on_audio(self, audio: Array) -> None:
        self._outbox.put(pcm.encode(audio, self._parameters.encoding))

    def _on_progress(self) -> None:
        while self._waiting and self._stream.reached(self._waiting[0].position):
            self._outbox.put(self._waiting.popleft())
        self._outbox.moved.set()

    def _on_failure(self, error: Exception) -> None:
        self.fail(ServiceError("internal", "The server could not enhance this stream: connect again."))

    def _settle(self, receipt: Receipt) -> dict[str, Any] | None:
        latency = (time.perf_counter() - receipt.arrived) * 1000
        self._latency.add(latency)
        self._window.add(latency)
        self._runtime.metrics.chunk_latency.observe(latency / 1000)
        if self._parameters.stats != "chunk":
            return None
        timing = self._stream.timing
        return {
            "type": "stats",
            "seq": receipt.seq,
            "latency_ms": round(latency, 3),
            "queue_ms": round(timing.queue * 1000, 3),
            "compute_ms": round(timing.compute * 1000, 3),
            "batch": timing.batch,
            "model_bytes": self._stream.variant.card.bytes,
        }

    async def _send_stats_every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            window, self._window = self._window, LatencyHistogram()
            self._outbox.put(
                {"type": "stats", "window_ms": 1000, "chunks": window.count, "latency_ms": window.percentiles(50, 95)}
            )
