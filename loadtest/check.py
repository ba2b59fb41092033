"""Is what a stream received what a single stream receives? Compared sample by sample while it comes."""

from __future__ import annotations

import dataclasses

import numpy as np

from loadtest.audio import Samples

BLOCK = 8192  # samples compared at once
MAX_LAG = 4096  # samples by which audio may be shifted and still be recognised
FULL_SCALE = 32768


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a server makes of one recording, sent over and over, when it comes alone.

    It is as long as the longest stream: a recurrent network may remember for a minute and more, so what it makes of the
    tenth pass is not what it makes of the ninth.

    Attributes:
        samples: The output ``[samples]``; what is received beyond it is only counted.
        tail: Samples at the end of a stream that depend on there being no more, and are not compared.
    """

    samples: Samples
    tail: int


def deviation(audio: Samples, expected: Samples) -> float:
    """Largest difference, full scale being 1."""
    if not len(audio):
        return 0.0
    return float(np.abs(np.subtract(audio, expected, dtype=np.int32)).max()) / FULL_SCALE


class AudioCheck:
    """Compares one stream.

    Args:
        reference: What is expected.
        tolerance: Largest difference that passes, full scale being 1.

    Attributes:
        received: Bytes so far.
        compared: Samples compared.
        deviation: Largest difference so far, full scale being 1.
        fault: What was wrong, or None.
    """

    def __init__(self, reference: Reference, tolerance: float) -> None:
        self._reference, self._tolerance = reference, tolerance
        self._buffer = bytearray()
        self._enough = 2 * (BLOCK + reference.tail)
        self.received = self.compared = 0
        self.deviation = 0.0
        self.fault: str | None = None
        self._looks = 3  # the shift may have begun in the middle of the first block

    def add(self, data: memoryview) -> None:
        """Take a binary message."""
        self._buffer += data
        self.received += len(data)
        while len(self._buffer) >= self._enough:
            self._compare(BLOCK)

    def finish(self) -> None:
        """Compare what is left, but for the tail."""
        if (left := len(self._buffer) // 2 - self._reference.tail) > 0:
            self._compare(left)
        self._buffer.clear()

    def _compare(self, count: int) -> None:
        audio = np.frombuffer(bytes(self._buffer[: 2 * count]), "<i2")
        del self._buffer[: 2 * count]
        expected = self._reference.samples[self.compared : self.compared + count]
        audio = audio[: len(expected)]
        worst = deviation(audio, expected)
        self.deviation = max(self.deviation, worst)
        if worst > self._tolerance and self._looks:
            self._looks -= 1
            self.fault = self._describe(audio)
        self.compared += len(audio)

    def _describe(self, audio: Samples) -> str:
        start = max(0, self.compared - MAX_LAG)
        around = self._reference.samples[start : self.compared + len(audio) + MAX_LAG]
        found = find(audio[len(audio) // 2 :], around, self._tolerance)
        shift = self.compared + len(audio) // 2 - (start + found) if found is not None else 0
        if not shift:
            return "the audio is not what a single stream receives"
        self._looks = 0
        return f"the audio comes {abs(shift)} samples too {'late' if shift > 0 else 'early'}"


def find(audio: Samples, around: Samples, tolerance: float) -> int | None:
    """Where in ``around`` a piece of audio is found, by the least squared difference; None where it is not.

    Args:
        audio: ``[samples]``.
        around: ``[more samples]``.
        tolerance: Largest difference that passes, full scale being 1.
    """
    places = len(around) - len(audio) + 1
    if places < 1 or not np.any(audio):
        return None
    part, whole = audio.astype(np.float64), around.astype(np.float64)
    size = len(around) + len(audio)
    correlation = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)[:places]
    sums = np.concatenate([[0.0], np.cumsum(whole**2)])
    place = int((sums[len(audio) :] - sums[:places] - 2 * correlation).argmin())
    return place if deviation(audio, around[place : place + len(audio)]) <= tolerance else None
