"""The results on paper: JSON with everything, a Markdown table, and a plot where matplotlib is installed."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.measure import Bars, Measurement

COLUMNS = (
    *("streams", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "max ms", "client p50 ms", "client p99 ms", "client max ms"),
    *("late", "lost", "refused", "broken", "deviation", "real-time factor", "server cores", "server MB", "kB a stream"),
    *("uploads", "upload x real time", "generator late p99/max ms", "generator cores", "verdict"),
)
SHORT = (
    *("streams", "p50 ms", "p99 ms", "max ms", "client p99 ms", "late", "lost", "refused"),
    *("deviation", "server cores", "upload x real time", "generator late p99/max ms", "verdict"),
)


@dataclasses.dataclass(frozen=True)
class Report:
    """All steps of a test.

    Attributes:
        url: Of the server, without the query.
        setup: Options and circumstances, for the JSON file and the heading.
        server: What the server said in ``ready``.
        bars: What was to be kept.
        steps: In the order of measuring.
        maximum: Streams found by the search; None without one.
    """

    url: str
    setup: dict[str, Any]
    server: dict[str, Any]
    bars: Bars
    steps: Sequence[Measurement]
    maximum: int | None = None

    def sorted_steps(self) -> list[Measurement]:
        """By number of streams."""
        return sorted(self.steps, key=lambda step: step.streams)

    def above_maximum(self) -> list[Measurement]:
        """What the search failed at first: the step that bounds the maximum, if there is one."""
        failed = [step for step in self.sorted_steps() if step.streams > (self.maximum or 0) and not step.passed]
        return failed[:1]


def verdict(step: Measurement) -> str:
    """In a few words."""
    if step.own_fault:
        return f"result is the generator's own fault: {step.own_fault}"
    return "passed" if step.passed else "; ".join(step.missed)


def row(step: Measurement) -> list[str]:
    """The cells of ``COLUMNS``."""
    server, client, own = step.server_ms, step.client_ms, step.lateness_ms
    use = [f"{step.server.cpu:.2f}", f"{step.server.rss_mb:.0f}", f"{step.server.stream_kb:.0f}"] if step.server else ["–"] * 3
    files = [f"{step.uploads.clients}", f"{step.uploads.real_time:.0f}"] if step.uploads else ["–"] * 2
    return [
        str(step.streams),
        *(f"{value:.2f}" for value in (server.p50, server.p90, server.p95, server.p99, server.max)),
        *(f"{value:.2f}" for value in (client.p50, client.p99, client.max)),
        *(str(value) for value in (step.late, step.lost, step.refused + step.failed, step.broken)),
        f"{step.deviation:.5f}",
        f"{step.real_time_factor:.4f}",
        *use,
        *files,
        f"{own.p99:.2f} / {own.max:.1f}",
        f"{step.generator_cpu:.2f}",
        verdict(step),
    ]


def print_report(report: Report, console: Console) -> None:
    """The columns that matter most, on a terminal; all as Markdown elsewhere."""
    if not console.is_terminal:
        console.print(markdown(report), markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(*SHORT)
    picked = [COLUMNS.index(name) for name in SHORT]
    for step in report.sorted_steps():
        cells = row(step)
        table.add_row(*(cells[index] for index in picked))
    console.print(table)
    console.print(*conclusion(report), sep="\n")


def markdown(report: Report) -> str:
    """The table and what is to be said about it."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(row(step) for step in report.sorted_steps())]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in rows), "", *conclusion(report)])


def conclusion(report: Report) -> list[str]:
    """What the latencies are, and what was found."""
    bars = report.bars
    lines = [
        f"Latency: arrival of a chunk to the sending of its output, as the server states it; client: sending to receiving. "
        f"Bars: p99 {bars.p99_ms:g} ms, none later than {bars.late_ms:g} ms, nothing lost, refused or altered "
        f"(by more than {bars.tolerance:g})."
    ]
    if report.maximum is not None:
        lines.append(f"Maximum: {report.maximum} streams.")
        lines += [
            f"More may be possible: at {step.streams}, the {verdict(step)}."
            for step in report.above_maximum()
            if step.own_fault
        ]
    return lines


def write_report(report: Report, folder: Path) -> list[str]:
    """Write ``loadtest.json``, ``loadtest.md`` and ``loadtest.png`` into a folder.

    Returns:
        A sentence for each thing written or left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "url": report.url,
        "setup": report.setup,
        "server": report.server,
        "bars": dataclasses.asdict(report.bars),
        "maximum": report.maximum,
        "steps": [{**dataclasses.asdict(step), "passed": step.passed} for step in report.sorted_steps()],
    }
    (folder / "loadtest.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "loadtest.md").write_text(markdown(report) + "\n", encoding="utf-8")
    said = [f"{folder / 'loadtest.json'} and {folder / 'loadtest.md'} written"]
    if importlib.util.find_spec("matplotlib") is None:
        return [*said, 'no plot: matplotlib is not installed (pip install "quietwire[loadtest]")']
    from loadtest.plot import draw

    draw(report, folder / "loadtest.png")
    return [*said, f"{folder / 'loadtest.png'} written"]
