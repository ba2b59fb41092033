"""What is seen while a step runs: one line that changes on a terminal, nothing in a pipe."""

from __future__ import annotations

import time
from array import array

from rich.console import Console
from rich.live import Live
from rich.text import Text

from loadtest.generator import Progress
from loadtest.measure import Bars, percentiles
from loadtest.tally import floats

WINDOW_SECONDS = 2.0


class StepDisplay:
    """The line of one step; used with ``with``.

    Args:
        console: Where to.
        streams: Microphones.
        seconds: Length of the step, the ramp included.
        bars: For the deadline.
    """

    def __init__(self, console: Console, streams: int, seconds: float, bars: Bars) -> None:
        self._streams, self._seconds, self._bars = streams, seconds, bars
        self._latest: dict[int, Progress] = {}
        self._window: list[tuple[float, array[float], array[float]]] = []
        self._late = self._chunks = 0
        self._began = time.monotonic()
        self._live = Live(Text(f"{streams} streams: starting"), console=console, transient=True, auto_refresh=False)
        self._shown = console.is_terminal

    def __enter__(self) -> StepDisplay:
        if self._shown:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._live.stop()

    def show(self, process: int, progress: Progress) -> None:
        """Take in what a process says."""
        self._latest[process] = progress
        now = time.monotonic()
        self._window = [one for one in self._window if one[0] > now - WINDOW_SECONDS]
        self._window.append((now, progress.server_ms, progress.client_ms))
        self._chunks += len(progress.server_ms)
        self._late += sum(1 for latency in progress.server_ms if latency > self._bars.late_ms)
        if self._shown:
            self._live.update(Text(self.line()), refresh=True)

    def line(self) -> str:
        """The line as it is now."""
        server, client = floats(), floats()
        for _, servers, clients in self._window:
            server.extend(servers)
            client.extend(clients)
        latest = self._latest.values()
        live, refused = sum(one.live for one in latest), sum(one.refused for one in latest)
        elapsed = min(self._seconds, time.monotonic() - self._began)
        return (
            f"{self._streams} streams  {elapsed:.0f}/{self._seconds:.0f} s  live {live}  "
            f"p99 {percentiles(server).p99:.1f} ms (from outside {percentiles(client).p99:.1f})  "
            f"late {self._late} of {self._chunks}  refused or broken {refused}"
        )
