"""One WebSocket connection: the protocol's messages on the outside, one ``EnhancementStream`` inside.

Two tasks run per connection. The receiver reads messages in order and stops reading while the client is too far ahead;
the sender writes what the stream delivers. Everything the client gets passes through one bounded outbox, so audio,
statistics and answers keep their order.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
import uuid
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.websockets import WebSocket, WebSocketDisconnect

from models.zoo import Variant
from service import pcm
from service.errors import ServiceError
from service.latency import LatencyHistogram
from service.parameters import Configure, End, Ping, StreamParameters, parse_control
from service.runtime import Runtime
from service.stream import EnhancementStream

Array = npt.NDArray[np.float32]
MAX_WAITING_SECONDS = 2.0  # handed to the engine and not stepped yet

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Message:
    """An input message whose output is on its way."""

    seq: int
    position: int
    arrived: float


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
        self._outbox: deque[bytes | dict[str, Any] | _Message] = deque()
        self._unsent = 0  # bytes of audio in the outbox
        self._filled, self._progressed = asyncio.Event(), asyncio.Event()
        self._waiting: deque[_Message] = deque()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seq = self._repaired = 0
        self._latency, self._window = LatencyHistogram(), LatencyHistogram()
        bytes_per_second = parameters.sample_rate * parameters.channels * pcm.SAMPLE_BYTES[parameters.encoding]
        self._unsent_limit = runtime.settings.max_unread_seconds * bytes_per_second

    async def run(self) -> None:
        """Serve until the client ends or leaves.

        Raises:
            ServiceError: The stream has to be closed with an error.
            WebSocketDisconnect: The client has left.
        """
        self._put({"type": "ready", "session_id": self.id, **self._facts()})
        sender = asyncio.create_task(self._send())
        pending: set[asyncio.Future[None]] = {sender, asyncio.create_task(self._receive()), self._failure}
        if self._parameters.stats == "second":
            pending.add(asyncio.create_task(self._send_stats_every_second()))
        try:
            with self._runtime.live(self):
                while sender in pending:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
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
        while stream.waiting_seconds > MAX_WAITING_SECONDS or self._unsent > self._unsent_limit / 2:
            await self._progress()
        while (ahead := stream.ahead_seconds - self._runtime.settings.max_ahead_seconds) > 0:
            await asyncio.sleep(min(ahead, 0.5))

    async def _progress(self) -> None:
        self._progressed.clear()
        await self._progressed.wait()

    def _take_audio(self, data: bytes, arrived: float) -> None:
        limit = self._runtime.settings.max_message_bytes
        if len(data) > limit:
            raise ServiceError("too_large", f"A message of {len(data)} bytes is over the limit of {limit}: send smaller ones.")
        if self._stream.samples_in == 0:
            pcm.refuse_header(data)
        audio, repaired = pcm.decode(data, self._parameters.encoding, self._parameters.channels)
        self._repaired += repaired
        self._stream.feed(audio)
        self._waiting.append(_Message(self._seq, self._stream.position, arrived))
        self._seq += 1
        self._on_progress()

    async def _take_control(self, text: str) -> bool:
        """Handle a text message; True when the stream is to end."""
        if len(text) > self._runtime.settings.max_message_bytes:
            raise ServiceError("too_large", "A control message must be a short JSON object.")
        message = parse_control(text)
        match message:
            case Ping():
                self._put({"type": "pong"})
            case Configure():
                self._configure(message)
            case End():
                self._stream.finish()
                while self._waiting or self._stream.samples_out < self._stream.samples_in:
                    await self._progress()
                self._put(self._summary())
        return isinstance(message, End)

    def _configure(self, message: Configure) -> None:
        variant = None
        if message.model is not None or message.variant is not None:
            card = self._stream.variant.card
            variant = self._runtime.variant(message.model or card.model, message.variant or card.variant)
        self._stream.configure(variant, message.attenuation_limit_db)
        self._put({"type": "configured", "session_id": self.id, **self._facts()})

    def _summary(self) -> dict[str, Any]:
        stream = self._stream
        seconds = stream.samples_in / self._parameters.sample_rate
        return {
            "type": "summary",
            "samples_in": stream.samples_in,
            "samples_out": stream.samples_out,
            "audio_seconds": round(seconds, 6),
            "latency_ms": self._latency,
            "real_time_factor": round(stream.compute_seconds / seconds, 6) if seconds else 0.0,
            "model_bytes": stream.variant.card.bytes,
            "samples_repaired": self._repaired,
        }

    # Output

    def _put(self, item: bytes | dict[str, Any] | _Message) -> None:
        self._outbox.append(item)
        self._filled.set()

    def _on_audio(self, audio: Array) -> None:
        data = pcm.encode(audio, self._parameters.encoding)
        self._unsent += len(data)
        self._put(data)
        if self._unsent > self._unsent_limit:
            self.fail(self._unread())

    def _on_progress(self) -> None:
        while self._waiting and self._stream.reached(self._waiting[0].position):
            self._put(self._waiting.popleft())
        self._progressed.set()

    def _on_failure(self, error: Exception) -> None:
        self.fail(ServiceError("internal", "The server could not enhance this stream: connect again."))

    async def _send(self) -> None:
        """Write the outbox until the summary is out."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._outbox:
                item = self._outbox.popleft()
                try:
                    async with asyncio.timeout(self._runtime.settings.max_unread_seconds):
                        await self._send_item(item)
                except TimeoutError as error:
                    raise self._unread() from error
                if isinstance(item, dict) and item["type"] == "summary":
                    return
                self._progressed.set()

    def _unread(self) -> ServiceError:
        seconds = self._runtime.settings.max_unread_seconds
        return ServiceError("overloaded", f"Output was left unread for {seconds:g} s: read it as it comes.")

    async def _send_item(self, item: bytes | dict[str, Any] | _Message) -> None:
        if isinstance(item, bytes):
            await self._websocket.send_bytes(item)
            self._unsent -= len(item)
            return
        if isinstance(item, _Message):
            latency = (time.perf_counter() - item.arrived) * 1000
            self._latency.add(latency)
            self._window.add(latency)
            self._runtime.metrics.chunk_latency.observe(latency / 1000)
            if self._parameters.stats != "chunk":
                return
            timing = self._stream.timing
            item = {
                "type": "stats",
                "seq": item.seq,
                "latency_ms": round(latency, 3),
                "queue_ms": round(timing.queue * 1000, 3),
                "compute_ms": round(timing.compute * 1000, 3),
                "batch": timing.batch,
                "model_bytes": self._stream.variant.card.bytes,
            }
        elif item["type"] == "summary":  # after all chunks have been counted
            item = item | {"latency_ms": self._latency.percentiles(50, 95, 99)}
        await self._websocket.send_text(json.dumps(item))

    async def _send_stats_every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            window, self._window = self._window, LatencyHistogram()
            self._put({"type": "stats", "window_ms": 1000, "chunks": window.count, "latency_ms": window.percentiles(50, 95)})


def describe(variant: Variant) -> dict[str, Any]:
    """The facts about a variant that ``ready``, ``/variants`` and ``/compare`` share."""
    card = variant.card
    return {
        "model": card.model,
        "variant": card.variant,
        "model_bytes": card.bytes,
        "size_ratio": card.size_ratio,
        "parameters": card.parameters,
    }
