"""A client's messages that cannot be handled as they come: they wait here in order, and nothing is read while many do."""

from __future__ import annotations

import asyncio
import contextlib
import time

from service.errors import ServiceError
from service.live.signal import Signal
from service.live.transport import Message, Transport

MOST_MESSAGES = 4  # with so many waiting, nothing more is read


class Inbox:
    """Filled by the transport, emptied by one task.

    Args:
        transport: Of the connection.
        idle_seconds: How long a client may say nothing.
    """

    def __init__(self, transport: Transport, idle_seconds: float) -> None:
        self._transport, self._idle_seconds = transport, idle_seconds
        self._messages: list[tuple[Message, float]] = []  # and when they came
        self._filled = Signal()
        self._taken = False
        self._heard = time.perf_counter()  # when the newest message came or was settled

    @property
    def occupied(self) -> bool:
        """Whether a message is waiting, or taken and not settled: what comes has to wait behind it."""
        return self._taken or bool(self._messages)

    def hear(self) -> float:
        """A message has come, whoever takes it; gives when, on the clock of ``time.perf_counter``."""
        self._heard = time.perf_counter()
        return self._heard

    def put(self, message: Message, arrived: float) -> None:
        """Add a message."""
        self._messages.append((message, arrived))
        self._filled.set()
        if len(self._messages) >= MOST_MESSAGES:
            self._transport.hold()

    async def take(self) -> tuple[Message, float]:
        """The next message and when it came; ``settled`` is to be called once it has been handled.

        Raises:
            ServiceError: The client has said nothing for too long.
        """
        while not self._messages:
            if self._transport.read_paused:
                self._transport.resume()
                self._heard = time.perf_counter()  # nothing could be heard before
            left = self._heard + self._idle_seconds - time.perf_counter()
            if left <= 0:
                message = f"Nothing was received for {self._idle_seconds:g} s: send audio, or end the stream."
                raise ServiceError("idle", message)
            self._filled.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._filled.wait()
        self._taken = True
        return self._messages.pop(0)

    def settled(self) -> None:
        """The message that was taken has been handled."""
        self._taken = False
        self._heard = time.perf_counter()  # a long one is taken in real time, in which a client may well wait for its output
