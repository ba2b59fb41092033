"""How a stream is opened, and how hard a client tries to keep it."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypedDict

from quietwire.client.messages import Reconnection, Stats
from quietwire.client.pcm import Encoding


@dataclasses.dataclass(frozen=True)
class Reconnect:
    """Back-off after a broken connection: waits double from ``first`` to ``longest`` seconds, each shortened at random.

    Attributes:
        attempts: After so many in a row the stream fails; 0 never connects again.
    """

    attempts: int = 8
    first: float = 0.2
    longest: float = 5.0

    def delays(self) -> Iterator[float]:
        """Seconds to wait before each attempt."""
        for attempt in range(self.attempts):
            # a random share, so that all clients of a server that restarts do not come at once
            yield min(self.longest, self.first * 2**attempt) * random.uniform(0.5, 1)  # noqa: S311


class StreamOptions(TypedDict, total=False):
    """Arguments of ``stream()``; what is left out is the server's default.

    Attributes:
        model: ``crn`` or ``fcn``.
        variant: ``original``, ``pruned``, ``quantized`` or ``combined``.
        sample_rate: 8000 to 48000 Hz; 16000 by default.
        channels: 1 or 2.
        encoding: On the wire; ``pcm_s16le`` halves the bytes, ``pcm_f32le`` keeps float samples as they are.
        attenuation_limit_db: Noise is lowered by at most this much, 0 to 100; 0 changes nothing.
        stats: How often the server tells its latency.
        on_stats: Called with each statistics message.
        on_reconnect: Called when a broken connection has been made again.
    """

    model: str | None
    variant: str | None
    sample_rate: int
    channels: int
    encoding: Encoding
    attenuation_limit_db: float
    stats: Literal["chunk", "second", "off"]
    on_stats: Callable[[Stats], Any] | None
    on_reconnect: Callable[[Reconnection], Any] | None
