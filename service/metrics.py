"""Prometheus metrics of one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 5)
STEP_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.05, 0.1)


class Metrics:
    """All metrics, in a registry of their own, so that several services can live in one process (as in tests)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.live_streams = Gauge("quietwire_live_streams", "Streams connected now", registry=self.registry)
        self.admitted = Counter("quietwire_streams_admitted", "Streams let in", registry=self.registry)
        self.errors = Counter("quietwire_errors", "Requests and streams ended with an error", ["code"], registry=self.registry)
        self.chunk_latency = Histogram(
            "quietwire_chunk_latency_seconds",
            "From the arrival of a message to the sending of its output",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.step_time = Histogram(
            "quietwire_step_seconds", "One step of a batch", ["variant"], buckets=STEP_BUCKETS, registry=self.registry
        )
        self.batch_rows = Histogram(
            "quietwire_batch_rows", "Rows of one step", buckets=(1, 2, 4, 8, 16, 24, 32), registry=self.registry
        )
        self.audio_seconds = Counter("quietwire_audio_seconds", "Audio enhanced live", ["variant"], registry=self.registry)
        self.file_seconds = Counter("quietwire_file_seconds", "Audio enhanced from files", ["variant"], registry=self.registry)

    def observe_step(self, variant: str, rows: int, seconds: float) -> None:
        """Count one step of the engine."""
        self.step_time.labels(variant).observe(seconds)
        self.batch_rows.observe(rows)
