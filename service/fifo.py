"""A queue of samples that keeps arrays as they come, and copies only where they are cut or joined.

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
        """Remove and return the first ``count`` samples, ``[channels, count]``; it may be the very array that was added.

        Raises:
            ValueError: There are not that many.
        """
        if count > self._length:
            raise ValueError(f"{count} samples asked for, {self._length} there")
        if not self._taken and self._arrays and self._arrays[0].shape[1] == count:
            self._length -= count
            return self._arrays.pop(0)
        out = np.empty((self._channels, count), dtype=np.float32)
        done = 0
        while done < count:
            first = self._arrays[0]
            part = first[:, self._taken : self._taken + count - done]
            out[:, done : done + part.shape[1]] = part
            done += part.shape[1]
            self._taken += part.shape[1]
            if self._taken == first.shape[1]:
                self._arrays.pop(0)
                self._taken = 0
        self._length -= count
        return out
