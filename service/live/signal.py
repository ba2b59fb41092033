"""A signal for one task that waits, at a tenth of the memory of ``asyncio.Event``: every live stream has several."""

from __future__ import annotations

import asyncio


class Signal:
    """Set and cleared from the event loop; at most one task waits at a time."""

    __slots__ = ("_set", "_waiter")

    def __init__(self) -> None:
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let the task go on that waits, and whoever waits next."""
        self._set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """From now on ``wait`` waits."""
        self._set = False

    async def wait(self) -> None:
        """Return once it is set."""
        if self._set:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
