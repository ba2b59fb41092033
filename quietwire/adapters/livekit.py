"""Quietwire as noise cancellation of LiveKit's audio streams (extra ``livekit``; written against livekit 1.2).

from quietwire.adapters.livekit import QuietwireProcessor

stream = rtc.AudioStream(track, noise_cancellation=QuietwireProcessor())
"""

from __future__ import annotations

from typing import Any

from livekit import rtc

from quietwire.adapters.choice import Choice
from quietwire.adapters.frames import Array, FrameEnhancer, decode, encode

FRAME_SECONDS = 0.01


class QuietwireProcessor(rtc.FrameProcessor[rtc.AudioFrame]):
    """Removes noise from audio frames, in this process or, with ``url``, on a server.

    Every frame is answered by one of the same length, late by ``delay`` samples. Setting ``enabled`` switches off and on
    without a shift in time.

    Args:
        choice: Fields of ``Choice``: ``model``, ``variant``, ``attenuation_limit_db``, ``url``, ``token``, …

    Raises:
        TypeError: A name that ``Choice`` does not have.
        ZooError: The variant is missing or damaged.
    """

    def __init__(self, **choice: Any) -> None:
        self._choice = Choice(**choice)
        self._variant = self._choice.load()
        self._enhancer: FrameEnhancer | None = None
        self._denoising = True
        self._publication = ""

    @property
    def enabled(self) -> bool:
        """Always True: LiveKit passes frames by a processor that is not, which would shift the sound in time.

        Setting it to False lets the sound through as it is, with the same delay; ``denoising`` tells which is in force.
        """
        return True

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self._denoising = value
        if self._enhancer is not None:
            self._enhancer.enabled = value

    @property
    def denoising(self) -> bool:
        """Whether noise is being removed."""
        return self._denoising

    @property
    def delay(self) -> int:
        """Samples per channel by which output is late; 0 before the first frame."""
        return self._enhancer.delay if self._enhancer is not None else 0

    def flush(self) -> list[rtc.AudioFrame]:
        """The last ``delay`` samples, in frames of 10 ms; what is processed afterwards begins anew."""
        if self._enhancer is None:
            return []
        rest, rate = self._enhancer.flush(), self._enhancer.sample_rate
        size = round(FRAME_SECONDS * rate)
        return [_frame(rest[:, start : start + size], rate, {}) for start in range(0, rest.shape[1], size)]

    def _process(self, frame: rtc.AudioFrame) -> rtc.AudioFrame:
        enhancer = self._enhancer
        if enhancer is None or (enhancer.sample_rate, enhancer.channels) != (frame.sample_rate, frame.num_channels):
            self._close()
            enhancer = self._enhancer = self._choice.open(self._variant, frame.sample_rate, frame.num_channels)
            enhancer.enabled = self._denoising
        samples = frame.data[: frame.samples_per_channel * frame.num_channels]
        return _frame(enhancer.process(decode(samples, frame.num_channels)), frame.sample_rate, frame.userdata)

    def _on_stream_info_updated(self, *, room_name: str, participant_identity: str, publication_sid: str) -> None:
        if publication_sid != self._publication:  # nothing of one speaker may be heard at the start of the next
            self._publication = publication_sid
            self._close()

    def _close(self) -> None:
        enhancer, self._enhancer = self._enhancer, None
        if enhancer is not None:
            enhancer.close()


def _frame(audio: Array, rate: int, userdata: dict[str, Any]) -> rtc.AudioFrame:
    return rtc.AudioFrame(encode(audio), rate, audio.shape[0], audio.shape[1], userdata=userdata)
