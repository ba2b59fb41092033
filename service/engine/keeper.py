"""Keeps an engine running: one that hangs or has died is given up, its streams are told, and a new one takes its place."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import numpy as np

from models.zoo import Variant
from service.engine.lane import Lane
from service.engine.overload import Closable
from service.engine.thread import Engine
from service.engine.watchdog import Watchdog
from service.errors import ServiceError
from service.telemetry.metrics import Metrics

MAX_HUNG = 3  # threads given up that still hang: with one more, only a new process helps

log = logging.getLogger(__name__)


class EngineKeeper:
    """All methods run in the event loop.

    Args:
        make: Makes an engine.
        trial: Gives what a new engine has to step before it is trusted.
        limit: Seconds that one step may take.
        metrics: Where replacements are counted.

    Attributes:
        engine: The one in use.
        fault: Why no stream can be let in at the moment, or None.
    """

    def __init__(self, make: Callable[[], Engine], trial: Callable[[], Variant], limit: float, metrics: Metrics) -> None:
        self._make, self._trial, self._limit, self._metrics = make, trial, limit, metrics
        self._watchdog = Watchdog(limit)
        self._given_up: list[Engine] = []
        self.engine = make()
        self.fault: str | None = None

    @property
    def stepping_seconds(self) -> float:
        """For how long the engine has been in one step, as far as it was seen."""
        return self._watchdog.seconds

    def check(self, streams: Iterable[Closable], now: float) -> None:
        """Look after the engine; call it every so often.

        Args:
            streams: Those that the engine steps.
            now: On any steady clock.
        """
        fault = self._watchdog.check(self.engine, now)
        if fault is None:
            return
        self._given_up = [engine for engine in self._given_up if engine.alive]
        if len(self._given_up) >= MAX_HUNG:
            if self.fault is None or not self.fault.endswith("restart the server"):
                self.fault = f"{fault.reason}, as {MAX_HUNG} before it: restart the server"
                log.critical("%s", self.fault)
                self._tell(streams)
            return
        log.critical("%s: its streams are closed, and another engine takes its place", fault.reason)
        self.fault = fault.reason
        self._metrics.engine_restarts.labels(fault.kind).inc()
        self._tell(streams)
        self.engine.abandon()
        self._given_up.append(self.engine)
        self.engine, self._watchdog = self._make(), Watchdog(self._limit)
        self.engine.start()
        self._try()

    @staticmethod
    def _tell(streams: Iterable[Closable]) -> None:
        for stream in streams:
            stream.fail(ServiceError("internal", "The server had a fault and could not enhance this stream: connect again."))

    def _try(self) -> None:
        """One hop of silence: when it is through, streams are let in again."""
        engine, variant = self.engine, self._trial()
        lanes: list[Lane] = []

        def passed(*_: object) -> None:
            engine.close(lanes[0])
            if engine is self.engine:
                self.fault = None
                log.warning("the new engine works")

        lanes.append(engine.open(variant, passed, passed))  # a step that raises is a fault of the variant's
        engine.submit(lanes[0], np.zeros(variant.hop, dtype=np.float32), time.perf_counter())
