"""When chunks are due: the schedule of one stream, and one timer wheel for all streams of a process.

The clock is open-loop: a chunk is due when a microphone would have it, whatever the server has done with those before.
All due times lie on a grid of one millisecond, and are integers in that unit ("ticks").
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from typing import Protocol

TICK_SECONDS = 0.001
SLOTS = 8192  # a power of two; what is due further ahead than this many ticks cannot be scheduled


@dataclasses.dataclass(frozen=True)
class Network:
    """What happens to chunks between the microphone and the server, in milliseconds and seconds.

    Attributes:
        jitter_ms: Each chunk is held back by up to this much, evenly distributed; order is kept.
        burst_chunks: So many chunks are bunched and come together when the last of them is due; 1 for no bursts.
        burst_seconds: Mean time from the end of a burst to the next.
        lead_ms: So much has been recorded before the stream begins, while it connected: that comes at once, and all that
            follows is as much ahead of the first chunk.
    """

    jitter_ms: float = 0.0
    burst_chunks: int = 1
    burst_seconds: float = 1.0
    lead_ms: float = 0.0


class Schedule:
    """Due times of one stream's chunks.

    Args:
        start: Tick of the first chunk.
        period: Ticks from one chunk to the next.
        network: What delays them.
        random_: Draws jitter and bursts.
    """

    def __init__(self, start: int, period: int, network: Network, random_: random.Random) -> None:
        self._nominal, self._period, self._network, self._random = start - round(network.lead_ms), period, network, random_
        self._bunched, self._release, self._last = 0, 0, start

    def next(self) -> int:
        """Tick at which the next chunk is due; never before an earlier chunk's."""
        due, network = self._nominal, self._network
        if network.burst_chunks > 1:
            if self._bunched == 0 and self._random.random() < self._period * TICK_SECONDS / network.burst_seconds:
                self._bunched = network.burst_chunks
                self._release = self._nominal + (network.burst_chunks - 1) * self._period
            if self._bunched:
                self._bunched -= 1
                due = self._release
        if network.jitter_ms:
            due += round(self._random.uniform(0, network.jitter_ms))
        self._nominal += self._period
        self._last = max(self._last, due)
        return self._last


class Due(Protocol):
    """Something that waits on the wheel."""

    def fire(self, tick: int) -> None:
        """Called when the tick has come, or as soon after as the process could."""


class TimerWheel:
    """Calls what is due; one timer of the event loop for all streams.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[list[Due]] = [[] for _ in range(SLOTS)]
        self._origin, self._tick = time.perf_counter(), 0
        self._timer = loop.call_soon(self._turn)

    def time_of(self, tick: int) -> float:
        """The tick on the clock of ``time.perf_counter``, in seconds."""
        return self._origin + tick * TICK_SECONDS

    def tick_after(self, seconds: float = 0.0) -> int:
        """The first tick at least so many seconds from now."""
        return int((time.perf_counter() + seconds - self._origin) / TICK_SECONDS) + 1

    def add(self, tick: int, due: Due) -> None:
        """Call ``due.fire(tick)`` at that tick, or at the next one if it has passed.

        Raises:
            ValueError: It is further ahead than the wheel turns.
        """
        if tick >= self._tick + SLOTS:
            raise ValueError(f"{tick - self._tick} ms ahead is beyond the wheel's {SLOTS} ms")
        self._slots[max(tick, self._tick) % SLOTS].append(due)

    def stop(self) -> None:
        """Call nothing any more."""
        self._timer.cancel()

    def _turn(self) -> None:
        now = int((time.perf_counter() - self._origin) / TICK_SECONDS)
        while self._tick <= now:
            tick, self._tick = self._tick, self._tick + 1
            index = tick % SLOTS
            if waiting := self._slots[index]:
                self._slots[index] = []
                for due in waiting:
                    due.fire(tick)
        self._timer = self._loop.call_later(max(0.0, self.time_of(self._tick) - time.perf_counter()), self._turn)
