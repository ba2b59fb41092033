"""What the soak writes down, and what counts as drift."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import psutil

GROWTH = 0.05  # of resident memory, from the second quarter of the run to the last
MORE = 2  # descriptors, threads
TOLERANCE = 1e-3  # of the probe's samples, full scale being 1


@dataclasses.dataclass(frozen=True)
class Sample:
    """The server at one moment.

    Attributes:
        seconds: Since the beginning.
        audio_hours: Enhanced so far, of all streams.
        rss_mb: Resident memory.
        descriptors: Open files and sockets.
        threads: Of the process.
        cpu_seconds: Of the process, so far.
        p50_ms, p99_ms, max_ms: Latency of the live stream's chunks since the last sample, as the server states it.
    """

    seconds: float
    audio_hours: float
    rss_mb: float
    descriptors: int
    threads: int
    cpu_seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclasses.dataclass(frozen=True)
class Probe:
    """The probe's output at the end of one stream, against what the variant makes of it without a server.

    Attributes:
        audio_hours: Of all streams, when it came.
        stream_hours: Of this stream before it, the settling not counted; 0 for a fresh one.
        deviation: Largest difference, full scale being 1.
    """

    audio_hours: float
    stream_hours: float
    deviation: float


@dataclasses.dataclass
class Record:
    """A whole run.

    Attributes:
        setup: How it was made.
        samples: In order.
        probes: In order.
        streams: How many came and went.
        faults: Of streams that did not end as they should.
    """

    setup: dict[str, object]
    samples: list[Sample] = dataclasses.field(default_factory=list)
    probes: list[Probe] = dataclasses.field(default_factory=list)
    streams: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write as JSON, with the verdict."""
        path.write_text(json.dumps(dataclasses.asdict(self) | {"drift": self.drift()}, indent=1) + "\n")

    def drift(self) -> list[str]:
        """What has grown, changed or broken, as sentences; timings are not judged."""
        found = list(self.faults)
        found += [
            f"after {one.stream_hours:.2f} h the probe differs by {one.deviation:.5f}"
            for one in self.probes
            if one.deviation > TOLERANCE
        ]
        count = len(self.samples)
        second, last = self.samples[count // 4 : count // 2], self.samples[-(count // 4) :]
        if count < 8:
            return [*found, "too short a run to tell growth"]
        for name, most in (("rss_mb", GROWTH), ("descriptors", None), ("threads", None)):
            before, after = (float(np.median([getattr(one, name) for one in part])) for part in (second, last))
            if after > (before * (1 + most) if most is not None else before + MORE):
                found.append(f"{name} grew from {before:g} to {after:g}")
        return found


def look(process: psutil.Process, seconds: float, audio_hours: float, latencies: np.ndarray) -> Sample:
    """A sample of a process."""
    times = process.cpu_times()
    p50, p99, most = np.percentile(latencies, [50, 99, 100]) if len(latencies) else (0.0, 0.0, 0.0)
    return Sample(
        seconds=round(seconds, 1),
        audio_hours=round(audio_hours, 4),
        rss_mb=round(process.memory_info().rss / 1e6, 2),
        descriptors=process.num_fds(),
        threads=process.num_threads(),
        cpu_seconds=round(times.user + times.system, 1),
        p50_ms=round(float(p50), 3),
        p99_ms=round(float(p99), 3),
        max_ms=round(float(most), 3),
    )
