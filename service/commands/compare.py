"""``quietwire compare``: every variant on one recording, as a table, as files to listen to, and as a picture."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.card import FAMILIES, VARIANTS, Family
from models.machine import processors
from models.measuring import COMPARED, Scores
from models.zoo import SHIPPED, load_variant
from quietwire.replacing import replacing
from service.commands.options import ZooOption, progress_bar
from service.commands.tables import print_table
from service.errors import ServiceError
from service.files.comparison import Comparison, compare, read_mono
from service.files.decoding import open_here


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("compare")(compare_file)


def compare_file(
    source: Annotated[Path, typer.Argument(help="Noisy recording: WAV, FLAC, Ogg or MP3.")],
    reference: Annotated[Path | None, typer.Option(help="Its clean signal, for PESQ, STOI and SI-SDR.")] = None,
    variants: Annotated[
        str | None, typer.Option(help="Comma-separated, as original,fcn/combined; all of the model when left out.")
    ] = None,
    model: Annotated[Family, typer.Option(help="Network of variants that name none.")] = "crn",
    out: Annotated[Path | None, typer.Option(help="Folder for the results; <recording>-compared when left out.")] = None,
    zoo: ZooOption = SHIPPED,
) -> None:
    """Enhance a recording with several variants, without a server, and compare what they cost and how good they are."""
    chosen = [load_variant(path, threads=processors()) for path in _paths(zoo, variants, model)]
    folder = out if out is not None else Path(f"{source.stem}-compared")
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    with contextlib.ExitStack() as files:
        recording = files.enter_context(source.open("rb"))
        clean = None if reference is None else files.enter_context(reference.open("rb"))
        with open_here(recording) as audio:  # before a folder is made for nothing
            seconds = audio.seconds
        folder.mkdir(parents=True, exist_ok=True)
        targets = {variant.name: folder / f"{source.stem}-{variant.name.replace('/', '-')}.wav" for variant in chosen}
        for given in (source, reference):
            if given is not None and given.resolve() in [path.resolve() for path in targets.values()]:
                message = f"The result would overwrite {given}: name another folder with --out."
                raise ServiceError("bad_request", message)

        with progress_bar(console) as progress:
            stages = [*targets, "measures"]  # one bar for all, or the time remaining would begin anew with each
            task = progress.add_task("", total=seconds * (len(chosen) + (clean is not None)))

            def show(stage: str, done: float) -> None:
                finished = stages.index(stage) * seconds
                progress.update(task, description=f"{stage} {done:.0f} s", completed=finished + done)

            result = compare(recording, chosen, clean, open_target=lambda one: replacing(targets[one.name]), progress=show)
    print_table(_table(result))
    for note in result.notes:
        console.print(note)
    console.print(f"{len(chosen)} enhanced files in {folder}")
    console.print(_draw(folder / "comparison.png", source, reference, targets))


def _paths(zoo: Path, names: str | None, model: Family) -> list[Path]:
    """Files of the variants asked for, each once."""
    if names is None:
        found = [zoo / model / f"{name}.onnx" for name in VARIANTS if (zoo / model / f"{name}.onnx").exists()]
        return found or [zoo / model / "original.onnx"]  # loading it says what is wrong
    wanted = [f"{model}/{name.strip()}" if "/" not in name else name.strip() for name in names.split(",")]
    known = [f"{family}/{name}" for family in FAMILIES for name in VARIANTS]
    if unknown := [name for name in wanted if name not in known]:
        raise ServiceError("unknown_model", f"There is no variant {unknown[0]!r}: use {', '.join(VARIANTS)}, or model/variant.")
    return [zoo / f"{name}.onnx" for name in dict.fromkeys(wanted)]


def _table(result: Comparison) -> Table:
    measured = result.unprocessed is not None
    heads = ("PESQ", "STOI", "SI-SDR dB") if measured else ()
    table = Table("variant", "bytes", "ratio", "parameters", "latency ms", "real-time factor", *heads)
    if result.unprocessed is not None:
        table.add_row("unprocessed", *["–"] * 5, *_figures(result.unprocessed))
    for row in result.rows:
        card = row.variant.card
        table.add_row(
            row.variant.name,
            str(card.bytes),
            f"{card.size_ratio:.4f}",
            str(card.parameters),
            f"{row.latency_ms:.0f}",
            f"{row.report.real_time_factor:.4f}",
            *(_figures(row.scores) if row.scores is not None else ()),
        )
    return table


def _figures(scores: Scores) -> list[str]:
    digits = {"pesq": 3, "stoi": 3, "si_sdr": 2}
    return ["–" if (value := scores[name]) is None else f"{value:.{digits[name]}f}" for name in COMPARED]


def _draw(path: Path, source: Path, reference: Path | None, targets: dict[str, Path]) -> str:
    """Draw the picture; gives a line that says where it is, or what it needs."""
    try:
        from service.files.comparison_plot import draw
    except ImportError:
        return "no picture of waveforms and spectrograms: pip install matplotlib"
    named = {"input": source, **targets, **({} if reference is None else {"reference": reference})}
    signals = {}
    for name, file in named.items():
        with file.open("rb") as opened:
            signals[name] = read_mono(opened, float("inf"))
    draw(path, signals)
    return f"waveforms and spectrograms in {path}"
