"""What the plots of a report show: points with their numbers, apart from how they are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

from compression.evaluation.result import DIGITS, TITLES
from compression.report.content import LOST, Report, System
from compression.report.peers import Peer, reference
from models.card import Family, VariantName
from models.measures import MEASURES

Kind = Literal["variants", "sweep", "peers", "paper"]


@dataclasses.dataclass(frozen=True)
class Point:
    """A point in a plot.

    Attributes:
        name: Short, to be written beside it.
        text: Its name and numbers, to be shown when it is pointed at.
        x: Above 0; the axis is logarithmic.
        y: Its value.
        interval: Lower and upper end of the 95 % interval of ``y``, where there is one.
        variant: Whose it is, where it is one of ours.
    """

    name: str
    text: str
    x: float
    y: float
    interval: tuple[float, float] | None = None
    variant: VariantName | None = None


@dataclasses.dataclass(frozen=True)
class Series:
    """Points that are drawn alike; those of a sweep in order of ``x``, along a line."""

    label: str
    kind: Kind
    family: Family | None
    points: tuple[Point, ...]


@dataclasses.dataclass(frozen=True)
class Chart:
    """One plot.

    Attributes:
        title: Of the plot.
        x_label: Of the axis across.
        y_label: Of the axis up.
        series: What is drawn.
        level: A value of ``y`` to compare with: its name, or nothing, and where it is.
        x_unit: ``B`` for bytes, which get k and M.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    level: tuple[str, float] | None = None
    x_unit: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Plots that belong together: the name of their file, and what they show."""

    name: str
    title: str
    charts: tuple[Chart, ...]


def pictures(report: Report) -> list[Picture]:
    """Quality over bytes, quality over time, and what is lost over what is left of the size."""
    return [
        Picture("bytes", "Quality and size", _quality(report, "bytes on disk", lambda s: s.bytes, lambda p: p.bytes, "B")),
        Picture(
            "time", "Quality and time", _quality(report, "real-time factor", lambda s: s.real_time_factor, lambda p: p.rtf)
        ),
        Picture("loss", "What is lost, and what is left of the size", tuple(_loss(report, measure) for measure in LOST)),
    ]


def _quality(
    report: Report, x_label: str, x: Callable[[System], float], peer_x: Callable[[Peer], float | None], x_unit: str = ""
) -> tuple[Chart, ...]:
    charts = []
    for measure in LOST:

        def point(system: System, measure: str = measure) -> Point | None:
            found = system.score(measure)
            if found is None:
                return None
            ends = found.mean - found.ci95, found.mean + found.ci95
            return Point(_short(system), describe(report, system), x(system), found.mean, ends, system.variant)

        places = ((peer, peer_x(peer)) for peer in reference().peers)
        peers = tuple(Point(peer.name, _describe_peer(peer), at, getattr(peer, measure)) for peer, at in places if at)
        label = "other systems" if report.has_pairs_of(reference()) else "other systems, over other pairs"
        series = (*_series(report, point), Series(label, "peers", None, peers))
        noisy, title = report.noisy_score(measure), TITLES[measure]
        level = None if noisy is None else ("noisy input", noisy.mean)
        charts.append(Chart(f"{title} and {x_label}", x_label, title, series, level, x_unit))
    return tuple(charts)


def _loss(report: Report, measure: str) -> Chart:
    def point(system: System) -> Point | None:
        loss = report.loss(system, measure)
        if loss is None or system is report.original(system):  # which loses nothing of itself
            return None
        ends, text = (loss.low, loss.high), describe(report, system)
        return Point(_short(system), text, 100 * system.size_ratio, loss.percent, ends, system.variant)

    paper, title = reference().paper, TITLES[measure]
    size, lost, (before, after) = 100 * paper.size_ratio, getattr(paper, f"{measure}_loss"), getattr(paper, measure)
    text = (
        f"{paper.name}\n{size:.2f} % of the size, counting log2(k)/32 of the kept weights only\n"
        f"{title} {before:.2f} to {after:.2f}, {lost:.2f} % lost, over their own test set"
    )
    theirs = Series(f"{paper.name}, as published", "paper", None, (Point(paper.name, text, size, lost),))
    series = (*_series(report, point), theirs)
    return Chart(f"{title} lost and size left", "% of the bytes of original", f"{title} lost, %", series, ("", 0.0))


def _series(report: Report, point: Callable[[System], Point | None]) -> list[Series]:
    """Variants of each family, then each line of its sweep; what has no point is left out."""
    made: list[Series] = []

    def add(label: str, kind: Kind, family: Family, systems: Sequence[System]) -> None:
        points = [found for system in systems if (found := point(system)) is not None]
        if kind == "sweep":
            points.sort(key=lambda found: found.x)
        if points:
            made.append(Series(label, kind, family, tuple(points)))

    for family in report.families:
        add(family, "variants", family, report.variants(family))
        for line in sorted({system.series for system in report.sweep(family) if system.series}):
            points = [system for system in report.sweep(family) if system.series == line]
            add(f"{family}, sweep of {line}", "sweep", family, points)
    return made


def describe(report: Report, system: System) -> str:
    """A network's name and numbers in a few lines."""
    speed_up = report.speed_up(system)
    faster = f", {speed_up:.2f} times as fast as original" if speed_up is not None else ""
    lines = [
        system.name,
        f"{system.bytes:,} bytes, {100 * system.size_ratio:.2f} % of original",
        f"{system.parameters:,} parameters, {system.macs_per_second / 1e6:,.1f} MMAC/s",
        f"real-time factor {system.real_time_factor:.4f}{faster}",
    ]
    for measure in MEASURES:
        if (found := system.score(measure)) is not None:
            digits, loss = DIGITS[measure], report.loss(system, measure) if measure in LOST else None
            lost = f", {loss} lost" if loss is not None else ""
            lines.append(f"{TITLES[measure]} {found.mean:z.{digits}f} ± {found.ci95:.{digits}f}{lost}")
    return "\n".join(lines)


def _describe_peer(peer: Peer) -> str:
    lines = [f"{peer.name} ({peer.note})" if peer.note else peer.name]
    lines += [f"{peer.bytes:,} bytes"] if peer.bytes else []
    lines += [f"real-time factor {peer.rtf:.4f}"] if peer.rtf else []
    lines.append(f"PESQ {peer.pesq:.2f}, STOI {peer.stoi:.3f}, SI-SDR {peer.si_sdr:.1f} dB")
    return "\n".join(lines)


def _short(system: System) -> str:
    return system.name if system.series is None else system.label
