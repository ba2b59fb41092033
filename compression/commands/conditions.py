"""The command `quietwire conditions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.commands.options import ZooOption, progress_bar, require_extra, system_path
from models.zoo import SHIPPED


def conditions(
    system: Annotated[str, typer.Argument(help="A variant such as crn/original, or the path of an .onnx file or checkpoint.")],
    noise: Annotated[Path | None, typer.Option(help="Folder of noise without speech.")] = None,
    speech: Annotated[Path | None, typer.Option(help="Folder of speech without noise.")] = None,
    recordings: Annotated[int, typer.Option(min=1, help="Of each folder, spread evenly over it.")] = 24,
    zoo: ZooOption = SHIPPED,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """How far noise alone is lowered, and what becomes of clean speech, at several levels."""
    require_extra()
    if noise is None and speech is None:
        raise typer.BadParameter("name a folder with --noise, with --speech, or both")
    from compression.evaluation.conditions import LEVELS_DBFS, choose_recordings, markdown, measure_conditions
    from compression.evaluation.evaluate import load_system
    from compression.evaluation.result import check_target

    if json_file is not None:
        check_target(json_file)
    enhance = load_system(system_path(system, zoo))
    noises = choose_recordings(noise, recordings) if noise else []
    voices = choose_recordings(speech, recordings) if speech else []
    with progress_bar("measuring", len(LEVELS_DBFS) * (len(noises) + len(voices))) as advance:
        found = measure_conditions(enhance, noises, voices, system, advance)
    typer.echo(markdown(found), nl=False)
    if json_file is not None:
        found.save(json_file)
