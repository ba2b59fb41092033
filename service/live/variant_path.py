"""One variant's way through the engine for all channels of one stream: samples in, output aligned with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from models.zoo import Variant
from service.audio.fifo import SampleFifo
from service.audio.history import History
from service.engine.lane import Fail, Timing
from service.engine.thread import Engine

Array = npt.NDArray[np.float32]


class VariantPath:
    """Lanes of one variant, one a channel.

    Positions count samples of the stream at the model's rate.

    Args:
        engine: Where the lanes are.
        variant: The network.
        channels: Number of channels.
        start: Position of the first sample that the network gets.
        begin: Position of the first sample wanted from ``take``; what comes before only warms the network up.
        notify: Called when output has arrived.
        fail: Called when the engine could not step a lane.

    Attributes:
        fed: Up to where the engine has samples, whole hops.
        done: Up to where it has stepped.
        until: From where on it needs none.

    Raises:
        MemoryError: The engine has no free row.
    """

    def __init__(
        self, engine: Engine, variant: Variant, channels: int, start: int, begin: int, notify: Callable[[], None], fail: Fail
    ) -> None:
        self.variant, self.start, self.begin = variant, start, begin
        self._engine, self._notify = engine, notify
        self.fed = self.done = start
        self.until = math.inf
        self._done = [start] * channels
        self._skip = [variant.delay + begin - start] * channels
        self._fifos = [SampleFifo(1) for _ in range(channels)]
        self.timing = Timing(0.0, 0.0, 0)
        self.compute_seconds = 0.0
        self._lanes = []
        try:
            for channel in range(channels):
                self._lanes.append(engine.open(variant, partial(self._deliver, channel), fail))
        except MemoryError:
            self.close()
            raise

    @property
    def available(self) -> int:
        """Samples that ``take`` can give."""
        return min(map(len, self._fifos))

    @property
    def resets(self) -> int:
        """How often a channel's state was no longer finite and began anew."""
        return sum(lane.resets for lane in self._lanes)

    def submit(self, history: History, deadline: float) -> None:
        """Let the engine have what it has not had of a stream, in whole hops."""
        count = (history.end - self.fed) // self.variant.hop * self.variant.hop
        if count and self.fed < self.until:
            hops = history.read(self.fed, self.fed + count)
            for lane, samples in zip(self._lanes, hops, strict=True):
                self._engine.submit(lane, samples, deadline)
            self.fed += count

    def take(self, count: int) -> Array:
        """The next output samples ``[channels, count]``."""
        parts = [fifo.take(count) for fifo in self._fifos]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Give the lanes back."""
        for lane in self._lanes:
            self._engine.close(lane)

    def _deliver(self, channel: int, audio: Array, timing: Timing) -> None:
        self._done[channel] += len(audio)
        self.done = min(self._done)
        skipped = min(self._skip[channel], len(audio))
        self._skip[channel] -= skipped
        self._fifos[channel].append(audio[None, skipped:])
        self.timing = timing
        self.compute_seconds += timing.compute / timing.batch
        self._notify()
