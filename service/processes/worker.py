"""One worker process of several: the same server as one alone, on listening sockets that they share."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from service.settings import Settings
from service.telemetry import logs

STOPS = (signal.SIGINT, signal.SIGTERM)
HANDOVER_SECONDS = 1.0  # what is asked for over a connection that a relieved worker has taken is still let in


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker is started with.

    Attributes:
        number: Never given twice by one supervisor.
        settings: Its share of them, from ``share``.
        listening: The sockets, one an address of the host.
        folder: For the metrics of all workers.
    """

    number: int
    settings: Settings
    listening: list[socket.socket]
    folder: Path


@dataclasses.dataclass(frozen=True)
class Started:
    """What a worker tells its supervisor: the names of its variants, or why it cannot serve."""

    names: tuple[str, ...] = ()
    failure: str | None = None


def share(settings: Settings, index: int) -> Settings:
    """The settings of worker ``index`` from 0: what is counted for the whole server is divided.

    ``max_streams`` add up to what is set; of ``uploads`` every worker gets one at least. ``workers`` stays, as it says which
    part of the processors is the worker's.
    """

    def part(whole: int) -> int:
        return whole // settings.workers + (index < whole % settings.workers)

    parts = {"max_streams": part(settings.max_streams), "uploads": max(1, part(settings.uploads))}
    return settings.model_copy(update=parts)


def run_worker(job: Job, supervisor: Connection) -> None:
    """Serve until SIGTERM or SIGINT, or until the supervisor is gone; both are held back until here.

    Args:
        job: What to do.
        supervisor: Gets one ``Started``.
    """
    for number in STOPS:  # uvicorn raises the one that stopped it again, when it has stopped
        signal.signal(number, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # meant for the supervisor, where a terminal sends it to all
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    from models.zoo import ZooError, load_zoo  # here, as the supervisor needs nothing of all this
    from service.app import create_app
    from service.processes.server import keep_start, server_config
    from service.processes.worker_server import WorkerServer

    logs.configure(job.settings, process=True)
    try:
        zoo = load_zoo(job.settings.zoo, job.settings.variants)
    except (ZooError, OSError) as error:
        supervisor.send(Started(failure=str(error)))
        sys.exit(1)
    orphaned = threading.Event()
    config = server_config(job.settings, create_app(job.settings, zoo))

    def listening(port: int) -> None:
        keep_start()
        supervisor.send(Started(tuple(zoo.names)))

    server = WorkerServer(config, job, listening)
    threading.Thread(target=_watch, args=(supervisor, server.leave_soon, orphaned), name="supervisor", daemon=True).start()
    try:
        server.run(sockets=job.listening)
    finally:
        if orphaned.is_set():
            shutil.rmtree(job.folder, ignore_errors=True)


def _watch(supervisor: Connection, leave: Callable[[], None], orphaned: threading.Event) -> None:
    """Stop this process when the supervisor says its only word, that another serves in its place, or is gone."""
    try:
        supervisor.recv()
        leave()
        time.sleep(HANDOVER_SECONDS)
    except (EOFError, OSError):
        orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)
