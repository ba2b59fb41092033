"""How far noise may be lowered: a share of the unprocessed signal is let through, and may change while it runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
RAMP_SECONDS = 0.01


def dry_gain(limit_db: float) -> float:
    """Share of the unprocessed signal for an attenuation limit: 1 at 0 dB, 0 at 100 dB (and not 1e-5)."""
    return 0.0 if limit_db >= 100 else 10 ** (-limit_db / 20)


class AttenuationLimit:
    """Mixes ``dry * g + enhanced * (1 - g)`` sample by sample; changes of ``g`` fade over 10 ms.

    Args:
        limit_db: Limit from the first sample on.
        sample_rate: Of the signals, in Hz.
    """

    def __init__(self, limit_db: float, sample_rate: int) -> None:
        self.limit_db = limit_db
        self._gain = self._target = dry_gain(limit_db)
        self._step = 1 / (RAMP_SECONDS * sample_rate)
        self._changes: list[tuple[int, float]] = []
        self._position = 0

    def change(self, position: int, limit_db: float) -> None:
        """Use another limit from sample ``position`` on."""
        self.limit_db = limit_db
        if self._changes and self._changes[-1][0] == position:
            self._changes.pop()  # no sample went through that one
        self._changes.append((position, dry_gain(limit_db)))

    @property
    def off(self) -> bool:
        """Whether the next samples are the enhanced ones as they are: they may be skipped."""
        return not self._changes and self._gain == self._target == 0

    def skip(self, count: int) -> None:
        """So many samples were not mixed; only while it is ``off``."""
        self._position += count

    def mix(self, dry: Array, enhanced: Array) -> Array:
        """The next samples of the output, from two arrays ``[channels, samples]``."""
        parts, start, end = [], 0, dry.shape[1]
        while start < end:
            while self._changes and self._changes[0][0] <= self._position:
                self._target = self._changes.pop(0)[1]
            stop = end
            if self._changes:
                stop = min(end, start + self._changes[0][0] - self._position)
            parts.append(self._mix(dry[:, start:stop], enhanced[:, start:stop]))
            self._position += stop - start
            start = stop
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1) if parts else enhanced

    def _mix(self, dry: Array, enhanced: Array) -> Array:
        if self._gain == self._target:
            if self._gain == 0:
                return enhanced
            if self._gain == 1:
                return dry
            return np.asarray(dry * np.float32(self._gain) + enhanced * np.float32(1 - self._gain), dtype=np.float32)
        distance = self._target - self._gain
        steps = self._step * np.arange(1, dry.shape[1] + 1, dtype=np.float32)
        gains = (self._gain + np.sign(distance) * np.minimum(steps, abs(distance))).astype(np.float32)
        reached = steps[-1] >= abs(distance)
        self._gain = self._target if reached else float(gains[-1])
        return np.asarray(dry * gains + enhanced * (1 - gains), dtype=np.float32)
