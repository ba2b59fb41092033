"""What all requests of one process share: settings, variants, engine, metrics, and who may come in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from models.machine import processors
from models.zoo import Variant, Zoo
from service.admission.access import Access
from service.admission.quotas import Quotas
from service.engine.capacity import Capacity
from service.engine.keeper import EngineKeeper
from service.engine.overload import PERIOD_SECONDS, Closable, Overload
from service.engine.priority import answer_soon, yield_to_live_streams
from service.engine.thread import Engine
from service.errors import ServiceError
from service.files.decoders import Decoders
from service.files.traffic import FileTraffic
from service.settings import Settings
from service.telemetry.metrics import Metrics

CLOSE_SECONDS = 2.0  # a client that does not read how its stream ended is not waited for longer

log = logging.getLogger(__name__)


class Live(Closable, Protocol):
    """A live stream, as far as the runtime is concerned."""

    @property
    def variant(self) -> Variant:
        """What it goes through."""

    @property
    def channels(self) -> int:
        """How many of them."""

    def meter(self) -> None:
        """Charge its client for the audio so far."""


class Runtime:
    """Made when the server starts, in its event loop; ``start`` and ``stop`` bracket its life."""

    def __init__(self, settings: Settings, zoo: Zoo) -> None:
        self.settings, self.zoo, self.metrics = settings, zoo, Metrics()
        self.capacity = Capacity(processors() / settings.workers, settings.max_load)
        self.keeper = EngineKeeper(self._make_engine, lambda: self.variant(None, None), settings.max_step_seconds, self.metrics)
        self.metrics.watch_queue(lambda: self.engine.waiting_seconds)
        self.access, self.quotas = Access(settings), Quotas(settings)
        self.live_seconds = 0.0  # of audio, taken from all live streams so far
        self.uploads = ThreadPoolExecutor(settings.uploads, "upload", initializer=yield_to_live_streams)
        self.decoders = Decoders()
        self.draining = False
        self.files = FileTraffic(settings.uploads, self.quotas, self.check_open)
        self._streams: dict[Live, None] = {}  # oldest first
        self._connections = 0
        self._guard: asyncio.Task[None] | None = None

    @property
    def engine(self) -> Engine:
        """The engine that new streams go to."""
        return self.keeper.engine

    def _make_engine(self) -> Engine:
        # a stream has up to two channels, and up to three paths of one variant when it switches every 10 ms
        rows = 6 * self.settings.max_streams
        loop, count_resets = asyncio.get_running_loop(), self.metrics.resets.inc
        return Engine(loop, rows, self._observe_step, count_resets, one_processor=self.capacity.one_processor)

    def start(self) -> None:
        """Measure the variants, start the engine and the watch over it."""
        for variant in self.zoo.variants.values():
            self.capacity.calibrate(variant)
        self.engine.start()
        answer_soon()
        self.metrics.ready.set(self.not_ready_reason() is None)
        self._guard = asyncio.create_task(self._watch())

    def _observe_step(self, name: str, rows: int, hops: int, seconds: float) -> None:
        self.metrics.observe_step(name, rows, seconds)
        self.capacity.observe_step(name, rows, hops, seconds)

    async def _watch(self) -> None:
        """Keep the estimate of the capacity up to date, and close streams when nothing else helps."""
        overload, busy, heard = Overload(most=self.settings.max_lag_seconds), time.thread_time(), self.live_seconds
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            self.keeper.check(list(self._streams), time.monotonic())
            if self.keeper.stepping_seconds < 2 * PERIOD_SECONDS:  # else it hangs, and fewer streams would be no help
                self.metrics.shed.inc(overload.check(self.engine.lag, list(self._streams), time.monotonic()))
            for stream in list(self._streams):
                stream.meter()
            self.metrics.ready.set(self.not_ready_reason() is None)
            self.metrics.load.set(self.capacity.load((stream.variant, stream.channels) for stream in self._streams))
            now = time.thread_time()
            self.capacity.observe_loop(now - busy, self.live_seconds - heard)
            if not self._streams:
                self.capacity.rest(PERIOD_SECONDS)
            busy, heard = now, self.live_seconds

    async def drain(self) -> None:
        """Refuse what is new, let all else finish up to the drain time, then tell the streams that are left."""
        self.draining = True
        end = time.monotonic() + self.settings.drain_seconds
        if self._streams:
            log.info("draining: %d streams have %g s to finish", len(self._streams), self.settings.drain_seconds)
        while (self._streams or not self.files.idle) and time.monotonic() < end:
            await asyncio.sleep(0.05)
        for stream in list(self._streams):
            stream.fail(ServiceError("restarting", "The server is being stopped: connect again."))
        end = max(end, time.monotonic() + CLOSE_SECONDS + 0.5)
        while self._connections and time.monotonic() < end:
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Stop the engine, the upload threads and the decoders."""
        if self._guard is not None:
            self._guard.cancel()
        self.engine.stop()
        self.uploads.shutdown(wait=False, cancel_futures=True)
        self.decoders.close()

    def variant(self, model: str | None, variant: str | None) -> Variant:
        """The variant asked for, or the default.

        Raises:
            ServiceError: It is not loaded; the message lists those that are.
        """
        settings, loaded = self.settings, self.zoo.variants
        wanted_model, wanted_variant = model or settings.default_model, variant or settings.default_variant
        found = self.zoo.get(wanted_model, wanted_variant)
        if found is None and variant is None:  # the default may not be loaded: take what is, of the same model
            candidates = [one for one in loaded.values() if model in (None, one.card.model)]
            preferred = [one for one in candidates if one.card.model == wanted_model]
            found = next(iter(preferred or candidates), None)
        if found is None:
            names = ", ".join(self.zoo.names)
            wanted = f"{wanted_model}/{wanted_variant}"[:80]  # a client may have sent anything
            raise ServiceError("unknown_model", f"{wanted} is not loaded: use one of {names}.")
        return found

    def not_ready_reason(self) -> str | None:
        """Why a new stream would not be let in now, or None."""
        if self.draining:
            return "draining"
        if self.keeper.fault is not None or not self.engine.alive:
            return self.keeper.fault or "the engine has stopped"
        return None if self.has_room else "no room for another stream"

    @property
    def has_room(self) -> bool:
        """Whether another stream of the default variant would be let in."""
        return self._has_room(self.variant(None, None), 1)

    def _has_room(self, variant: Variant, channels: int) -> bool:
        if len(self._streams) >= self.settings.max_streams or not self.engine.has_room(variant, channels):
            return False
        return self.engine.lag < self.settings.max_lag_seconds and self.fits(variant, channels)

    def fits(self, variant: Variant, channels: int, instead_of: Live | None = None) -> bool:
        """Whether another stream, or another variant for one that there is, would leave all others in time.

        A variant that takes no more than the one before is no worse, whatever the load.
        """
        if instead_of is not None and self.capacity.cost(variant) <= self.capacity.cost(instead_of.variant):
            return True
        others = [(stream.variant, stream.channels) for stream in self._streams if stream is not instead_of]
        return self.capacity.fits([*others, (variant, channels)])

    def check_open(self) -> None:
        """Check that anybody is let in.

        Raises:
            ServiceError: The server is being stopped.
        """
        if self.draining:
            raise ServiceError("restarting", "The server is being stopped: connect again.")

    def admit(self, variant: Variant, channels: int) -> None:
        """Check that another stream can be kept in time.

        Raises:
            ServiceError: It cannot.
        """
        if self.keeper.fault is not None or not self.engine.alive:
            raise ServiceError("internal", "The server recovers from a fault: connect again in a moment.")
        if not self._has_room(variant, channels):
            raise ServiceError("overloaded", "The server holds no room for another stream: try again later.")

    @contextlib.contextmanager
    def connection(self) -> Iterator[None]:
        """Count a WebSocket until it has been told how it ended: a stop waits for that."""
        self._connections += 1
        try:
            yield
        finally:
            self._connections -= 1

    @contextlib.contextmanager
    def live(self, stream: Live) -> Iterator[None]:
        """Count a stream while it lasts."""
        self._streams[stream] = None
        self.metrics.admitted.inc()
        self.metrics.live_streams.set(len(self._streams))
        try:
            yield
        finally:
            del self._streams[stream]
            self.metrics.live_streams.set(len(self._streams))


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
