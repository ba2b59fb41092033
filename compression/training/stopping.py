"""Ctrl-C as a request: a training ends its step and saves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from compression.training.telling import say


@contextmanager
def stop_on_sigint() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT into a request to stop after the step; a second one interrupts at once."""
    requested = []

    def handle(signum: int, frame: object) -> None:
        requested.append(signum)
        signal.signal(signal.SIGINT, former)
        say("stopping after this step; the checkpoint will be saved")

    former = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(requested)
    finally:
        signal.signal(signal.SIGINT, former)
