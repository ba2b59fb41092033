"""The engine: one thread that steps the networks for every live stream, in batches.

The event loop hands over whole hops (``submit``); the thread takes the lanes that are due, most urgent first, steps
them together variant by variant, and wakes the event loop once with all results. A lane is one row of state: one
channel of one stream in one variant. The thread knows nothing of clients, the event loop nothing of networks.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import logging
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.zoo import Variant
from service.states import StateTable

Array = npt.NDArray[np.float32]
MAX_ROWS = 32  # the gain of larger batches is spent before that, and latency grows
MAX_HOPS = 8  # per lane and step, when a lane has more waiting
EARLY_SECONDS = 0.05  # work whose deadline is further away than this is ahead of real time
LINGER_SECONDS = 0.005  # how long a busy engine lets work gather: a row of a batch costs half of one alone
SMOOTHING_SECONDS = 0.5
SWITCH_SECONDS = 0.0005  # a busy event loop gives way to the engine after this, rather than after Python's 5 ms
LINGER_LOAD = (0.15, 0.4)  # from which load on it waits at all, and from which that long
EARLY_ROWS = 4  # lanes that are ahead of real time get this many rows a tick, so they never hold up live ones

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """What one step cost: seconds waited in the queue, seconds computed, rows in the batch."""

    queue: float
    compute: float
    batch: int


Deliver = Callable[[Array, Timing], None]
Fail = Callable[[Exception], None]


class Lane:
    """One row of state and the hops that wait for it. Made by ``Engine.open``."""

    def __init__(self, variant: Variant, row: int, deliver: Deliver, fail: Fail) -> None:
        self.variant, self.row = variant, row
        self.deliver, self.fail = deliver, fail
        self.jobs: deque[tuple[Array, float, float]] = deque()  # hops, deadline, handed over at
        self.closed = False


@dataclasses.dataclass(frozen=True, slots=True)
class _Work:
    """What is taken from one lane for one step."""

    lane: Lane
    audio: Array
    submitted: float


class Engine:
    """Batches the streams that are due. Start it, open lanes, submit hops, stop it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int, observe: Callable[[str, int, int, float], None]) -> None:
        """
        Args:
            loop: Where results are delivered.
            capacity: Largest number of lanes of one variant.
            observe: Called by the engine thread after every step with the variant's name, its rows, hops and seconds.
        """
        self._loop, self._capacity, self._observe = loop, capacity, observe
        self._tables: dict[str, StateTable] = {}
        self._ready: dict[Lane, None] = {}  # lanes with waiting hops, in order of arrival
        self._wake = threading.Condition()
        self._stopping = False
        self._busy, self._ended = 0.0, time.perf_counter()  # smoothed load, end of the last step
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the running step; waiting hops are dropped."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def lag(self) -> float:
        """Seconds that the oldest work has waited since it was both handed over and due."""
        now = time.perf_counter()
        with self._wake:
            heads = [lane.jobs[0] for lane in self._ready]
        return max((now - max(deadline, submitted) for _, deadline, submitted in heads), default=0.0)

    @property
    def waiting_seconds(self) -> float:
        """Audio that has been handed over and is not taken up yet, of all lanes together."""
        with self._wake:
            return sum(sum(len(job[0]) for job in lane.jobs) / lane.variant.sample_rate for lane in self._ready)

    @property
    def lanes(self) -> int:
        """Lanes that are open."""
        return sum(table.used for table in self._tables.values())

    def has_room(self, variant: Variant, lanes: int) -> bool:
        """Whether so many more lanes of a variant can be opened."""
        table = self._tables.get(variant.name)
        return (table.used if table else 0) + lanes <= self._capacity

    def open(self, variant: Variant, deliver: Deliver, fail: Fail) -> Lane:
        """A lane with the state of a new stream.

        Args:
            variant: The network.
            deliver: Called in the event loop with each step's output ``[samples]``, in order.
            fail: Called in the event loop when the step raised; the lane gets no more output.

        Raises:
            MemoryError: No row is free.
        """
        with self._wake:
            table = self._tables.get(variant.name)
            if table is None:
                table = self._tables[variant.name] = StateTable(variant.initial_state, self._capacity)
            return Lane(variant, table.acquire(), deliver, fail)

    def close(self, lane: Lane) -> None:
        """Give the lane's row back; what still waits is dropped."""
        with self._wake:
            if not lane.closed:
                lane.closed = True
                lane.jobs.clear()
                self._ready.pop(lane, None)
                self._tables[lane.variant.name].release(lane.row)

    def submit(self, lane: Lane, audio: Array, deadline: float) -> None:
        """Hand over whole hops.

        Args:
            lane: An open lane.
            audio: ``[hops * hop]``; kept, so it must not be changed afterwards.
            deadline: Urgency, on the clock of ``time.perf_counter``: when the audio was due in real time.
        """
        with self._wake:
            if lane.closed:
                return
            lane.jobs.append((audio, deadline, time.perf_counter()))
            self._ready[lane] = None
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._ready and not self._stopping:
                    self._wake.wait()
                if self._stopping:
                    return
            if seconds := self._linger():
                time.sleep(seconds)
            with self._wake:
                works = self._collect()
            results: list[tuple[Callable[..., None], tuple[object, ...]]] = []
            for batch in works:
                results += self._step(batch)
            self._loop.call_soon_threadsafe(_call_all, results)

    def _linger(self) -> float:
        """Seconds to wait before the next step: none for a few streams, which then are answered at once."""
        low, high = LINGER_LOAD
        return LINGER_SECONDS * min(1.0, max(0.0, (self._busy - low) / (high - low)))

    def _collect(self) -> list[list[_Work]]:
        """Take the most urgent work of at most ``MAX_ROWS`` lanes a variant and length; call it with the lock held."""
        now = time.perf_counter()
        urgent = heapq.nsmallest(4 * MAX_ROWS, self._ready, key=lambda lane: lane.jobs[0][1])
        batches: dict[tuple[str, int], list[_Work]] = defaultdict(list)
        early = 0
        for lane in urgent:
            due = lane.jobs[0][1] < now + EARLY_SECONDS
            early += not due
            if due or early <= EARLY_ROWS:
                work = self._take(lane)
                batches[lane.variant.name, len(work.audio)].append(work)
        return [batch[i : i + MAX_ROWS] for batch in batches.values() for i in range(0, len(batch), MAX_ROWS)]

    def _take(self, lane: Lane) -> _Work:
        limit = MAX_HOPS * lane.variant.hop
        audio, deadline, submitted = lane.jobs.popleft()
        if len(audio) > limit:
            lane.jobs.appendleft((audio[limit:], deadline, submitted))
            audio = audio[:limit]
        elif len(audio) < limit and lane.jobs:
            parts = [audio]
            total = len(audio)
            while lane.jobs and total + len(lane.jobs[0][0]) <= limit:
                following, _, submitted = lane.jobs.popleft()
                parts.append(following)
                total += len(following)
            audio = np.concatenate(parts)
        if not lane.jobs:
            del self._ready[lane]
        return _Work(lane, audio, submitted)

    def _step(self, batch: list[_Work]) -> list[tuple[Callable[..., None], tuple[object, ...]]]:
        variant = batch[0].lane.variant
        table = self._tables[variant.name]
        begin = time.perf_counter()
        rows = [work.lane.row for work in batch]
        try:
            audio = np.stack([work.audio for work in batch])
            enhanced, states = variant.step(audio, table.rows[rows])
        except Exception as error:
            log.exception("a step of %s with %d rows failed", variant.name, len(batch))
            return [(work.lane.fail, (error,)) for work in batch if not work.lane.closed]
        with self._wake:  # a lane closed meanwhile may have passed its row on: leave that row alone
            live = [index for index, work in enumerate(batch) if not work.lane.closed]
            table.rows[[rows[index] for index in live]] = states[live]
        end = time.perf_counter()
        seconds, self._ended, since = end - begin, end, end - self._ended
        self._busy += (seconds / since - self._busy) * min(1.0, since / SMOOTHING_SECONDS)
        self._observe(variant.name, len(batch), audio.shape[1] // variant.hop, seconds)
        return [
            (work.lane.deliver, (out, Timing(begin - work.submitted, seconds, len(batch))))
            for work, out in zip(batch, enhanced, strict=True)
            if not work.lane.closed
        ]


def _call_all(calls: list[tuple[Callable[..., None], tuple[object, ...]]]) -> None:
    for function, arguments in calls:
        try:
            function(*arguments)
        except Exception:  # one stream's fault must not reach the next
            log.exception("delivering a result failed")
