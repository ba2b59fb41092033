"""What a client is sent, in order: one queue per connection, bounded in audio and in time."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from service.errors import ServiceError


@dataclasses.dataclass(frozen=True)
class Receipt:
    """Stands in the queue behind the output of an input message, and becomes its statistics when it is sent."""

    seq: int
    position: int
    arrived: float


Item = bytes | dict[str, Any] | Receipt


class Outbox:
    """Messages on their way to one client.

    Args:
        websocket: Accepted.
        limit: Bytes of audio that count as full.
        timeout: Seconds that one message may take to be accepted by the transport.
        settle: Turns a receipt into the message to send, or None for none, at the moment it is sent.

    Attributes:
        moved: Set whenever a message has been sent.
    """

    def __init__(
        self, websocket: WebSocket, limit: float, timeout: float, settle: Callable[[Receipt], dict[str, Any] | None]
    ) -> None:
        self._websocket, self._limit, self._timeout, self._settle = websocket, limit, timeout, settle
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()
        self._bytes = 0
        self.moved = asyncio.Event()

    @property
    def fill(self) -> float:
        """Waiting audio over the limit."""
        return self._bytes / self._limit

    def put(self, item: Item) -> None:
        """Add a message; whoever feeds the stream looks at ``fill``, as the engine may be quicker than a client that reads."""
        self._items.append(item)
        self._filled.set()
        if isinstance(item, bytes):
            self._bytes += len(item)

    async def emptied(self) -> None:
        """Wait until everything has been sent."""
        while self._items:
            self.moved.clear()
            await self.moved.wait()

    async def send_until(self, last: str) -> None:
        """Send what is put in, up to and including the first message of type ``last``.

        Raises:
            ServiceError: The client does not read.
            WebSocketDisconnect: The client has left.
        """
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._items:
                item = self._items[0]
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._send(item)
                except TimeoutError as error:
                    raise self._unread() from error
                except RuntimeError as error:  # the transport has closed the connection already
                    raise WebSocketDisconnect(1006) from error
                self._items.popleft()
                self.moved.set()
                if isinstance(item, dict) and item["type"] == last:
                    return

    async def _send(self, item: Item) -> None:
        if isinstance(item, bytes):
            await self._websocket.send_bytes(item)
            self._bytes -= len(item)
            return
        message = self._settle(item) if isinstance(item, Receipt) else item
        if message is not None:
            await self._websocket.send_text(json.dumps(message))

    def _unread(self) -> ServiceError:
        return ServiceError("overloaded", f"Output was left unread for {self._timeout:g} s: read it as it comes.")
