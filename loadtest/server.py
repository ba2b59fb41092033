"""The server's processes: what they use, and one started for the occasion, on a core of its own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import IO

import psutil

from loadtest.errors import LoadtestError
from loadtest.measure import ServerUse

SAMPLE_SECONDS = 0.25
START_SECONDS = 60.0
STOP_SECONDS = 30.0
SERVE = "import os; os.sched_setaffinity(0, {{{core}}}); from quietwire.cli import main; main()"
SERVE_ANYWHERE = "from quietwire.cli import main; main()"


class ServerWatch:
    """Measures processor time and memory of a process and its children, between ``start`` and ``stop``.

    Args:
        pid: Of the server.

    Raises:
        LoadtestError: There is no such process.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._process = psutil.Process(pid)
            self._process.cpu_times()
        except psutil.Error as error:
            raise LoadtestError(f"no process {pid} can be watched: give the server's with --server-pid") from error
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._rss, self._first_rss = 0, 0
        self._cpu = self._began = 0.0

    def start(self) -> None:
        """Begin a step."""
        self._stop.clear()
        self._cpu, self._rss, self._began = *self._sample(), time.perf_counter()
        self._first_rss = self._first_rss or self._rss  # of the first step: memory that is freed may stay resident
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self, streams: int) -> ServerUse:
        """End a step with so many streams.

        Raises:
            LoadtestError: The server is gone.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        cpu, rss = self._sample()
        self._rss = max(self._rss, rss)
        seconds = time.perf_counter() - self._began
        growth = max(0, self._rss - self._first_rss)
        return ServerUse(round((cpu - self._cpu) / seconds, 3), round(self._rss / 1e6, 1), round(growth / 1e3 / streams, 1))

    def resident(self) -> int:
        """Bytes of resident memory at this moment.

        Raises:
            LoadtestError: The server is gone.
        """
        return self._sample()[1]

    def processor_seconds(self) -> float:
        """Processor time used so far.

        Raises:
            LoadtestError: The server is gone.
        """
        return self._sample()[0]

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            with contextlib.suppress(LoadtestError):
                self._rss = max(self._rss, self._sample()[1])

    def _sample(self) -> tuple[float, int]:
        """Seconds of processor time, bytes of resident memory."""
        cpu, rss = 0.0, 0
        try:
            for process in [self._process, *self._process.children(recursive=True)]:
                times = process.cpu_times()
                cpu += times.user + times.system
                rss += process.memory_info().rss
        except psutil.Error as error:
            raise LoadtestError("the server's process has gone during the test: look at its log") from error
        return cpu, rss


@contextlib.contextmanager
def started_server(
    core: int | None, arguments: list[str], environment: Mapping[str, str] = MappingProxyType({}), pinned: bool = True
) -> Iterator[tuple[str, int]]:
    """``quietwire serve`` on a free port, alone on one core where the system can pin; this process keeps off that core.

    Args:
        core: Its number; None for the last one that this process may use.
        arguments: More of ``quietwire serve``.
        environment: Settings; variables that are set already go before them.
        pinned: Whether it gets a core of its own.

    Yields:
        The address of live streams, and the process id.

    Raises:
        LoadtestError: It did not start.
    """
    code, before = SERVE_ANYWHERE, _cores()
    pinned = pinned and len(before) > 1
    if pinned:
        core = max(before) if core is None else core
        if core not in before:
            raise LoadtestError(f"core {core} is not there: --server-core takes one of {', '.join(map(str, sorted(before)))}")
        code = SERVE.format(core=core)
        os.sched_setaffinity(0, before - {core})
    command = [sys.executable, "-P", "-c", code, "serve", "--host", "127.0.0.1", "--port", "0", *arguments]
    ahead = {"QUIETWIRE_MAX_AHEAD_SECONDS": "3600"}  # or a long single stream, sent as fast as can be, would take as long
    variables = {**ahead, **environment, **os.environ}
    try:
        with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                assert process.stdout is not None
                port = _read_port(process, process.stdout)
                yield f"ws://127.0.0.1:{port}/ws/enhance", process.pid
            finally:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
    finally:
        if pinned:
            os.sched_setaffinity(0, before)


def _cores() -> set[int]:
    """Cores that this process may use; empty where the system cannot pin."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _read_port(process: subprocess.Popen[bytes], output: IO[bytes]) -> int:
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    last = "it said nothing"
    try:
        for line in output:
            last = line.decode(errors="replace").strip() or last
            if found := re.search(r"http://[^ ]*:(\d+) ", last):
                threading.Thread(target=_drain, args=(output,), daemon=True).start()
                return int(found[1])
    finally:
        timer.cancel()
    raise LoadtestError(f"the server did not start: {last}")


def _drain(output: IO[bytes]) -> None:
    """Read on, or a server that logs would block."""
    with contextlib.suppress(ValueError, OSError):
        while output.read(65536):
            pass
