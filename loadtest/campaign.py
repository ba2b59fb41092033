"""A whole test: the single streams first, then one step per number of streams, or a search for the largest."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import platform
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from rich.console import Console

from loadtest.audio import Recording
from loadtest.clock import Network
from loadtest.fleet import run_fleet, split
from loadtest.generator import Job
from loadtest.measure import Bars, Measurement, evaluate
from loadtest.progress import StepDisplay
from loadtest.report import Report, verdict
from loadtest.search import find_maximum
from loadtest.server import ServerWatch
from loadtest.single import Single, run_single
from loadtest.uploads import Upload, Uploads

PAUSE_SECONDS = 1.0  # between steps, for the server to be rid of the last one's streams


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is the same in all steps.

    Attributes:
        url: Of the server, without a query.
        query: Of the streams; ``sample_rate`` is among it.
        headers: Of the handshake.
        seconds: How long all streams of a step send.
        ramp: How long joining takes, in seconds, on top.
        chunk_ms: Length of a message.
        network: Jitter and bursts.
        hang_up_seconds: Mean life of streams that hang up; None for no hang-ups.
        processes: Generator processes.
        bars: What is to be kept.
        compare_seconds: Audio from the beginning of each stream that is compared with the single stream's.
        upload: What is uploaded beside the streams, where something is.
        seed: Of all that is drawn.
    """

    url: str
    query: dict[str, Any]
    headers: dict[str, str]
    seconds: float
    ramp: float
    chunk_ms: int
    network: Network
    hang_up_seconds: float | None
    processes: int
    bars: Bars
    compare_seconds: float
    upload: Upload | None
    seed: int

    @property
    def address(self) -> str:
        """The URL with the query."""
        return f"{self.url}?{urlencode(self.query)}"


class Campaign:
    """Measures steps and keeps their figures.

    Args:
        plan: What is the same in all steps.
        recordings: What the microphones hear.
        watch: Of the server, or None.
        console: For what is said meanwhile.

    Raises:
        LoadtestError: The server does not serve even a single stream.
    """

    def __init__(self, plan: Plan, recordings: Sequence[Recording], watch: ServerWatch | None, console: Console) -> None:
        self._plan, self._recordings, self._watch, self._console = plan, recordings, watch, console
        self._steps: list[Measurement] = []
        self._maximum: int | None = None
        self._singles = asyncio.run(self._run_singles())

    async def _run_singles(self) -> list[Single]:
        plan, singles = self._plan, []
        seconds = plan.compare_seconds
        for recording in self._recordings:
            with self._console.status(f"{recording.name} alone, {seconds:.0f} s of audio"):
                singles.append(await run_single(plan.address, plan.headers, recording, seconds))
        return singles

    def measure(self, streams: int, uploads: int = 0) -> Measurement:
        """One step, with so many clients that upload files beside the streams.

        Raises:
            LoadtestError: A generator process failed, or the server's process has gone.
        """
        plan = self._plan
        time.sleep(PAUSE_SECONDS)
        job = Job(
            plan.address,
            plan.headers,
            tuple(range(streams)),
            streams,
            plan.seconds,
            plan.ramp,
            plan.chunk_ms,
            plan.network,
            plan.hang_up_seconds,
            tuple(self._recordings),
            tuple(single.reference for single in self._singles),
            plan.bars.tolerance,
            plan.seed,
        )
        if self._watch is not None:
            self._watch.start()
        with contextlib.ExitStack() as stack:
            clients = stack.enter_context(Uploads(plan.upload, uploads)) if plan.upload and uploads else None
            display = stack.enter_context(StepDisplay(self._console, streams, plan.ramp + plan.seconds, plan.bars))
            tally = run_fleet(split(job, plan.processes), display.show)
        use = self._watch.stop(streams) if self._watch is not None else None
        files = clients.use() if clients else None
        step = evaluate(tally, streams, plan.seconds, plan.ramp, self._recordings[0].rate, plan.bars, use, files)
        self._steps.append(step)
        latency = f"p99 {step.server_ms.p99:.2f} ms, max {step.server_ms.max:.2f}"
        beside = f" and {uploads} uploads" if uploads else ""
        self._console.print(f"{streams} streams{beside}: {latency}, {verdict(step)}", highlight=False, soft_wrap=True)
        for sentence, count in step.faults.items():
            self._console.print(f"  {count}x {sentence}", highlight=False, soft_wrap=True)
        return step

    def search(self, start: int, ceiling: int, uploads: int = 0) -> int:
        """Find the largest number of streams that passes, above the steps already measured that did."""
        beside = [step for step in self._steps if (step.uploads.clients if step.uploads else 0) == uploads]
        known = max((step.streams for step in beside if step.passed), default=0)
        self._maximum = find_maximum(lambda streams: self.measure(streams, uploads).passed, start, ceiling, known=known)
        return self._maximum

    def report(self) -> Report:
        """All so far."""
        plan = self._plan
        setup = {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "query": {name: value for name, value in plan.query.items() if name != "token"},
            "seconds": plan.seconds,
            "ramp": plan.ramp,
            "chunk_ms": plan.chunk_ms,
            "network": dataclasses.asdict(plan.network),
            "hang_up_seconds": plan.hang_up_seconds,
            "processes": plan.processes,
            "compare_seconds": plan.compare_seconds,
            "seed": plan.seed,
            "audio": [recording.name for recording in self._recordings],
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        }
        return Report(plan.url, setup, dict(self._singles[0].facts), plan.bars, tuple(self._steps), self._maximum)
