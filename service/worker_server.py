"""The server of one worker process: it shares its listening socket, and its metrics, with the others."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable

import uvicorn

from service.acceptor import Acceptor
from service.app import Server
from service.worker import Job
from service.worker_metrics import WorkerMetrics


class WorkerServer(Server):
    """One of several servers.

    Args:
        config: Of uvicorn.
        job: What to do.
        started: Called once connections are taken.
    """

    def __init__(self, config: uvicorn.Config, job: Job, started: Callable[[], None]) -> None:
        super().__init__(config, lambda port: started())
        self._job = job

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, take connections with the others' needs in mind, and begin to tell the metrics."""
        await uvicorn.Server.startup(self, [])  # everything but the listening
        state = self.application.state
        state.worker_metrics = WorkerMetrics(self._job.folder, self._job.number, state.runtime.metrics.registry)
        self._publishing = asyncio.create_task(state.worker_metrics.keep_publishing())
        self._loop = asyncio.get_running_loop()
        self._acceptor = Acceptor(self._job.listening, self.protocol, self._fullness, self.config.ssl)
        gc.freeze()  # the objects of the start are not garbage
        self._acceptor.start()
        self._listening(self._job.listening.getsockname()[1])

    def leave(self) -> None:
        """Take no connection more, as another worker serves in this one's place; any thread may call it, once it serves."""
        self._loop.call_soon_threadsafe(self._acceptor.stop)

    async def drain(self) -> None:
        """Let streams finish; what is new is left to the workers that stay, and refused when there are none."""
        await super().drain()
        self._acceptor.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, stop, and tell the metrics a last time."""
        await super().shutdown(sockets)
        self._publishing.cancel()
        await asyncio.wait([self._publishing])

    def _fullness(self) -> float:
        runtime = self.application.state.runtime
        if runtime.not_ready_reason() is not None:
            return 1.0
        return min(0.99, len(self.server_state.connections) / self._job.settings.max_streams)
