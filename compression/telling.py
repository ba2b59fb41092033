"""Progress in lines on stderr, where a bar would not survive a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def ticker(label: str) -> Callable[[int, int], None]:
    """A function of ``(done, total)`` that prints a line with the time left every ten seconds."""
    start = time.monotonic()
    shown = [start]

    def tick(done: int, total: int) -> None:
        now = time.monotonic()
        if done and now - shown[0] >= 10:
            shown[0] = now
            say(f"{label}: {done} of {total}, {(now - start) / done * (total - done) / 60:.1f} min left")

    return tick
