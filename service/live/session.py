"""One WebSocket connection: the protocol's messages on the outside, one ``EnhancementStream`` inside.

Audio of a client that keeps pace is handled as it comes, without a task in between. Everything else waits in an inbox: the
receiver takes it out in order, and while the client is too far ahead takes nothing, so that the transport stops reading.
Everything the client gets passes through one bounded outbox, so audio, statistics and answers keep their order.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.websockets import WebSocket, WebSocketDisconnect

from models.zoo import Variant
from service.admission.quotas import Lease
from service.audio import pcm
from service.errors import ServiceError
from service.live import reports
from service.live.inbox import Inbox
from service.live.intake import Intake
from service.live.outbox import Outbox, Receipt
from service.live.pacing import Pacing
from service.live.parameters import Configure, End, Ping, StreamParameters, parse_control
from service.live.statistics import ChunkStatistics
from service.live.stream import EnhancementStream
from service.live.transport import Message, Transport
from service.runtime import Runtime
from service.telemetry.logs import fields

Array = npt.NDArray[np.float32]

log = logging.getLogger(__name__)


class Session:
    """A live stream from ``ready`` to ``summary``.

    Args:
        websocket: Accepted already.
        runtime: What the whole process shares.
        parameters: The query's.
        lease: The client's hold on its share.

    Raises:
        ServiceError: Unknown model or variant, or no room.
    """

    def __init__(self, websocket: WebSocket, runtime: Runtime, parameters: StreamParameters, lease: Lease) -> None:
        self.id = uuid.uuid4().hex
        self._websocket, self._runtime, self._parameters, self._lease = websocket, runtime, parameters, lease
        self._transport = Transport.of(websocket)
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
        self._statistics = ChunkStatistics(parameters.stats, self._stream, runtime.metrics.chunk_latency.observe)
        self._intake = Intake(self._stream, parameters)
        self._transport.limit_unread(self._intake.bytes_a_second)
        patience = runtime.settings.max_unread_seconds
        self._outbox = Outbox(self._transport, patience * self._intake.bytes_a_second, patience, self._statistics.settle)
        self._pacing = Pacing(self._stream, self._outbox, runtime.settings.max_ahead_seconds)
        self._inbox = Inbox(self._transport, runtime.settings.idle_seconds)
        self._begun = time.perf_counter()
        self._waiting: list[Receipt] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seq = 0
        self._metered = 0.0  # seconds of audio that are counted
        self._summed_up = False
        self._record: dict[str, Any] = {}

    async def run(self) -> None:
        """Serve until the client ends or leaves.

        Raises:
            ServiceError: The stream has to be closed with an error.
            WebSocketDisconnect: The client has left.
        """
        self._send({"type": "ready", **self._facts()})
        receiver = asyncio.create_task(self._receive())
        others = [self._outbox.watch(), self._wait_for_disconnect()]
        if self._parameters.stats == "second":
            others.append(self._send_stats_every_second())
        tasks: set[asyncio.Future[None]] = {receiver, self._failure, *map(asyncio.create_task, others)}
        pending = tasks
        self._transport.listen(self._on_message)
        try:
            with self._runtime.live(self):
                while receiver in pending:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
        finally:
            self._transport.listener = _ignore
            self._transport.resume()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.meter()
            self._record = reports.line(self._totals(), self._stream, self._parameters)
            self._stream.close()

    @property
    def variant(self) -> Variant:
        """The variant that the next sample will go through."""
        return self._stream.variant

    @property
    def channels(self) -> int:
        """Each goes through the network on its own."""
        return self._parameters.channels

    def meter(self) -> None:
        """Count the audio so far, and charge the client for it; end the stream when that was more than it may send."""
        seconds = self._stream.samples_in / self._parameters.sample_rate
        self._runtime.metrics.audio_seconds.labels(self.variant.name).inc(seconds - self._metered)
        self._metered = seconds
        try:
            self._lease.charge(seconds)
        except ServiceError as error:
            self.fail(error)

    def fail(self, error: ServiceError) -> None:
        """End the stream with an error from outside, such as a stop of the server."""
        if not self._failure.done():
            self._failure.set_exception(error)

    def log_end(self, close_code: int, reason: str) -> dict[str, Any]:
        """Write the stream's one line in the log, once it has been closed; give the values in it.

        Args:
            close_code: Of the WebSocket.
            reason: The protocol's name of the error, or who ended the stream.
        """
        seconds = round(time.perf_counter() - self._begun, 3)
        values = {"session_id": self.id, "close_code": close_code, "reason": reason, "connected_seconds": seconds}
        values |= self._record
        log.info("stream ended", extra=fields(values))
        return values

    def _facts(self) -> dict[str, Any]:
        return {"session_id": self.id, **reports.facts(self._stream, self._parameters)}

    def _totals(self) -> dict[str, Any]:
        return reports.summary(self._stream, self._parameters, self._statistics.latency, self._intake.repaired)

    # Input

    def _on_message(self, message: Message) -> None:
        """Called by the transport."""
        arrived = self._inbox.hear()
        busy = self._inbox.occupied or self._pacing.too_fast
        if isinstance(message, str) or busy or self._intake.is_long(len(message)):
            self._inbox.put(message, arrived)
            return
        try:
            self._take_audio(message, arrived)
        except ServiceError as error:
            self.fail(error)
        except Exception as error:
            log.exception("a message could not be handled")
            self._on_failure(error)

    async def _receive(self) -> None:
        while True:
            message, arrived = await self._inbox.take()
            await self._pacing.keep()
            if not isinstance(message, str):
                await self._take_long(message, arrived)
            elif await self._take_control(message):
                return
            self._inbox.settled()

    async def _wait_for_disconnect(self) -> None:
        event = await self._websocket.receive()
        raise WebSocketDisconnect(event.get("code", 1005))

    def _take_audio(self, data: bytes, arrived: float) -> None:
        self._runtime.live_seconds += self._intake.feed(data)
        self._waiting.append(Receipt(self._seq, self._stream.position, arrived))
        self._seq += 1
        if not self._stream.waiting_seconds:  # as it filled no hop
            self._on_progress()

    async def _take_long(self, data: bytes, arrived: float) -> None:
        """Take a message in pieces, as if it were several; it is answered once."""
        *before, last = self._intake.pieces(data)
        for piece in before:
            self._runtime.live_seconds += self._intake.feed(piece)
            await asyncio.sleep(0)
            await self._pacing.keep()
        self._take_audio(last, arrived)

    async def _take_control(self, text: str) -> bool:
        """Handle a text message; True when the stream is to end."""
        message = parse_control(text)
        match message:
            case Ping():
                self._send({"type": "pong"})
            case Configure():
                while self._waiting:  # or a client that switches fast would pile up lanes
                    await self._outbox.progress()
                self._configure(message)
            case End():
                self._stream.finish()
                while self._waiting or self._stream.samples_out < self._stream.samples_in:
                    await self._outbox.progress()
                await self._outbox.emptied()
                self._summed_up = True
                self._send({"type": "summary", **self._totals()})
                await self._outbox.emptied()
        return isinstance(message, End)

    def _configure(self, message: Configure) -> None:
        variant = None
        if message.model is not None or message.variant is not None:
            card = self._stream.variant.card
            variant = self._runtime.variant(message.model or card.model, message.variant or card.variant)
            if variant is not self.variant and not self._runtime.fits(variant, self.channels, instead_of=self):
                raise ServiceError("overloaded", f"The server has no room for a stream of {variant.name}: try again later.")
        self.meter()  # what came before is the former variant's
        self._stream.configure(variant, message.attenuation_limit_db)
        self._send({"type": "configured", **self._facts()})

    # Output

    def _send(self, message: dict[str, Any]) -> None:
        self._outbox.put(message)
        self._outbox.flush()

    def _on_audio(self, audio: Array) -> None:
        self._outbox.put(pcm.encode(audio, self._parameters.encoding))

    def _on_progress(self) -> None:
        while self._waiting and self._stream.reached(self._waiting[0].position):
            self._outbox.put(self._waiting.pop(0))
        self._outbox.flush()
        self._outbox.moved.set()

    def _on_failure(self, error: Exception) -> None:
        self.fail(ServiceError("internal", "The server could not enhance this stream: connect again."))

    async def _send_stats_every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self._summed_up:  # the summary is the last
                return
            self._send(self._statistics.second())


def _ignore(message: Message) -> None:
    """What comes after the end of a stream."""
