"""Whole signals through a variant: blocks in, aligned blocks out, memory bounded by the block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.zoo import Array, Variant


class OfflineEnhancer:
    """Enhances signals that arrive in pieces of any length, for throughput rather than latency.

    The network is stepped over blocks of many hops, so output comes up to a block late, and how the signal was cut
    changes nothing. Output sample n belongs to input sample n; after ``flush`` as many samples have come out as went in.

    Attributes:
        state: ``[channels, state_size]``; each channel is a stream of its own, a row of the batch.
    """

    def __init__(self, variant: Variant, channels: int = 1, block_hops: int = 100) -> None:
        self._variant = variant
        self._block = np.empty((channels, block_hops * variant.hop), dtype=np.float32)
        self._reset()

    def _reset(self) -> None:
        self.state = np.tile(self._variant.initial_state, (len(self._block), 1))
        self._filled = 0  # samples waiting in the block
        self._late = self._variant.delay  # samples still to be dropped, so that output is aligned
        self._owed = 0  # samples taken and not yet given

    def feed(self, audio: Array) -> Array:
        """Take ``[channels, samples]``, full scale ±1, and give what is ready, ``[channels, any]``.

        Raises:
            ValueError: Another shape.
        """
        if audio.ndim != 2 or len(audio) != len(self._block):
            raise ValueError(f"audio of shape {audio.shape} where [{len(self._block)}, samples] is needed")
        self._owed += audio.shape[1]
        return self._give(list(self._steps(audio)))

    def flush(self) -> Array:
        """Give the rest of the signal; what is fed afterwards begins a new one."""
        channels, hop = len(self._block), self._variant.hop
        pieces = list(self._steps(np.zeros((channels, self._variant.delay), dtype=np.float32)))
        self._block[:, self._filled :] = 0
        pieces.append(self._step(-(-self._filled // hop) * hop))
        rest = self._give(pieces)
        self._reset()
        return rest

    def _steps(self, audio: Array) -> Iterator[Array]:
        """Fill blocks and step the full ones."""
        size, position = self._block.shape[1], 0
        while position < audio.shape[1]:
            piece = audio[:, position : position + size - self._filled]
            self._block[:, self._filled : self._filled + piece.shape[1]] = piece
            self._filled += piece.shape[1]
            position += piece.shape[1]
            if self._filled == size:
                yield self._step(size)

    def _step(self, samples: int) -> Array:
        self._filled = 0
        if not samples:
            return self._block[:, :0]
        enhanced, self.state = self._variant.step(np.ascontiguousarray(self._block[:, :samples]), self.state)
        dropped = min(self._late, samples)
        self._late -= dropped
        return enhanced[:, dropped:]

    def _give(self, pieces: list[Array]) -> Array:
        ready = np.concatenate([self._block[:, :0], *pieces], axis=1)[:, : self._owed]
        self._owed -= ready.shape[1]
        return ready


def enhance(variant: Variant, audio: Array, block_hops: int = 100) -> Array:
    """Enhance a whole signal ``[samples]`` or ``[channels, samples]`` at the variant's rate; same shape, aligned."""
    channels = audio.reshape(-1, audio.shape[-1]) if audio.size else audio.reshape(1, 0)
    enhancer = OfflineEnhancer(variant, len(channels), block_hops)
    enhanced = np.empty(channels.shape, dtype=np.float32)
    given = 0
    size = block_hops * variant.hop
    for start in range(0, channels.shape[1], size):
        ready = enhancer.feed(channels[:, start : start + size])
        enhanced[:, given : given + ready.shape[1]] = ready
        given += ready.shape[1]
    enhanced[:, given:] = enhancer.flush()
    return enhanced.reshape(audio.shape)
