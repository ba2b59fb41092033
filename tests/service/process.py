"""`quietwire serve` in a process of its own: real signals, real limits of the system."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parents[2]
PATIENT = {"max_load": 1, "max_lag_seconds": 3600}
SERVE = "from quietwire.cli import main; main()"


class Served:
    """The command, and where it listens.

    Attributes:
        process: Its process; of several workers, their supervisor.
        folder: Where its temporary files and its log are.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        found = re.search(r"http://\S+:(\d+) ", process.stdout.readline())
        assert found, self.log
        self.port = int(found[1])
        self.url, self.http = f"ws://127.0.0.1:{self.port}/ws/enhance", f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has said on the side."""
        return (self.folder / "log").read_text()

    @property
    def workers(self) -> set[int]:
        """Process ids of those that serve, or are about to, or end."""
        found = set()
        for one in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # so is a zombie
                if any("spawn_main" in part for part in one.cmdline()):
                    found.add(one.pid)
        return found

    def connections(self) -> dict[int, int]:
        """Connections that each worker holds."""
        kinds = {pid: psutil.Process(pid).net_connections("tcp4") for pid in self.workers}
        return {pid: sum(one.status == "ESTABLISHED" for one in kind) for pid, kind in kinds.items()}

    def metric(self, name: str) -> float:
        """A value as the worker shows it that takes the connection."""
        text = httpx.get(f"{self.http}/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextlib.contextmanager
def started(folder: Path, *flags: object, limits: Mapping[str, int] | None = None, **settings: Any) -> Iterator[Served]:
    """Start it on a free port, and stop it at the end; how busy this machine is does not matter to it.

    Args:
        folder: For its temporary files and its log.
        flags: Of the command.
        limits: Of the system on the process, by the name that ``resource`` has for them.
        settings: By name; they reach it through the environment.
    """
    prelude = "".join(f"resource.setrlimit(resource.{name}, ({most}, {most})); " for name, most in (limits or {}).items())
    command = [sys.executable, "-c", f"import resource; {prelude}{SERVE}", "serve", "--port", "0", *map(str, flags)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "TMPDIR": str(folder)}
    for name, value in (PATIENT | settings).items():
        environment[f"QUIETWIRE_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield Served(process, folder)
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
