"""Progress in lines on stderr, where a bar would not survive a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compression.training.recipe import TrainingSettings


EVERY = 10.0  # seconds between two lines


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def ticker(label: str) -> Callable[[int, int], None]:
    """A function of ``(done, total)`` that prints a line with the time left now and then."""
    start = time.monotonic()
    shown = [start]

    def tick(done: int, total: int) -> None:
        now = time.monotonic()
        if done and now - shown[0] >= EVERY:
            shown[0] = now
            say(f"{label}: {done} of {total}, {(now - start) / done * (total - done) / 60:.1f} min left")

    return tick


class Progress:
    """A line with rates and the time left, now and then."""

    def __init__(self, settings: TrainingSettings, step: int) -> None:
        self.settings, self.first = settings, step
        self.start = self.shown = time.monotonic()
        self.losses: list[float] = []

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def mean_loss(self) -> float:
        mean = sum(self.losses) / max(1, len(self.losses))
        self.losses.clear()
        return mean

    def show(self, step: int, loss: float, left_out: int) -> None:
        self.losses.append(loss)
        if time.monotonic() - self.shown < EVERY:
            return
        self.shown = time.monotonic()
        pace = (step - self.first) / self.elapsed
        left = (self.settings.steps - step) / pace
        recent = sum(self.losses[-50:]) / len(self.losses[-50:])
        say(
            f"step {step}/{self.settings.steps}  loss {recent:.3f}  {pace:.2f} steps/s  "
            f"{pace * self.settings.batch * self.settings.seconds:.1f} h of mixtures per hour  {left / 3600:.1f} h left"
            + (f"  {left_out} steps left out: their gradients were not finite" if left_out else "")
        )
