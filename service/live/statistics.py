"""What a stream is told about its chunks: latency, and what it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from service.live.outbox import Receipt
from service.live.stream import EnhancementStream
from service.telemetry.latency import LatencyHistogram


class ChunkStatistics:
    """Counts the chunks of one stream as their answers leave.

    Args:
        kind: ``stats`` of the query: ``chunk``, ``second`` or ``off``.
        stream: The chunks go through it.
        observe: Called with each latency in seconds.
    """

    def __init__(self, kind: str, stream: EnhancementStream, observe: Callable[[float], None]) -> None:
        self._kind, self._stream, self._observe = kind, stream, observe
        self.latency = LatencyHistogram()
        self._window = LatencyHistogram()

    def settle(self, receipt: Receipt) -> str | None:
        """Count a chunk that has been answered; give the message that is sent with it, if one is."""
        seconds = time.perf_counter() - receipt.arrived
        self.latency.add(seconds * 1000)
        self._observe(seconds)
        if self._kind == "second":
            self._window.add(seconds * 1000)
        if self._kind != "chunk":
            return None
        timing = self._stream.timing
        return (  # by hand, as it is written for every message: json takes five times as long
            f'{{"type": "stats", "seq": {receipt.seq}, "latency_ms": {seconds * 1000:.3f}, '
            f'"queue_ms": {timing.queue * 1000:.3f}, "compute_ms": {timing.compute * 1000:.3f}, '
            f'"batch": {timing.batch}, "model_bytes": {self._stream.variant.card.bytes}}}'
        )

    def second(self) -> dict[str, Any]:
        """The message about the chunks since the last one."""
        window, self._window = self._window, LatencyHistogram()
        return {"type": "stats", "window_ms": 1000, "chunks": window.count, "latency_ms": window.percentiles(50, 95)}
