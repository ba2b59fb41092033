"""Latency and use of the server over the number of streams, as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter

from loadtest.report import Report


def draw(report: Report, path: Path) -> None:
    """Write a picture; steps that say nothing about the server are left out."""
    steps = [step for step in report.sorted_steps() if step.own_fault is None and step.chunks] or report.sorted_steps()
    counts = [step.streams for step in steps]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, style in (("p50", "o-"), ("p95", "o-"), ("p99", "o-"), ("max", "o:")):
        axes.plot(counts, [getattr(step.server_ms, name) for step in steps], style, label=f"{name}, server")
    axes.plot(counts, [step.client_ms.p99 for step in steps], "x--", color="grey", label="p99, client")
    axes.axhline(report.bars.p99_ms, color="black", linewidth=0.8)
    axes.annotate(f"p99 bar, {report.bars.p99_ms:g} ms", (counts[0], report.bars.p99_ms), va="bottom", fontsize=8)
    axes.axhline(report.bars.late_ms, color="black", linewidth=0.8, linestyle=":")
    axes.annotate(f"late, {report.bars.late_ms:g} ms", (counts[0], report.bars.late_ms), va="bottom", fontsize=8)
    if report.maximum:
        axes.axvline(report.maximum, color="green", linewidth=0.8)
        axes.annotate(f"{report.maximum} streams", (report.maximum, axes.get_ylim()[0]), rotation=90, ha="right", va="bottom")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(_apart(counts))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.set_xlabel("live streams")
    axes.set_ylabel("chunk latency, ms")
    model = "/".join(str(report.server[key]) for key in ("model", "variant") if key in report.server)
    axes.set_title(f"{model}, {report.setup['chunk_ms']} ms chunks")
    lines, labels = axes.get_legend_handles_labels()
    if all(step.server for step in steps):
        right = axes.twinx()
        right.plot(counts, [step.server.cpu for step in steps if step.server], "s-", color="tan", label="server cores")
        right.set_ylim(bottom=0)
        right.set_ylabel("cores used by the server")
        more, names = right.get_legend_handles_labels()
        lines, labels = [*lines, *more], [*labels, *names]
    axes.legend(lines, labels, fontsize=8, loc="best")
    figure.savefig(path, dpi=120)


def _apart(counts: list[int]) -> list[int]:
    """Those that can be written beside each other on a logarithmic axis, the largest among them."""
    kept: list[int] = []
    for count in sorted(set(counts), reverse=True):
        if not kept or count <= 0.85 * kept[-1]:
            kept.append(count)
    return kept
