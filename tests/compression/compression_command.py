"""`quietwire compress` and `quietwire sweep` over small material, as their tests call them."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from compression import cli

TARGETS = {"compress": ("--zoo", "zoo"), "sweep": ("--out", "out")}
TRAINING = (
    "seed = 2\nsteps = 2\ncooldown = 1\nwarmup = 1\nbatch = 2\nseconds = 0.25\nvalidate_every = 2\nvalidation_batches = 1\n"
)
SETTINGS = f"""
[pruning]
rounds = 2
macs_ratio = 0.6
parameters_ratio = 0.6
importance_batches = 2
[pruning.training]
{TRAINING}
[pruning.final]
{TRAINING}
[quantization]
budget = 0.3
combined_budget = 0.14
sensitivity_seconds = 0.5
[quantization.training]
{TRAINING}
"""


def write(folder: Path, text: str = SETTINGS) -> Path:
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


def times(folder: Path) -> dict[Path, int]:
    """When each file was last written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
