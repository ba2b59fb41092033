"""Quietwire as an audio filter of pipecat's transports (extra ``pipecat``; written against pipecat-ai 1.14).

from quietwire.adapters.pipecat import QuietwireFilter

params = TransportParams(audio_in_enabled=True, audio_in_filter=QuietwireFilter())
"""

from __future__ import annotations

import asyncio
from typing import Any

from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.frames.frames import FilterControlFrame, FilterEnableFrame

from quietwire.adapters.choice import Choice
from quietwire.adapters.frames import FrameEnhancer, decode, encode


class QuietwireFilter(BaseAudioFilter):
    """Removes noise from 16-bit mono audio, in this process or, with ``url``, on a server.

    As many samples come out of every call as went in, late by ``delay`` samples. A ``FilterEnableFrame`` switches off and
    on without a shift in time.

    Args:
        choice: Fields of ``Choice``: ``model``, ``variant``, ``attenuation_limit_db``, ``url``, ``token``, …

    Raises:
        TypeError: A name that ``Choice`` does not have.
    """

    def __init__(self, **choice: Any) -> None:
        self._choice = Choice(**choice)
        self._enhancer: FrameEnhancer | None = None
        self._enabled = True

    @property
    def delay(self) -> int:
        """Samples by which output is late; 0 before ``start``."""
        return self._enhancer.delay if self._enhancer is not None else 0

    async def start(self, sample_rate: int) -> None:
        """Load the network; called by the transport.

        Raises:
            ZooError: The variant is missing or damaged.
        """
        variant = await asyncio.to_thread(self._choice.load)
        self._enhancer = self._choice.open(variant, sample_rate, 1)
        self._enhancer.enabled = self._enabled

    async def stop(self) -> None:
        """Free the network; called by the transport."""
        enhancer, self._enhancer = self._enhancer, None
        if enhancer is not None:
            await asyncio.to_thread(enhancer.close)

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """Switch off or on from the next sample."""
        if isinstance(frame, FilterEnableFrame):
            self._enabled = frame.enable
            if self._enhancer is not None:
                self._enhancer.enabled = frame.enable

    async def filter(self, audio: bytes) -> bytes:
        """As many bytes as were given; those of ``delay`` samples before."""
        if self._enhancer is None:
            return audio
        return encode(self._enhancer.process(decode(audio, 1)))

    async def flush(self) -> bytes:
        """The last ``delay`` samples; what is filtered afterwards begins anew. Pipecat itself asks for no tail."""
        if self._enhancer is None:
            return b""
        return encode(await asyncio.to_thread(self._enhancer.flush))
