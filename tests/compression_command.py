"""`quietwire compress` and `quietwire sweep` over small material, as their tests call them."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from compression import cli

TARGETS = {"compress": ("--zoo", "zoo"), "sweep": ("--out", "out")}


def write(folder: Path, text: str) -> Path:
    """The settings file that ``call`` uses."""
    path = folder / "small.toml"
    path.write_text(text)
    return path


def call(command: str, recordings: Path, folder: Path, source: Path, *arguments: object) -> Result:
    """Run a command on a checkpoint, in ``folder/run``, into ``folder/zoo`` or ``folder/out``."""
    app = typer.Typer()
    cli.register(app)
    option, target = TARGETS[command]
    given = [folder / "small.toml", "--from", source, "--speech", recordings / "speech", "--noise", recordings / "noise"]
    given += ["--valid-speech", recordings / "speech", "--valid-noise", recordings / "noise", "--threads", 1]
    given += ["--run", folder / "run", option, folder / target, *arguments]
    return CliRunner().invoke(app, [command, *map(str, given)])


def succeed(command: str, recordings: Path, folder: Path, source: Path, *arguments: object) -> Result:
    """The same, where it must not fail."""
    result = call(command, recordings, folder, source, *arguments)
    if result.exception is not None:
        raise result.exception
    return result
