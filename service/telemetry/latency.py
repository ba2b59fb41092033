"""Latency percentiles in constant memory, of which every live stream has some."""

from __future__ import annotations

import itertools
import math
from array import array

_LOWEST, _HIGHEST, _BUCKETS = 0.01, 100_000.0, 1400  # ms; neighbours differ by 1.2 %
_SCALE = (_BUCKETS - 1) / math.log(_HIGHEST / _LOWEST)


class LatencyHistogram:
    """Counts latencies in buckets 1.2 % wide; percentiles are exact to that.

    It holds no buckets above the highest latency seen: 3 kB for a stream that is in time, where a list of all would take 11.
    """

    def __init__(self) -> None:
        self._counts: array[int] = array("I")
        self.count = 0
        self.maximum = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one latency."""
        bucket = 0 if milliseconds <= _LOWEST else math.ceil(math.log(milliseconds / _LOWEST) * _SCALE)
        bucket = min(bucket, _BUCKETS)
        if bucket >= len(self._counts):
            self._counts.extend([0] * (bucket + 1 - len(self._counts)))
        self._counts[bucket] += 1
        self.count += 1
        if milliseconds > self.maximum:
            self.maximum = milliseconds

    def percentiles(self, *percents: int) -> dict[str, float]:
        """``{"p50": …, "max": …}`` in milliseconds, for the percents asked for; zeros when nothing was counted."""
        sums = list(itertools.accumulate(self._counts))
        values = {}
        for percent in percents:
            wanted = max(1.0, self.count * percent / 100)
            bucket = next((index for index, total in enumerate(sums) if total >= wanted), 0)
            edge = _LOWEST * math.exp(min(bucket, _BUCKETS - 1) / _SCALE) if self.count else 0.0
            values[f"p{percent}"] = round(min(edge, self.maximum), 3)
        return values | {"max": round(self.maximum, 3)}
