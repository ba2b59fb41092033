"""The command `quietwire report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.commands.options import PROCESSORS, ZooOption, progress_bar, require_extra
from compression.errors import EvaluationError
from models.card import FAMILIES
from models.zoo import SHIPPED

MEASURING = {"sweep": "--sweep", "zoo": "--zoo", "jobs": "--jobs", "seconds": "--seconds", "set_name": "--set-name"}


def report(
    context: typer.Context,
    pairs: Annotated[Path | None, typer.Option(help="Folder of pairs, as for `quietwire evaluate`.")] = None,
    zoo: ZooOption = SHIPPED,
    sweep: Annotated[Path | None, typer.Option(help="Folder of further variants: every .onnx in it with its card.")] = None,
    models: Annotated[str, typer.Option(help="Families to report on, separated by commas.")] = ",".join(FAMILIES),
    out: Annotated[Path, typer.Option(help="Folder for report.md, report.json, report.html and the pictures.")] = Path(
        "report"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = PROCESSORS,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long to measure each real-time factor.")] = 5.0,
    set_name: Annotated[str | None, typer.Option(help="What the pairs are, in words.  [default: the folder's name]")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="REPORT.JSON", help="Draw this report again, without measuring.")
    ] = None,
) -> None:
    """What every variant costs and keeps: bytes, time and quality, as tables and plots, with what it loses against `original`.

    Losses are over the same pairs, with 95 % intervals. A variant that is damaged is named and left out.
    """
    require_extra()
    families = models.split(",")
    if unknown := set(families) - set(FAMILIES):
        raise typer.BadParameter(f"{min(unknown)!r} is not one of {', '.join(FAMILIES)}", param_hint="--models")
    if (pairs is None) == (source is None):
        raise typer.BadParameter("name a folder of pairs to measure over, or with --from a report to draw again")
    for name, option in MEASURING.items():
        given = context.get_parameter_source(name)
        if source is not None and given is not None and given.name != "DEFAULT":
            raise typer.BadParameter("a report that is drawn again says what was measured", param_hint=option)
    from compression.data.pairs import find_pairs
    from compression.report.content import load_report
    from compression.report.files import prepare_folder, write_report
    from compression.report.measure import ROUNDS, find_subjects, measure_report, measure_times
    from compression.report.table import markdown

    if pairs is None:
        assert source is not None
        found = load_report(source).only(families)
        if not found.systems:
            raise EvaluationError(f"{source} has no network of {', '.join(families)}: name another family with --models")
        prepare_folder(out)
    else:
        recordings = find_pairs(pairs)
        subjects = find_subjects(zoo, families, sweep)
        prepare_folder(out)
        with progress_bar("timing", ROUNDS * len(subjects.found)) as advance:
            factors = measure_times(subjects, seconds, advance)
        with progress_bar("measuring", len(subjects.found) * len(recordings)) as advance:
            found = measure_report(subjects, factors, recordings, set_name or pairs.resolve().name, jobs, advance)
    typer.echo(markdown(found), nl=False)
    for path in write_report(found, out):
        typer.echo(f"{path} written", err=True)
