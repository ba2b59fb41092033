"""The soak as a picture: memory, descriptors and threads, latency, and the probe's deviation over the hours of audio."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from .record import TOLERANCE, Record


def draw(record: Record, path: Path) -> None:
    """Write a picture."""
    hours = [one.audio_hours for one in record.samples]
    figure = Figure(figsize=(9, 9), layout="constrained")
    memory, counts, latency, output = figure.subplots(4, 1, sharex=True)
    memory.plot(hours, [one.rss_mb for one in record.samples])
    memory.set_ylabel("resident memory, MB")
    memory.set_ylim(0, 1.1 * max(one.rss_mb for one in record.samples))
    for name in ("descriptors", "threads"):
        counts.plot(hours, [getattr(one, name) for one in record.samples], label=name)
    counts.set_ylim(bottom=0)
    counts.legend(fontsize=8)
    for name in ("p50_ms", "p99_ms", "max_ms"):
        latency.plot(hours, [getattr(one, name) for one in record.samples], label=name.removesuffix("_ms"))
    latency.set_yscale("log")
    latency.set_ylabel("latency of a live stream, ms")
    latency.legend(fontsize=8)
    fresh = [one for one in record.probes if not one.stream_hours]
    long = [one for one in record.probes if one.stream_hours]
    floor = 1e-6  # a difference of nothing has no place on the axis
    for probes, style, label in ((fresh, "o", "fresh streams"), (long, "x", "the streams that went on all the time")):
        output.plot([one.audio_hours for one in probes], [max(floor, one.deviation) for one in probes], style, label=label)
    output.axhline(TOLERANCE, color="black", linewidth=0.8, linestyle=":")
    output.set_yscale("log")
    output.set_ylabel("probe against offline")
    output.set_xlabel("hours of audio enhanced, all streams together")
    output.legend(fontsize=8)
    for axes in (memory, counts, latency, output):
        axes.grid(alpha=0.3)
    setup = record.setup
    figure.suptitle(
        f"{setup['variant']}: {hours[-1]:.1f} h of audio, {record.streams} streams, {record.samples[-1].seconds / 60:.0f} min"
    )
    figure.savefig(path, dpi=100)
