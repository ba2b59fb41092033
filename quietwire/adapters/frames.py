"""Frames in, frames of the same length out, late by a constant delay: what a call needs of a noise canceller."""

from __future__ import annotations

import abc
import math

import numpy as np
import numpy.typing as npt

from models.offline import OfflineEnhancer
from models.zoo import Variant
from quietwire.client.pcm import to_int16
from service.audio.attenuation import AttenuationLimit
from service.audio.fifo import SampleFifo
from service.audio.resampling import StreamResampler

Array = npt.NDArray[np.float32]


class FrameEnhancer(abc.ABC):
    """The first ``delay`` samples out are silence; sample n of the input comes out as sample n + ``delay``, whether
    noise is being removed at the time or not.

    Args:
        sample_rate: In Hz, 8000 to 48000.
        channels: Each is enhanced on its own.
        limit_db: Mixed in on this side: noise is lowered by at most this much.
        delay: In samples.
    """

    def __init__(self, sample_rate: int, channels: int, limit_db: float, delay: int) -> None:
        self.sample_rate, self.channels, self.delay = sample_rate, channels, delay
        self._limit_db, self._enabled = limit_db, True
        self._begin()

    def _begin(self) -> None:
        """Forget all audio."""
        self._dry = SampleFifo(self.channels)
        self._mixer = AttenuationLimit(self._limit_db if self._enabled else 0.0, self.sample_rate)
        self._lead = self.delay  # samples of silence still to be given
        self._taken = 0

    @property
    def enabled(self) -> bool:
        """Whether noise is removed from what comes in; a change fades over 10 ms and shifts nothing in time."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if value != self._enabled:
            self._enabled = value
            self._mixer.change(self._taken, self._limit_db if value else 0.0)

    def process(self, audio: Array) -> Array:
        """Take ``[channels, samples]``, full scale ±1, and give as much. It never waits for anything but the network."""
        self._dry.append(audio)
        self._taken += audio.shape[1]
        self._submit(audio)
        lead = min(self._lead, audio.shape[1])
        self._lead -= lead
        return self._give(lead, audio.shape[1] - lead)

    def flush(self) -> Array:
        """The last ``delay`` samples, ``[channels, delay]``; what is given to ``process`` afterwards begins anew."""
        self._finish()
        rest = self._give(self._lead, len(self._dry))
        self._begin()
        return rest

    def close(self) -> None:
        """Free what is held, and forget all audio."""
        self._begin()

    def _give(self, lead: int, count: int) -> Array:
        silence = np.zeros((self.channels, lead), dtype=np.float32)
        if not count:
            return silence
        dry = self._dry.take(count)
        return np.concatenate([silence, self._mixer.mix(dry, self._enhanced(dry))], axis=1)

    @abc.abstractmethod
    def _submit(self, audio: Array) -> None:
        """Hand input over to the network."""

    @abc.abstractmethod
    def _finish(self) -> None:
        """See to it that the output of all input is there."""

    @abc.abstractmethod
    def _enhanced(self, dry: Array) -> Array:
        """The next output, as long as the input ``dry`` that it belongs to."""


class LocalEnhancer(FrameEnhancer):
    """The network in this process. The delay is the algorithmic latency: 32 ms for ``crn`` at 16 kHz, 38 ms at 48 kHz.

    Args:
        variant: The network; several enhancers may share it.
        sample_rate: In Hz, 8000 to 48000.
        channels: Each is enhanced on its own.
        attenuation_limit_db: Noise is lowered by at most this much.
    """

    def __init__(self, variant: Variant, sample_rate: int, channels: int = 1, attenuation_limit_db: float = 100.0) -> None:
        self._variant, self._rate, self._count = variant, sample_rate, channels
        self._start()
        seconds = (variant.hop + variant.delay) / variant.sample_rate + self._resampling
        super().__init__(sample_rate, channels, attenuation_limit_db, math.ceil(seconds * sample_rate))

    def _start(self) -> None:
        model_rate = self._variant.sample_rate
        self._down = StreamResampler(self._rate, model_rate, self._count)
        self._up = StreamResampler(model_rate, self._rate, self._count)
        self._network = OfflineEnhancer(self._variant, self._count, block_hops=1)
        self._wet = SampleFifo(self._count)

    def _begin(self) -> None:
        super()._begin()
        self._start()

    @property
    def _resampling(self) -> float:
        return self._down.delay_seconds + self._up.delay_seconds

    def _submit(self, audio: Array) -> None:
        self._wet.append(self._up.process(self._network.feed(self._down.process(audio))))

    def _finish(self) -> None:
        hops = (self._variant.hop + self._variant.delay) / self._variant.sample_rate
        silence = math.ceil((2 * self._resampling + hops) * self._rate) + 2
        self._submit(np.zeros((self._count, silence), dtype=np.float32))

    def _enhanced(self, dry: Array) -> Array:
        return self._wet.take(dry.shape[1])


def decode(data: bytes | memoryview, channels: int) -> Array:
    """Interleaved 16-bit samples to ``[channels, samples]``, full scale ±1."""
    return (np.frombuffer(data, dtype=np.int16).astype(np.float32) / np.float32(32768)).reshape(-1, channels).T


def encode(audio: Array) -> bytes:
    """The inverse of ``decode``; rounded, and saturating."""
    return to_int16(audio.T).tobytes()
