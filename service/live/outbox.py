"""What a client is sent, in order: written at once while the client reads, else queued within bounds of audio and time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from service.errors import ServiceError
from service.live.signal import Signal
from service.live.transport import Message, Transport

NOTE_BYTES = 128  # about what statistics or an answer take, before they are written out
WRITE_BYTES = 65536  # at a time; asyncio says whether there is room for more only after a write


class Receipt(NamedTuple):
    """Stands in the queue behind the output of an input message, and becomes its statistics when it is sent."""

    seq: int
    position: int
    arrived: float


Item = bytes | dict[str, Any] | Receipt


class Outbox:
    """Messages on their way to one client.

    Args:
        transport: Of the connection.
        limit: Bytes that count as full.
        timeout: Seconds that the client may take to read on, once the transport has no more room.
        settle: Turns a receipt into the message to send, or None for none, at the moment it is sent.

    Attributes:
        moved: Set whenever messages have been sent, and by the stream after every step.
    """

    def __init__(self, transport: Transport, limit: float, timeout: float, settle: Callable[[Receipt], str | None]) -> None:
        self._transport, self._limit, self._timeout, self._settle = transport, limit, timeout, settle
        self._items: list[Item] = []
        self._stalled = Signal()
        self._bytes = 0
        self.moved = Signal()

    @property
    def fill(self) -> float:
        """What waits, over the limit."""
        return self._bytes / self._limit

    def put(self, item: Item) -> None:
        """Add a message, which goes out with the next ``flush``.

        Whoever feeds the stream looks at ``fill``, as the engine may be quicker than a client that reads.
        """
        self._items.append(item)
        self._bytes += _size(item)

    def flush(self) -> None:
        """Send what waits, as far as the transport has room; ``watch`` sends the rest when it has."""
        while self._items and self._transport.writable.is_set():
            messages: list[Message] = []
            size = 0
            while self._items and size < WRITE_BYTES:
                message = self._message(self._items.pop(0))
                if message is not None:
                    messages.append(message)
                    size += len(message)
            self._transport.write_messages(messages)
            self.moved.set()
        if self._items:
            self._stalled.set()

    async def emptied(self) -> None:
        """Wait until everything has been sent."""
        self.flush()
        while self._items:
            await self.progress()

    async def progress(self) -> None:
        """Wait until something has ``moved``."""
        self.moved.clear()
        await self.moved.wait()

    async def watch(self) -> None:
        """Send on whenever the client reads on; run it as a task beside the stream.

        Raises:
            ServiceError: The client does not read.
        """
        while True:
            await self._stalled.wait()
            self._stalled.clear()
            try:
                async with asyncio.timeout(self._timeout):
                    await self._transport.writable.wait()
            except TimeoutError as error:
                message = f"Output was left unread for {self._timeout:g} s: read it as it comes."
                raise ServiceError("overloaded", message) from error
            self.flush()

    def _message(self, item: Item) -> Message | None:
        self._bytes -= _size(item)
        if isinstance(item, bytes):
            return item
        return self._settle(item) if isinstance(item, Receipt) else json.dumps(item)


def _size(item: Item) -> int:
    return len(item) if isinstance(item, bytes) else NOTE_BYTES
