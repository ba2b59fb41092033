"""Several generator processes at work on one step, and what they say put together."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO

from loadtest.errors import LoadtestError
from loadtest.generator import CONNECT_SECONDS, GRACE_SECONDS, Job, Progress
from loadtest.tally import Tally, merge

START_SECONDS = 60.0  # for Python and its packages, on a busy machine
Said = tuple[int, Progress | Tally | None]


def split(job: Job, processes: int) -> list[Job]:
    """One job per process, the microphones dealt out in turn; no process without one."""
    shares = [job.microphones[index::processes] for index in range(processes)]
    return [dataclasses.replace(job, microphones=share) for share in shares if share]


def run_fleet(jobs: list[Job], show: Callable[[int, Progress], None]) -> Tally:
    """Carry out jobs at the same time, each in a process of its own.

    Args:
        jobs: From ``split``.
        show: Called with a process's number whenever it has said something.

    Raises:
        LoadtestError: A process failed.
    """
    said: queue.SimpleQueue[Said] = queue.SimpleQueue()
    tallies: dict[int, Tally] = {}
    patience = START_SECONDS + jobs[0].ramp + jobs[0].seconds + CONNECT_SECONDS + GRACE_SECONDS
    with contextlib.ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in jobs]
        workers = [stack.enter_context(_worker(error)) for error in errors]
        for index, (worker, job) in enumerate(zip(workers, jobs, strict=True)):
            threading.Thread(target=_listen, args=(index, worker, job, said), daemon=True).start()
        while len(tallies) < len(jobs):
            try:
                index, what = said.get(timeout=patience)
            except queue.Empty as error:
                raise LoadtestError("a generator process said nothing any more: run again with fewer streams") from error
            match what:
                case Progress():
                    show(index, what)
                case Tally():
                    tallies[index] = what
                case None:
                    raise LoadtestError(f"a generator process failed: {_last_line(errors[index])}")
    return merge(tallies.values())


@contextlib.contextmanager
def _worker(error: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "loadtest.worker"]  # -P: nothing in the current folder may stand in its way
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=error) as worker:
        try:
            yield worker
        finally:
            worker.kill()  # it has either said everything, or is not to go on


def _listen(index: int, worker: subprocess.Popen[bytes], job: Job, said: queue.SimpleQueue[Said]) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        pickle.dump(job, worker.stdin)
        worker.stdin.flush()
        while True:
            what = pickle.load(worker.stdout)  # noqa: S301
            said.put((index, what))
            if isinstance(what, Tally):
                return
    except (EOFError, OSError, pickle.UnpicklingError, ValueError):
        said.put((index, None))


def _last_line(error: IO[bytes]) -> str:
    error.seek(0)
    lines = error.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
