"""Microphone and speaker through sounddevice, which the extra ``audio`` installs."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
HIGHEST_RATE = 48000  # that a server takes
SILENT_SECONDS = 5.0  # without a chunk, after which a microphone is taken to be gone
LEAD_SECONDS = 0.06  # of silence before the first sound, so that a late chunk is not heard as a gap


class DeviceError(Exception):
    """No sounddevice, or no such device."""


def _sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there and PortAudio is not
        message = 'the microphone and the speaker need sounddevice: pip install "quietwire[audio]", or name a file'
        raise DeviceError(message) from error
    return sounddevice


class Microphone:
    """The default microphone, one channel, at most at 48 kHz; recording starts with the first chunk asked for.

    Args:
        seconds: Length of the recording; 0 records until ``stop``.
        chunk_seconds: Length of a chunk.

    Raises:
        DeviceError: There is none.
    """

    def __init__(self, seconds: float, chunk_seconds: float) -> None:
        self._device = _sounddevice()
        try:
            rate = int(self._device.query_devices(kind="input")["default_samplerate"])
        except self._device.PortAudioError as error:
            raise DeviceError(f"no microphone was found ({error}): connect one, or name a file") from error
        self.rate = min(rate, HIGHEST_RATE)  # which the system converts to
        self._block = round(self.rate * chunk_seconds)
        self._left = round(seconds / chunk_seconds) if seconds else -1
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let the recording end after the present chunk."""
        self._stopped.set()

    def chunks(self) -> Iterator[Samples]:
        """Arrays ``[samples]``, as they are recorded.

        Raises:
            DeviceError: The device cannot be opened, or gives nothing any more.
        """
        recorded: queue.SimpleQueue[bytes] = queue.SimpleQueue()

        def take(data: Any, frames: int, when: Any, status: Any) -> None:
            recorded.put(bytes(data))

        try:
            stream = self._device.RawInputStream(self.rate, self._block, channels=1, dtype="int16", callback=take)
        except self._device.PortAudioError as error:
            raise DeviceError(f"the microphone cannot be opened ({error}): close what else uses it") from error
        with stream:
            while self._left and not self._stopped.is_set():
                self._left -= 1
                try:
                    chunk = recorded.get(timeout=SILENT_SECONDS)
                except queue.Empty:
                    if self._stopped.is_set():
                        return
                    raise DeviceError("the microphone gives nothing any more: is it still connected?") from None
                yield np.frombuffer(chunk, dtype=np.int16)


@contextlib.contextmanager
def speaker(rate: int, channels: int) -> Iterator[Any]:
    """The default speaker as a function that plays arrays ``[samples]`` or ``[samples, channels]`` of int16.

    The function waits while enough is there to be played.

    Raises:
        DeviceError: There is none, or it does not take the rate.
    """
    device = _sounddevice()
    try:
        stream = device.RawOutputStream(rate, channels=channels, dtype="int16")
    except device.PortAudioError as error:
        raise DeviceError(f"the speaker cannot be opened at {rate} Hz ({error})") from error
    with stream:
        stream.write(bytes(2 * channels * round(LEAD_SECONDS * rate)))
        yield lambda samples: stream.write(samples.tobytes())
