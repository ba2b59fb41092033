"""Which lanes the engine steps next, how many at once, and how long it lets work gather first."""

from __future__ import annotations

import heapq
from collections import defaultdict

from models.zoo import Variant
from service.lane import Lane, Work

MAX_ROWS = 32  # the gain of larger batches is spent before that, and latency grows
MAX_HOPS = 8  # per lane and step, when a lane has more waiting
EARLY_SECONDS = 0.05  # work whose deadline is further away than this has come faster than real time
EARLY_ROWS = 4  # lanes with nothing but such work get this many rows a tick
EARLY_HOPS = 1  # and, beside live ones, this many hops a row, as those wait until the whole tick is through
LINGER_SECONDS = 0.003  # how long a busy engine lets work gather: a row of a batch costs half of one alone
LINGER_LOAD = (0.15, 0.4)  # from which load on it waits at all, and from which that long
SMOOTHING_SECONDS = 0.5


def take_due(ready: dict[Lane, None], now: float) -> list[list[Work]]:
    """Take the most urgent work of at most ``MAX_ROWS`` lanes a variant and length; call it with the engine's lock held.

    Args:
        ready: Lanes with waiting hops; those that have no more afterwards are taken out.
        now: On the clock of the deadlines.

    Returns:
        Batches that can be stepped together.
    """
    urgent = heapq.nsmallest(4 * MAX_ROWS, ready, key=lambda lane: lane.jobs[0][1])
    batches: dict[tuple[Variant, int], list[Work]] = defaultdict(list)
    live, early = False, 0
    for lane in urgent:
        due = lane.jobs[0][1] < now + EARLY_SECONDS
        live = live or due
        early += not due
        if due or early <= EARLY_ROWS:
            work = lane.take((EARLY_HOPS if live and not due else MAX_HOPS) * lane.variant.hop)
            if not lane.jobs:
                del ready[lane]
            batches[lane.variant, len(work.audio)].append(work)
    return [batch[i : i + MAX_ROWS] for batch in batches.values() for i in range(0, len(batch), MAX_ROWS)]


class Pace:
    """How busy the engine is, and what follows from it.

    Args:
        now: In seconds, on the clock of the steps.
    """

    def __init__(self, now: float) -> None:
        self._load, self._ended = 0.0, now

    def observe_step(self, begin: float, end: float) -> None:
        """Count a step."""
        since, self._ended = end - self._ended, end
        self._load += ((end - begin) / since - self._load) * min(1.0, since / SMOOTHING_SECONDS)

    @property
    def linger_seconds(self) -> float:
        """How long to wait before the next step: not at all for a few streams, which then are answered at once."""
        low, high = LINGER_LOAD
        return LINGER_SECONDS * min(1.0, max(0.0, (self._load - low) / (high - low)))
