"""What is done when the machine slows down under streams that were let in.

Latency grows first, and recovers by itself when the machine does: the engine takes more hops at once. If it does not, the
newest streams are told and closed, a few at a time, until the others are in time again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Protocol

from service.errors import ServiceError

LAG_SECONDS = 0.25
PATIENCE_SECONDS = 2.0  # an overload that lasts no longer is left to pass
SHARE = 0.05  # of the streams closed at a time
PERIOD_SECONDS = 0.25

log = logging.getLogger(__name__)


class Closable(Protocol):
    """A live stream, as far as ending it is concerned."""

    def fail(self, error: ServiceError) -> None:
        """End it with an error."""


class Overload:
    """Decides which streams have to go; ``check`` is called every so often.

    Args:
        patience: Seconds of overload before the first streams go, and between one lot and the next.
        most: Seconds that due work may wait; more is an overload.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS, most: float = LAG_SECONDS) -> None:
        self._patience, self._most = patience, most
        self._since: float | None = None

    def check(self, lag: float, streams: Sequence[Closable], now: float) -> int:
        """Close the newest streams if it is time to, and tell how many.

        Args:
            lag: Seconds that the oldest due work has waited.
            streams: Oldest first.
            now: On any steady clock.
        """
        if lag < self._most or len(streams) < 2:  # a single stream would be no better off elsewhere
            self._since = None
            return 0
        if self._since is None:
            self._since = now
        if now - self._since < self._patience:
            return 0
        self._since = now
        newest = streams[-math.ceil(SHARE * len(streams)) :]
        log.warning(
            "overloaded: work has waited %.2f s, the newest %d of %d streams are closed", lag, len(newest), len(streams)
        )
        for stream in newest:
            stream.fail(
                ServiceError("overloaded", "The server can keep fewer streams in time than before: connect again later.")
            )
        return len(newest)
