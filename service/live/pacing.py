"""Whether a client has to wait: it is far ahead of real time, or the engine or the client itself has too much to do already."""

from __future__ import annotations

import asyncio

from service.live.outbox import Outbox
from service.live.stream import EnhancementStream

MAX_WAITING_SECONDS = 2.0  # handed to the engine and not stepped yet
MAX_FILL = 0.5  # of the outbox


class Pacing:
    """Watches over one stream.

    Args:
        stream: What the client feeds.
        outbox: What it is to read.
        max_ahead: Seconds by which it may be ahead of real time.
    """

    def __init__(self, stream: EnhancementStream, outbox: Outbox, max_ahead: float) -> None:
        self._stream, self._outbox, self._max_ahead = stream, outbox, max_ahead

    @property
    def too_fast(self) -> bool:
        """Whether the next message has to wait."""
        return self._congested or self._ahead > 0

    async def keep(self) -> None:
        """Wait as long as the next message has to; while it does the transport reads nothing, which slows the client down."""
        while self._congested:
            await self._outbox.progress()
        while (ahead := self._ahead) > 0:
            await asyncio.sleep(min(ahead, 0.5))

    @property
    def _congested(self) -> bool:
        return self._stream.waiting_seconds > MAX_WAITING_SECONDS or self._outbox.fill > MAX_FILL

    @property
    def _ahead(self) -> float:
        return self._stream.ahead_seconds - self._max_ahead
