"""From raw counts to figures, and from figures to a verdict."""

from __future__ import annotations

import dataclasses
from array import array

import numpy as np

from loadtest.tally import Tally
from loadtest.uploads import UploadUse


@dataclasses.dataclass(frozen=True)
class Percentiles:
    """Of a time in milliseconds; zeros when nothing was measured."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclasses.dataclass(frozen=True)
class Bars:
    """What a step has to keep to pass.

    Attributes:
        p99_ms: Highest 99th percentile of the latency that the server states, arrival to sending.
        late_ms: Deadline of a chunk, by the same latency; none may be later. From outside twice that: a server that
            stands still does not know how long a chunk has waited to be read.
        tolerance: Largest difference from the single stream's audio, full scale being 1.
        generator_ms: Highest 99th percentile of the generator's own lateness; above it a step says nothing.
    """

    p99_ms: float = 20.0
    late_ms: float = 40.0
    tolerance: float = 1e-3
    generator_ms: float = 5.0


@dataclasses.dataclass(frozen=True)
class ServerUse:
    """What the server's processes used during a step.

    Attributes:
        cpu: Cores, 1 being one core all the time.
        rss_mb: Largest resident memory.
        stream_kb: Growth of it since before the first step, per stream; right where steps grow.
    """

    cpu: float
    rss_mb: float
    stream_kb: float


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The figures of one step.

    Attributes:
        streams: Microphones.
        seconds: How long all of them sent.
        chunks: Sent by all.
        server_ms: Latency of chunks as the server states it, arrival to sending.
        client_ms: The same from outside, sending to receiving.
        connect_ms: From dialling to ``ready``.
        lateness_ms: Of the generator.
        late: Chunks past the deadline by the server's latency, and those never answered.
        late_client: Chunks later than twice the deadline by the latency from outside.
        lost, surplus, unanswered, started, ended, hung_up: See ``Tally``.
        refused, failed, broken, violations, altered, deviation: See ``Tally``.
        compared_seconds: Audio compared with the single stream's, of all streams.
        real_time_factor: Mean of the streams' own, from the summaries.
        generator_cpu: Cores that the generator used.
        server: None when it was not watched.
        uploads: None when nothing was uploaded beside the streams.
        faults: Sentences, with how often.
        missed: Bars that were missed, as sentences.
        own_fault: Why the generator and not the server is to blame, or None.
    """

    streams: int
    seconds: float
    chunks: int
    server_ms: Percentiles
    client_ms: Percentiles
    connect_ms: Percentiles
    lateness_ms: Percentiles
    late: int
    late_client: int
    lost: int
    surplus: int
    unanswered: int
    started: int
    ended: int
    hung_up: int
    refused: int
    failed: int
    broken: int
    violations: int
    altered: int
    deviation: float
    compared_seconds: float
    real_time_factor: float
    generator_cpu: float
    server: ServerUse | None
    uploads: UploadUse | None
    faults: dict[str, int]
    missed: tuple[str, ...]
    own_fault: str | None

    @property
    def passed(self) -> bool:
        """Whether every bar was kept, and the generator was in time to tell."""
        return not self.missed and self.own_fault is None


def percentiles(milliseconds: array[float]) -> Percentiles:
    """Exact percentiles (the nearest value that so many are not above), rounded to a microsecond."""
    if not milliseconds:
        return Percentiles(0.0, 0.0, 0.0, 0.0, 0.0)
    values = np.percentile(np.asarray(milliseconds), [50, 90, 95, 99, 100], method="inverted_cdf")
    return Percentiles(*(round(float(value), 3) for value in values))


def evaluate(
    tally: Tally,
    streams: int,
    seconds: float,
    ramp: float,
    rate: int,
    bars: Bars,
    server: ServerUse | None = None,
    uploads: UploadUse | None = None,
) -> Measurement:
    """Make figures of a step's counts.

    Args:
        tally: Of all processes.
        streams: Microphones.
        seconds: How long all of them sent.
        ramp: How long joining took, in seconds.
        rate: Of the streams, in Hz.
        bars: What is to be kept.
        server: What the server used.
        uploads: What became of the files beside the streams.
    """
    factors = tally.real_time_factors
    figures = Measurement(
        streams=streams,
        seconds=seconds,
        chunks=len(tally.lateness_ms),
        server_ms=percentiles(tally.server_ms),
        client_ms=percentiles(tally.client_ms),
        connect_ms=percentiles(tally.connect_ms),
        lateness_ms=percentiles(tally.lateness_ms),
        late=_above(tally.server_ms, bars.late_ms) + tally.unanswered,
        late_client=_above(tally.client_ms, 2 * bars.late_ms) + tally.unanswered,
        lost=tally.lost,
        surplus=tally.surplus,
        unanswered=tally.unanswered,
        started=tally.started,
        ended=tally.ended,
        hung_up=tally.hung_up,
        refused=tally.refused,
        failed=tally.failed,
        broken=tally.broken,
        violations=tally.violations,
        altered=tally.altered,
        deviation=round(tally.deviation, 6),
        compared_seconds=round(tally.compared / rate, 1),
        real_time_factor=round(float(np.mean(factors)), 5) if factors else 0.0,
        generator_cpu=round(tally.cpu_seconds / (seconds + ramp), 3),
        server=server,
        uploads=uploads,
        faults=dict(tally.faults) | (uploads.faults if uploads else {}),
        missed=(),
        own_fault=None,
    )
    return dataclasses.replace(figures, missed=tuple(_missed(figures, bars)), own_fault=_own_fault(figures, bars))


def _above(milliseconds: array[float], limit: float) -> int:
    return int(np.count_nonzero(np.asarray(milliseconds) > limit))


def _missed(figures: Measurement, bars: Bars) -> list[str]:
    counted = {
        f"chunks later than {bars.late_ms:g} ms": figures.late,
        f"chunks later than {2 * bars.late_ms:g} ms as the client sees them": figures.late_client,
        "samples lost": figures.lost,
        "samples that were never sent": figures.surplus,
        "chunks without statistics": figures.unanswered,
        "streams refused": figures.refused,
        "streams that could not be made": figures.failed,
        "streams ended by the server": figures.broken,
        "messages against the protocol": figures.violations,
        "streams whose audio is not the single stream's": figures.altered,
        "uploads failed": sum(figures.uploads.faults.values()) if figures.uploads else 0,
    }
    sentences = [f"{count} {what}" for what, count in counted.items() if count]
    if figures.server_ms.p99 > bars.p99_ms:
        sentences.insert(0, f"p99 {figures.server_ms.p99:.1f} ms is above {bars.p99_ms:g} ms")
    return sentences if figures.chunks else [*sentences, "no chunk was sent"]


def _own_fault(figures: Measurement, bars: Bars) -> str | None:
    """The generator's 99th percentile has its own limit; one long pause counts as soon as it is a deadline long."""
    lateness = figures.lateness_ms
    if lateness.p99 > bars.generator_ms:
        return f"the generator sent late itself (p99 {lateness.p99:.1f} ms, limit {bars.generator_ms:g} ms)"
    if lateness.max > bars.late_ms:
        return f"the generator stood still for {lateness.max:.0f} ms itself"
    return None
