"""`quietwire sweep` over small material, as its tests call it."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from compression import cli

SETTINGS = """
[pruning]
importance_batches = 2
[pruning.training]
seed = 2
steps = 20
cooldown = 10
warmup = 10
batch = 2
seconds = 0.25
validate_every = 20
[sweep]
centroids = [4, 2, 16]
macs_ratios = [0.6, 0.8]
steps = 2
thresholds = [0.6]
soft_rounds = 2
soft_steps = 2
combined_centroids = [8]
"""


def write(folder: Path, text: str) -> Path:
    """The settings file that ``call`` uses."""
    path = folder / "small.toml"
    path.write_text(text)
    return path


def call(recordings: Path, folder: Path, source: Path, *arguments: object) -> Result:
    """Run the command on a checkpoint, in ``folder/run``, into ``folder/out``."""
    app = typer.Typer()
    cli.register(app)
    given = [folder / "small.toml", "--from", source, "--speech", recordings / "speech", "--noise", recordings / "noise"]
    given += ["--valid-speech", recordings / "speech", "--valid-noise", recordings / "noise", "--threads", 1]
    given += ["--run", folder / "run", "--out", folder / "out", *arguments]
    return CliRunner().invoke(app, ["sweep", *map(str, given)])


def succeed(*arguments: object) -> Result:
    """The same, where it must not fail."""
    result = call(*arguments)
    if result.exception is not None:
        raise result.exception
    return result
