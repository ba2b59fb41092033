"""When the engine's thread steps: beside the event loop, or in turns with it where both share a processor.

Two threads that share a processor interrupt each other amid their work: messages wait for the end of the engine's slice of
the processor, steps for the event loop's, and each for Python's lock. In turns nobody is interrupted. A step that takes
too long, or never ends, costs the event loop no more than one wait: from then on the two run side by side.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sized

from service.engine.scheduling import Pace

TURN_SECONDS = 0.05  # that the event loop waits at most: several times what full batches of the shipped networks take


class SideBySide:
    """The engine steps whenever something waits, once more has gathered.

    Args:
        lock: The engine's; it is notified when the engine may step.
        ready: What waits for the engine.
        pace: How long work gathers.
    """

    def __init__(self, lock: threading.Condition, ready: Sized, pace: Pace) -> None:
        self._lock, self._ready, self._pace = lock, ready, pace

    @property
    def given(self) -> bool:
        """Whether the engine may step; its thread asks with the lock held."""
        return len(self._ready) > 0

    def plan(self) -> None:
        """Something may wait for the engine; called in the event loop."""
        with self._lock:
            self._lock.notify()

    def gather(self) -> None:
        """Wait for more; called by the engine's thread before it takes what waits."""
        if seconds := self._pace.linger_seconds:
            time.sleep(seconds)

    def end(self) -> None:
        """What was taken has been stepped; called by the engine's thread."""


class InTurns(SideBySide):
    """The event loop gives way to the engine once work has gathered, and waits until it has stepped.

    Args:
        loop: The event loop that gives way.
        lock: The engine's; it is notified when a turn begins and when it ends.
        ready: What waits for the engine.
        pace: How long work gathers.
    """

    given = False

    def __init__(self, loop: asyncio.AbstractEventLoop, lock: threading.Condition, ready: Sized, pace: Pace) -> None:
        super().__init__(lock, ready, pace)
        self._loop = loop
        self._planned = False

    def plan(self) -> None:
        """Plan a turn if something waits for the engine; called in the event loop."""
        if self._ready and not self._planned:
            self._planned = True
            self._loop.call_later(self._pace.linger_seconds, self._give)

    def gather(self) -> None:
        """All has gathered before the turn began."""

    def end(self) -> None:
        """The turn is over; called by the engine's thread."""
        with self._lock:
            self.given = False
            self._lock.notify_all()

    def _give(self) -> None:
        self._planned = False
        with self._lock:
            if self._ready and not self.given:  # else a long turn goes on, whose end plans the next
                self.given = True
                self._lock.notify_all()
                self._lock.wait_for(lambda: not self.given, TURN_SECONDS)
