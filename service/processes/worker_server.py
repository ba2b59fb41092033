"""The server of one worker process: it shares its listening sockets, and its metrics, with the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from service.processes.server import Server
from service.processes.worker import Job
from service.telemetry.worker_metrics import WorkerMetrics


class WorkerServer(Server):
    """One of several servers, to be run on the sockets that they share.

    Args:
        config: Of uvicorn.
        job: What to do.
        listening: Called with the port once connections are taken.
    """

    def __init__(self, config: uvicorn.Config, job: Job, listening: Callable[[int], None]) -> None:
        super().__init__(config, listening)
        self._job = job

    def prepare(self) -> None:
        """Begin to tell the metrics; it is the supervisor who has the variants read again, by new workers."""
        state = self.application.state
        state.worker_metrics = WorkerMetrics(self._job.folder, self._job.number, state.runtime.metrics.registry)
        self._publishing = asyncio.create_task(state.worker_metrics.keep_publishing())
        self._loop = asyncio.get_running_loop()

    def fullness(self) -> float:
        """Share of this worker's streams that are there; 1 when it is not ready."""
        runtime = self.application.state.runtime
        if runtime.not_ready_reason() is not None:
            return 1.0
        return min(0.99, len(self.server_state.connections) / self._job.settings.max_streams)

    def leave_soon(self) -> None:
        """Take no connection more, as another worker serves in this one's place; any thread may call it, once it serves."""
        self._loop.call_soon_threadsafe(self.leave)

    async def drain(self) -> None:
        """Let streams finish; what is new is left to the workers that stay, and refused when there are none."""
        await super().drain()
        self.leave()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, stop, and tell the metrics a last time."""
        await super().shutdown(sockets)
        self._publishing.cancel()
        await asyncio.wait([self._publishing])
