"""What `--help` says is what was written."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("train", ["where the recipe has a [polish]. Where it has a [memory],", "[default: runs/SETTINGS]"]),
        ("compress", ["[default: runs/SETTINGS]", "[default: as in the card of the same, or none]", "[default: zoo]"]),
        ("checkpoint", ["[default: 0.5]"]),
        ("evaluate", ["[default: the folder's name]"]),
    ],
)
def test_help_keeps_what_stands_in_square_brackets(command: str, texts: list[str]) -> None:
    program = [sys.executable, "-c", "from quietwire.cli import main; main()", command, "--help"]
    shown = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for text in texts:
        assert text in " ".join(shown.split())
