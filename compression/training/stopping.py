"""Ctrl-C and SIGTERM as a request: a training ends its step and saves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from compression.training.progress import say

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a request to stop after the step; a second one ends the process at once."""
    requested = []

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def handle(signum: int, frame: object) -> None:
        requested.append(signum)
        restore()
        say("stopping after this step; the checkpoint will be saved")

    former = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield lambda: bool(requested)
    finally:
        restore()
