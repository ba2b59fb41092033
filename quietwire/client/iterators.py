"""Blocking iterators for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()


async def pull(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items of an iterable that may block, which is read in a thread of its own.

    An iterable that never gives its next item keeps no program from ending.
    """
    iterator, loop = iter(items), asyncio.get_running_loop()
    asked: queue.SimpleQueue[asyncio.Future[Any] | None] = queue.SimpleQueue()

    def read() -> None:
        while (wanted := asked.get()) is not None:
            try:
                item, error = next(iterator, _END), None
            except BaseException as raised:
                item, error = _END, raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, wanted, item, error)

    threading.Thread(target=read, name="quietwire-source", daemon=True).start()
    try:
        while True:
            wanted = loop.create_future()
            asked.put(wanted)
            item = await wanted
            if item is _END:
                return
            yield item
    finally:
        asked.put(None)


def _settle(wanted: asyncio.Future[Any], item: object, error: BaseException | None) -> None:
    if wanted.done():  # cancelled
        return
    if error is not None:
        wanted.set_exception(error)
    else:
        wanted.set_result(item)
