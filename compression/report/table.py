"""A report as Markdown: a table per family with the paper's rows in it, its sweep, and the other systems."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from compression.evaluation.result import DIGITS, TITLES
from compression.report.content import LOST, Report, System
from compression.report.peers import Peer, Reference, reference
from compression.report.sweep import AS_THE_PAPER
from models.card import Family, Score
from models.measures import MEASURES

COSTS = ("bytes", "size %", "parameters", "MMAC/s", "RTF", "speed-up")
LOSSES = tuple(f"{TITLES[measure]} loss %" for measure in LOST)
NONE = "–"


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, the names of the columns, the rows, and sentences about them; rows are as long as the header."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def tables(report: Report) -> list[Table]:
    """All tables of a report."""
    data, made = reference(), []
    for family in report.families:
        made.append(_family_table(report, family, data))
        if points := report.sweep(family):
            made.append(_sweep_table(report, family, points))
    return [*made, _peer_table(report, data)]


def markdown(report: Report) -> str:
    """The report as text, ending in a newline."""
    lines = [
        "# What compression costs and keeps",
        "",
        *summary(report),
    ]
    for table in tables(report):
        lines += ["", f"## {table.title}", "", _line(table.header), _line(["---", *["--:"] * (len(table.header) - 1)])]
        lines += [_line(row) for row in table.rows]
        for note in table.notes:
            lines += ["", note]
    return "\n".join(lines) + "\n"


def summary(report: Report) -> list[str]:
    """Sentences about how it was measured and what is left out."""
    lines = [
        f"Over {report.set_name} ({len(report.pairs)} pairs), measured {report.measured}. Means ± 95 % intervals; losses are "
        "of the mean against `original`, with 95 % intervals by paired bootstrap, and negative where the variant is better. "
        "Size is all bytes on disk. RTF is the real-time factor of one stream in chunks of 20 ms or the nearest whole hop, the "
        f"network alone on one thread ({report.machine}), of many turns the first decile.",
    ]
    for measure in MEASURES:
        count = max((sum(row[measure] is None for row in system.enhanced) for system in report.systems), default=0)
        count = max(count, sum(pair.noisy[measure] is None for pair in report.pairs))
        if count:
            lines.append(f"{TITLES[measure]} is not defined for up to {count} of the pairs, which are left out of it.")
    for name, reason in report.failures.items():
        lines.append(f"**{name} is left out**: {reason}")
    return lines


def _family_table(report: Report, family: Family, data: Reference) -> Table:
    noisy = ("noisy input", *[NONE] * len(COSTS), *(_score(report.noisy_score(m), m) for m in MEASURES), *[NONE] * len(LOST))
    rows = [noisy, *(_row(report, system) for system in report.variants(family))]
    paper, none = data.paper, NONE
    for index, (what, size) in enumerate((("original", none), ("pruned and quantized", f"{100 * paper.size_ratio:.2f}"))):
        scores = f"{paper.pesq[index]:.2f}", f"{paper.stoi[index]:.2f}", none, none
        losses = (f"{paper.pesq_loss:.2f}", f"{paper.stoi_loss:.2f}") if index else (none, none)
        rows.append((f"{paper.name}, {what}", none, size, none, none, none, none, *scores, *losses))
    notes = (
        f"{paper.name}: their figures for their network over their own test set ({paper.source}). Their size counts "
        "log2(k)/32 of the weights that are kept and nothing else; ours counts every byte of the file.",
    )
    return Table(family, _header("variant"), tuple(rows), notes)


def _sweep_table(report: Report, family: Family, points: Sequence[System]) -> Table:
    counted = any(AS_THE_PAPER in system.label for system in points)
    note = (
        f"A size {AS_THE_PAPER} is log2(k)/32 of the share of weights that are kept, and nothing else. Bytes and size % are "
        "those of the file, in which zeroed kernels take their place like all others: they save neither bytes nor time."
    )
    rows = tuple(_row(report, system) for system in points)
    return Table(f"{family}: sweep", _header("settings"), rows, (note,) if counted else ())


def _peer_table(report: Report, data: Reference) -> Table:
    measures = [f"PESQ {snr:+g} dB" for snr in data.snr_db]
    header = ("system", "bytes", "RTF", "latency ms", *(TITLES[measure] for measure in MEASURES), *measures)
    return Table(
        "Other systems", header, tuple(_peer_row(peer, len(data.snr_db)) for peer in data.peers), (about_peers(report),)
    )


def about_peers(report: Report) -> str:
    """When and over what the other systems were measured, and whether they can be compared with this report."""
    data = reference()
    same = "the pairs of this report" if report.has_pairs_of(data) else "not the pairs of this report"
    return (
        f"Other systems: measured {data.measured} over {data.words}, {same}; RTF is CPU time over audio time on one "
        "pinned core (AMD EPYC, AVX-512), frame by frame; bytes are rounded."
    )


def _header(first: str) -> tuple[str, ...]:
    return (first, *COSTS, *(TITLES[measure] for measure in MEASURES), *LOSSES)


def _row(report: Report, system: System) -> tuple[str, ...]:
    speed_up = report.speed_up(system)
    return (
        system.label,
        f"{system.bytes:,}",
        f"{100 * system.size_ratio:.2f}",
        f"{system.parameters:,}",
        f"{system.macs_per_second / 1e6:,.1f}",
        f"{system.real_time_factor:.4f}",
        NONE if speed_up is None else f"{speed_up:.2f}×",
        *(_score(system.score(measure), measure) for measure in MEASURES),
        *(_loss(report, system, measure) for measure in LOST),
    )


def _peer_row(peer: Peer, snrs: int) -> tuple[str, ...]:
    by_snr = [f"{pesq:.2f}" for pesq in peer.pesq_by_snr] or [NONE] * snrs
    return (
        f"{peer.name} ({peer.note})" if peer.note else peer.name,
        NONE if peer.bytes is None else f"{peer.bytes:,}",
        NONE if peer.rtf is None else f"{peer.rtf:.4f}",
        NONE if peer.latency_ms is None else f"{peer.latency_ms:g}",
        f"{peer.pesq:.2f}",
        f"{peer.stoi:.3f}",
        NONE if peer.estoi is None else f"{peer.estoi:.3f}",
        f"{peer.si_sdr:.1f}",
        *by_snr,
    )


def _score(found: Score | None, measure: str) -> str:
    digits = DIGITS[measure]
    return NONE if found is None else f"{found.mean:z.{digits}f} ± {found.ci95:.{digits}f}"


def _loss(report: Report, system: System, measure: str) -> str:
    loss = report.loss(system, measure)
    return (
        NONE
        if loss is None or system is report.original(system)
        else f"{loss.percent:z.2f} [{loss.low:z.2f}, {loss.high:z.2f}]"
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
