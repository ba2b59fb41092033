"""The microphones of one process: joining over a ramp, replaced when they hang up, ended when the time is over."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import random
import time
from array import array
from collections.abc import Callable

from picows import WSError, WSInvalidStatusError, ws_connect

from loadtest.audio import Recording
from loadtest.check import AudioCheck, Reference
from loadtest.clock import Network, Schedule, TimerWheel
from loadtest.microphone import Microphone, Part
from loadtest.tally import Tally

CONNECT_SECONDS = 10.0  # until the handshake is done
GRACE_SECONDS = 10.0  # for the rest of the output, once a stream has ended; a server later than that has lost it
REPLACE_SECONDS = 0.1  # from a hang-up to the next stream
REPORT_SECONDS = 0.5
NO_ROOM_STATUSES = {429, 503}


@dataclasses.dataclass(frozen=True)
class Job:
    """What one process has to do in one step; made to be pickled.

    Attributes:
        url: With the whole query.
        headers: Of the handshake.
        microphones: Numbers of this process's microphones; number ``i`` joins after ``ramp * i / streams`` seconds.
        streams: Microphones of all processes.
        seconds: How long all of them send.
        ramp: How long joining takes, in seconds, on top of that.
        chunk_ms: Length of a message.
        network: Jitter and bursts.
        hang_up_seconds: Mean life of a stream that is dropped without ``end`` and replaced; None for no hang-ups.
        recordings: Speech; microphone ``i`` hears number ``i`` modulo their count.
        references: What a single stream receives, per recording.
        tolerance: Largest difference from it, full scale being 1.
        seed: Of jitter, bursts, hang-ups, and where in a chunk's time a stream sends.
    """

    url: str
    headers: dict[str, str]
    microphones: tuple[int, ...]
    streams: int
    seconds: float
    ramp: float
    chunk_ms: int
    network: Network
    hang_up_seconds: float | None
    recordings: tuple[Recording, ...]
    references: tuple[Reference, ...]
    tolerance: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a process says while it works; latencies are those since the last time.

    Attributes:
        live: Streams that send.
        server_ms: Latencies as the server says.
        client_ms: As seen from here.
        refused: Streams refused, failed or broken so far.
    """

    live: int
    server_ms: array[float]
    client_ms: array[float]
    refused: int


async def generate(job: Job, report: Callable[[Progress], None] = lambda progress: None) -> Tally:
    """Carry out a job; returns when every stream is gone."""
    return await _Generator(job, report).run()


class _Generator:
    def __init__(self, job: Job, report: Callable[[Progress], None]) -> None:
        self._job, self._report = job, report
        self._tally = Tally()
        self._wheel = TimerWheel(asyncio.get_running_loop())
        self._messages = [recording.messages() for recording in job.recordings]
        self._present: set[Microphone] = set()
        self._stopping = False

    async def run(self) -> Tally:
        job, cpu = self._job, time.process_time()
        gc.collect()
        gc.disable()  # a collection would make everything due during it late
        try:
            tasks = [asyncio.create_task(self._seat(index)) for index in job.microphones]
            reporter = asyncio.create_task(self._report_regularly())
            await asyncio.sleep(job.ramp + job.seconds)
            self._stopping = True
            for microphone in list(self._present):
                microphone.stop()
            finished, unfinished = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
            for microphone in list(self._present):
                microphone.abandon()
            for task in [*unfinished, reporter]:
                task.cancel()
            await asyncio.gather(*unfinished, reporter, return_exceptions=True)
            for task in finished:
                task.result()
        finally:
            self._wheel.stop()
            gc.enable()
        self._tally.cpu_seconds = time.process_time() - cpu
        return self._tally

    async def _seat(self, index: int) -> None:
        """One microphone's place: a stream, and another one whenever it hangs up."""
        job, random_ = self._job, random.Random(f"{self._job.seed} {index}")  # noqa: S311
        await asyncio.sleep(job.ramp * index / job.streams)
        while not self._stopping:
            microphone = self._make(index, random_)
            self._present.add(microphone)
            try:
                await self._connect(microphone)
            finally:
                self._present.discard(microphone)
            if not microphone.dropped:
                return
            await asyncio.sleep(REPLACE_SECONDS)

    def _make(self, index: int, random_: random.Random) -> Microphone:
        job, which = self._job, index % len(self._job.recordings)
        chunks = None
        if job.hang_up_seconds is not None:
            chunks = 1 + int(random_.expovariate(job.chunk_ms / 1000 / job.hang_up_seconds))
        part = Part(
            self._messages[which],
            lambda start: Schedule(start, job.chunk_ms, job.network, random_),
            random_.uniform(0, job.chunk_ms / 1000),
            chunks,
        )
        return Microphone(part, AudioCheck(job.references[which], job.tolerance), self._tally, self._wheel)

    async def _connect(self, microphone: Microphone) -> None:
        """Run one stream until its connection is gone."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await ws_connect(lambda: microphone, self._job.url, extra_headers=self._job.headers)
        except WSInvalidStatusError as error:
            status = error.response.status if error.response is not None else 0
            no_room = status in NO_ROOM_STATUSES
            self._tally.refused, self._tally.failed = self._tally.refused + no_room, self._tally.failed + (not no_room)
            self._tally.fault(f"refused: HTTP {int(status)}")
        except (OSError, TimeoutError, WSError) as error:
            self._tally.failed += 1
            self._tally.fault(f"no connection: {str(error) or type(error).__name__}")
        else:
            await microphone.closed

    async def _report_regularly(self) -> None:
        tally, seen = self._tally, 0
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            server, client = tally.server_ms[seen:], tally.client_ms[seen:]
            seen += len(server)
            live = sum(microphone.live for microphone in self._present)
            self._report(Progress(live, server, client, tally.refused + tally.failed + tally.broken))
