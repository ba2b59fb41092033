"""Latency percentiles in constant memory."""

from __future__ import annotations

import numpy as np

_EDGES = np.geomspace(0.01, 100_000, 1400)  # ms; neighbours differ by 1.2 %


class LatencyHistogram:
    """Counts latencies in buckets 1.2 % wide; percentiles are exact to that."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(_EDGES) + 1, dtype=np.int64)
        self.count = 0
        self.maximum = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one latency."""
        self._counts[int(_EDGES.searchsorted(milliseconds))] += 1
        self.count += 1
        self.maximum = max(self.maximum, milliseconds)

    def percentiles(self, *percents: int) -> dict[str, float]:
        """``{"p50": …, "max": …}`` in milliseconds, for the percents asked for; zeros when nothing was counted."""
        sums = self._counts.cumsum()
        values = {}
        for percent in percents:
            bucket = int(sums.searchsorted(max(1.0, self.count * percent / 100)))
            edge = float(_EDGES[min(bucket, len(_EDGES) - 1)]) if self.count else 0.0
            values[f"p{percent}"] = round(min(edge, self.maximum), 3)
        return values | {"max": round(self.maximum, 3)}
