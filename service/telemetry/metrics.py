"""Prometheus metrics of one process. What several worker processes add up to is in ``service.telemetry.worker_metrics``.

Gauges are such that their sum over processes means something: streams, seconds of audio, cores' worth of load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from service.errors import STATUSES
from service.telemetry.histogram import Histogram, HistogramFamily

LATE_SECONDS = 0.04  # a bound of LATENCY_BUCKETS
LATENCY_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 5)
STEP_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.05, 0.1)
ROW_BUCKETS = (1, 2, 4, 8, 16, 24, 32)


class Metrics:
    """All metrics, in a registry of their own, so that several services can live in one process (as in tests)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.workers = self._gauge("quietwire_workers", "Processes that serve")
        self.workers.set(1)
        self.worker_deaths = self._counter("quietwire_worker_deaths", "Processes that ended without having been told to")
        self.ready = self._gauge("quietwire_ready", "Processes that would let in another stream")
        self.live_streams = self._gauge("quietwire_live_streams", "Streams connected now")
        self.load = self._gauge("quietwire_load", "Share of the busier thread's time that streams take, summed over workers")
        self.queue = self._gauge("quietwire_queue_seconds", "Audio that waits to be enhanced, of all streams together")
        self.admitted = self._counter("quietwire_streams_admitted", "Streams let in")
        self.refused = self._counter("quietwire_streams_refused", "Streams turned away before they began", "reason")
        self.shed = self._counter("quietwire_streams_shed", "Streams let in and ended again because of overload")
        self.errors = self._counter("quietwire_errors", "Requests and streams ended with an error", "code")
        for code in STATUSES:  # from 0 on, or the first of a kind would be no increase to Prometheus
            self.errors.labels(code)
        for reason in ("overloaded", "restarting"):
            self.refused.labels(reason)
        self.resets = self._counter("quietwire_rows_reset", "Rows of state that were no longer finite and began anew")
        self.engine_restarts = self._counter("quietwire_engine_restarts", "Engines replaced because of a fault", "kind")
        for kind in ("hang", "death"):
            self.engine_restarts.labels(kind)
        self.audio_seconds = self._counter("quietwire_audio_seconds", "Audio enhanced live", "variant")
        self.file_seconds = self._counter("quietwire_file_seconds", "Audio enhanced from files", "variant")
        self.chunk_latency = HistogramFamily(
            "quietwire_chunk_latency_seconds",
            "From the arrival of a message to the sending of its output",
            LATENCY_BUCKETS,
            self.registry,
        ).series()
        self._steps = HistogramFamily("quietwire_step_seconds", "One step of a batch", STEP_BUCKETS, self.registry, "variant")
        self._rows = HistogramFamily("quietwire_batch_rows", "Rows of one step", ROW_BUCKETS, self.registry).series()
        self.registry.register(_LateChunks(self.chunk_latency))
        ProcessCollector(registry=self.registry)

    def observe_step(self, variant: str, rows: int, seconds: float) -> None:
        """Count one step of the engine; called by its thread only."""
        self._steps.series(variant).observe(seconds)
        self._rows.observe(rows)

    def watch_queue(self, seconds: Callable[[], float]) -> None:
        """Show as the queue's depth what this gives, asked for when the metrics are read, by any thread."""
        self.queue.set_function(seconds)

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, registry=self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)


class _LateChunks(Collector):
    """Messages above the bound: the histogram has counted them already."""

    def __init__(self, latency: Histogram) -> None:
        self._latency = latency

    def collect(self) -> Iterator[CounterMetricFamily]:
        documentation = f"Messages whose output was sent more than {LATE_SECONDS * 1000:g} ms after their arrival"
        yield CounterMetricFamily("quietwire_late_chunks", documentation, value=self._latency.above(LATE_SECONDS))
