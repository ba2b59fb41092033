"""Several worker processes on one port: started, replaced when they die, drained together, restarted one by one.

Uvicorn has a supervisor of its own, which is not used: its workers make plain ``uvicorn.Server`` objects, so that nothing
would drain; it waits for each worker in turn, deaf to signals and to other deaths meanwhile; it starts a worker that dies at
once again and again; and when it is killed itself, its workers stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import signal
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path

from service.processes.acceptor import listen
from service.processes.worker import HANDOVER_SECONDS, STOPS, Job, Started, run_worker, share
from service.settings import Settings
from service.telemetry.worker_metrics import Ended

BACKOFF_SECONDS = (1.0, 30.0)  # before a worker is started again that died before it served: first, at most
KILL_SECONDS = 15.0  # what a worker gets beyond the drain time

log = logging.getLogger(__name__)


class WorkerError(Exception):
    """The workers cannot be started; the message says why."""


@dataclasses.dataclass(eq=False)
class _Worker:
    job: Job
    index: int  # of its share
    process: SpawnProcess
    pipe: connection.Connection | None
    serves: bool = False
    failure: str | None = None
    kill_at: float | None = None  # set once it is to stop


class Supervisor:
    """Runs ``settings.workers`` workers until SIGTERM or SIGINT; SIGHUP replaces them one after the other.

    Args:
        settings: Of the whole server.
        announce: Called once all workers serve, with the port and the names of the variants.
    """

    def __init__(self, settings: Settings, announce: Callable[[int, tuple[str, ...]], None]) -> None:
        self._settings, self._announce = settings, announce
        self._context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
        self._workers: list[_Worker] = []
        self._backoff: dict[int, float] = {}  # by share: seconds to wait if the next one, too, dies before it serves
        self._due: dict[int, float] = {}  # by share: when to start the next one
        self._rolling: deque[int] = deque()  # shares that are to get a new worker
        self._signals: list[int] = []
        self._count = 0
        self._announced = self._stopping = False

    def run(self) -> None:
        """Serve; returns when all workers have ended.

        Raises:
            WorkerError: A worker could not start the first time.
            OSError: The address cannot be listened on.
        """
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="quietwire-", ignore_cleanup_errors=True))
            listening = [stack.enter_context(one) for one in listen(self._settings.host, self._settings.port)]
            woken = stack.enter_context(_heeded((*STOPS, signal.SIGHUP), self._signals))
            stack.callback(self._kill_all)
            self._folder, self._listening = Path(folder), listening
            self._ended = Ended(self._folder)
            for index in range(self._settings.workers):
                self._start(index)
            while self._workers or not self._stopping:
                self._wait(woken)
                self._ended.keep()
                while self._signals:
                    self._obey(self._signals.pop(0))
                if not self._stopping:
                    self._start_due()
                    self._roll()

    def _wait(self, woken: socket.socket) -> None:
        """Until a worker says something or ends, a signal comes, or something is due."""
        kills = [worker.kill_at for worker in self._workers if worker.kill_at is not None]
        times = [*kills, *self._due.values(), *self._ended.due]
        pipes = [worker.pipe for worker in self._workers if worker.pipe is not None]
        sentinels = [worker.process.sentinel for worker in self._workers]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        ready = connection.wait([woken, *pipes, *sentinels], timeout)
        if woken in ready:
            woken.recv(4096)
        for worker in list(self._workers):
            if worker.pipe in ready:
                self._hear(worker)
            if worker.process.sentinel in ready:
                self._bury(worker)
            elif worker.kill_at is not None and worker.kill_at <= time.monotonic():
                log.error("worker %d does not stop: it is killed", worker.process.pid)
                worker.process.kill()
                worker.kill_at = time.monotonic() + KILL_SECONDS

    def _start(self, index: int) -> _Worker:
        self._count += 1
        job = Job(self._count, share(self._settings, index), self._listening, self._folder)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=run_worker, args=(job, theirs), name=f"worker-{job.number}", daemon=True)
        resource_tracker.ensure_running()  # or the first start would do it, and let signals through again
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # held back in the worker, too, until it can heed them
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            theirs.close()
        worker = _Worker(job, index, process, ours)
        self._workers.append(worker)
        return worker

    def _stop(self, worker: _Worker) -> None:
        if worker.kill_at is None:
            worker.kill_at = time.monotonic() + self._settings.drain_seconds + KILL_SECONDS
            worker.process.terminate()

    def _relieve(self, worker: _Worker) -> None:
        """Let a worker go whose successor serves: it takes no connection more, then it stops by itself."""
        worker.kill_at = time.monotonic() + HANDOVER_SECONDS + self._settings.drain_seconds + KILL_SECONDS
        if worker.pipe is not None:
            with contextlib.suppress(OSError):  # it has just ended
                worker.pipe.send(None)

    def _peers(self, worker: _Worker) -> list[_Worker]:
        """Others that have the same share and are to keep it."""
        same = [one for one in self._workers if one.index == worker.index and one is not worker]
        return [one for one in same if one.kill_at is None]

    def _hear(self, worker: _Worker) -> None:
        """A worker has said how its start went, or will say no more."""
        assert worker.pipe is not None
        try:
            started: Started = worker.pipe.recv()
        except (EOFError, OSError):
            worker.pipe.close()
            worker.pipe = None
            return
        worker.failure, worker.serves = started.failure, started.failure is None
        if not worker.serves or self._stopping:
            return
        self._backoff.pop(worker.index, None)
        for former in self._peers(worker):
            log.info("worker %d serves, worker %d stops", worker.process.pid, former.process.pid)
            self._relieve(former)
        if not self._announced and all(one.serves for one in self._workers):
            self._announced = True
            self._announce(self._listening[0].getsockname()[1], started.names)

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended: keep its counts, and start another one if it was not to end."""
        worker.process.join()
        if worker.pipe is not None:
            if not worker.serves and worker.pipe.poll():
                self._hear(worker)
            if worker.pipe is not None:
                worker.pipe.close()
        self._workers.remove(worker)
        self._ended.add(worker.job.number, died=worker.kill_at is None)
        if worker.kill_at is not None:
            return
        code = worker.process.exitcode or 0
        why = worker.failure or (f"signal {-code}" if code < 0 else f"exit code {code}")
        if not self._announced:
            raise WorkerError(worker.failure or f"a worker could not start ({why}): look at the lines above")
        log.error("worker %d has died (%s)", worker.process.pid, why)
        if not self._peers(worker):
            first, longest = BACKOFF_SECONDS
            seconds = 0.0 if worker.serves else self._backoff.get(worker.index, first)
            self._backoff[worker.index] = min(longest, 2 * seconds) or first
            self._due[worker.index] = time.monotonic() + seconds
        elif not worker.serves:
            log.error("the restart is given up: the other workers stay")
            self._rolling.clear()

    def _start_due(self) -> None:
        for index in [index for index, at in self._due.items() if at <= time.monotonic()]:
            del self._due[index]
            worker = self._start(index)
            log.warning("worker %d takes the place of the one that died", worker.process.pid)

    def _roll(self) -> None:
        """Start the next new worker, once nothing else is under way."""
        settled = len(self._workers) == self._settings.workers and all(worker.serves for worker in self._workers)
        if self._rolling and settled:
            self._start(self._rolling.popleft())

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            log.info("the workers are replaced, one after the other")
            self._rolling = deque(range(self._settings.workers))
        elif not self._stopping:
            self._stopping = True
            for worker in self._workers:
                self._stop(worker)
        elif number == signal.SIGINT:  # Ctrl-C for the second time
            self._kill_all()

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.process.kill()


@contextlib.contextmanager
def _heeded(numbers: tuple[signal.Signals, ...], into: list[int]) -> Iterator[socket.socket]:
    """Collect signals in a list; the socket becomes readable when one has come."""
    reader, writer = socket.socketpair()
    with reader, writer:
        for one in (reader, writer):
            one.setblocking(False)
        before = {number: signal.signal(number, lambda got, _: into.append(got)) for number in numbers}
        fd = signal.set_wakeup_fd(writer.fileno())
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(fd)
            for number, handler in before.items():
                signal.signal(number, handler)
