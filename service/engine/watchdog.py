"""Whether the engine still works: its thread lives, and is not held up in one step.

A thread that hangs cannot be ended from outside. Its engine is given up with it, and a new one takes its place.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, Protocol

from service.engine.overload import PERIOD_SECONDS

Kind = Literal["hang", "death"]


@dataclasses.dataclass(frozen=True, slots=True)
class EngineFault:
    """Why an engine has to be replaced.

    Attributes:
        kind: For the metrics.
        reason: For people.
    """

    kind: Kind
    reason: str


class Watched(Protocol):
    """An engine, as far as this module is concerned."""

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""

    @property
    def step_number(self) -> int | None:
        """The step that it is in, or None while it waits for work."""


class Watchdog:
    """``check`` is called every ``PERIOD_SECONDS``.

    Only time in which the event loop ran counts: after a stop of the whole process (SIGSTOP, a machine that was
    suspended) the engine gets its time like everybody else.

    Args:
        limit: Seconds that one step may take.

    Attributes:
        seconds: For how long the step has lasted that the engine is in, as far as it was seen.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._step: int | None = None
        self._checked = 0.0
        self.seconds = 0.0

    def check(self, engine: Watched, now: float) -> EngineFault | None:
        """What is wrong with the engine, or None; ``now`` is on any steady clock."""
        step = engine.step_number
        same = step is not None and step == self._step
        self.seconds = self.seconds + min(now - self._checked, 2 * PERIOD_SECONDS) if same else 0.0
        self._step, self._checked = step, now
        if not engine.alive:
            return EngineFault("death", "the engine has stopped")
        if self.seconds > self._limit:
            return EngineFault("hang", f"the engine has been in one step for more than {self._limit:g} s")
        return None
