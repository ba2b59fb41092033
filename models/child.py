"""Programs of ours in processes of their own: they know neither settings nor keys, and import from where this one does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "TMPDIR")


def command(module: str, *arguments: str) -> tuple[str, ...]:
    """Starts a module as a program."""
    return (sys.executable, "-P", "-m", module, *arguments)


def environment() -> dict[str, str]:
    """What it is told of ours: where modules and libraries are, whatever its current folder is."""
    paths = [*sys.path, str(Path(__file__).parent.parent)]
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in paths if path)}
