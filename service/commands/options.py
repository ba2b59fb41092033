"""What several commands of the service share: an option, and the bar that shows how far they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

ZooOption = Annotated[Path, typer.Option(help="Folder with <model>/<variant>.onnx and their cards.")]


def progress_bar(console: Console, *columns: ProgressColumn) -> Progress:
    """A bar on a terminal, with these columns beside it and the time remaining; nothing elsewhere."""
    shown = (TextColumn("{task.description}", markup=False), BarColumn(), *columns, TimeRemainingColumn())
    return Progress(*shown, console=console, disable=not console.is_terminal)
