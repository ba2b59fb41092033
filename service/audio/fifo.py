"""A queue of samples that keeps arrays as they come, and copies only where they are joined.

A list rather than a deque holds them, here and wherever a stream has a queue: few wait, and an empty deque takes 0.8 kB.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class SampleFifo:
    """First in, first out, in arrays ``[channels, samples]`` of any length."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._arrays: list[Array] = []
        self._taken = 0  # samples of the first array that are gone
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, audio: Array) -> None:
        """Add samples at the end; the array is kept, so it must not be changed afterwards."""
        if audio.shape[1]:
            self._arrays.append(audio)
            self._length += audio.shape[1]

    def skip(self, count: int) -> None:
        """Remove the first ``count`` samples.

        Raises:
            ValueError: There are not that many.
        """
        if count > self._length:
            raise ValueError(f"{count} samples to be skipped, {self._length} there")
        self._length -= count
        self._taken += count
        while self._arrays and self._taken >= self._arrays[0].shape[1]:
            self._taken -= self._arrays.pop(0).shape[1]

    def take(self, count: int) -> Array:
        """Remove and return the first ``count`` samples, ``[channels, count]``; maybe the very array that was added, or a part.

        Raises:
            ValueError: There are not that many.
        """
        if count > self._length:
            raise ValueError(f"{count} samples asked for, {self._length} there")
        self._length -= count
        parts: list[Array] = []
        while count:
            first, begin = self._arrays[0], self._taken
            here = first.shape[1] - begin
            if here > count:
                self._taken = begin + count
                parts.append(first[:, begin : self._taken])
                break
            parts.append(first[:, begin:] if begin else first)
            del self._arrays[0]
            self._taken = 0
            count -= here
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts, axis=1) if parts else np.empty((self._channels, 0), dtype=np.float32)
