"""Streaming change of sample rate with little delay (libsamplerate's windowed sinc).

libsamplerate lags by about 3 ms at 48 kHz; soxr, whose filters are longer and run in blocks, lags by 37 ms each way,
which would triple the latency of a live stream. Output sample ``m`` belongs to the time of input sample
``m * source / target``: the filter has no phase, it only needs to see a little of what follows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import samplerate

Array = npt.NDArray[np.float32]
HALF_WIDTH = 47  # zero crossings of "sinc_medium" on either side, at the lower of the two rates


class StreamResampler:
    """Resamples ``[channels, samples]`` chunk by chunk; how the signal is cut does not change the result.

    Args:
        source: Rate of the input in Hz.
        target: Rate of the output in Hz.
        channels: Number of channels.
    """

    def __init__(self, source: int, target: int, channels: int) -> None:
        self._ratio, self._channels = target / source, channels
        self._same = source == target
        self._resampler = None if self._same else samplerate.Resampler("sinc_medium", channels=channels)
        self.delay_seconds = 0.0 if self._same else HALF_WIDTH / min(source, target)

    def process(self, audio: Array) -> Array:
        """The output that has become ready, ``[channels, ready]``."""
        if self._resampler is None or not audio.shape[1]:
            return audio
        out = self._resampler.process(np.ascontiguousarray(audio.T), self._ratio, end_of_input=False)
        return np.asarray(out, dtype=np.float32).reshape(-1, self._channels).T
