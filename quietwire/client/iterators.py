"""Blocking iterators for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


async def pull(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items of an iterable that may block, which is read in a thread of its own."""
    iterator, loop = iter(items), asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, "quietwire-source")
    try:
        while True:
            item = await loop.run_in_executor(thread, next, iterator, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]
    finally:
        thread.shutdown(wait=False)
