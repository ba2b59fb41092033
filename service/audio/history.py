"""A stream's newest samples in one array: the networks get their hops from it, and a network that joins is warmed up on it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
ROOM = 1600  # samples beside those that are kept: what is kept moves to the front once they are full


class History:
    """Positions count samples from the stream's first one on.

    Args:
        channels: Rows.
        kept: Samples that stay readable, at least.

    Attributes:
        end: Position of the next sample.
    """

    def __init__(self, channels: int, kept: int) -> None:
        self._kept = kept
        self._samples = np.empty((channels, kept + ROOM), dtype=np.float32)
        self._held = 0
        self.end = 0

    @property
    def begin(self) -> int:
        """Position of the first sample that can be read."""
        return self.end - self._held

    def append(self, audio: Array) -> None:
        """Add samples ``[channels, samples]``, of any number."""
        count = audio.shape[1]
        if self._held + count > self._samples.shape[1]:
            self._make_room(count)
        following = self._held + count
        self._samples[:, self._held : following] = audio
        self._held = following
        self.end += count

    def read(self, begin: int, end: int) -> Array:
        """A copy of the samples from position ``begin`` up to ``end``.

        Raises:
            ValueError: They are not, or no longer, here.
        """
        first = self.end - self._held
        if not first <= begin <= end <= self.end:
            raise ValueError(f"samples {begin} to {end} asked for, {first} to {self.end} there")
        return self._samples[:, begin - first : end - first].copy()

    def _make_room(self, count: int) -> None:
        kept = self._samples[:, max(0, self._held - self._kept) : self._held]
        self._held = kept.shape[1]
        if self._held + count > self._samples.shape[1]:
            self._samples = np.empty((len(kept), self._kept + count), dtype=np.float32)
        self._samples[:, : self._held] = kept
