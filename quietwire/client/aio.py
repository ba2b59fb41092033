"""The asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, Unpack

from quietwire.client.address import Address
from quietwire.client.files import FileResult, Format, HttpFiles, Source
from quietwire.client.messages import VariantInfo
from quietwire.client.options import Reconnect, StreamOptions
from quietwire.client.pcm import ChunkT
from quietwire.client.stream import AsyncStream

DEFAULT_URL = "http://127.0.0.1:8000"


class AsyncClient:
    """A Quietwire server, for asyncio. It holds no connection itself; every stream and request has its own.

    Args:
        url: ``http(s)://host:port`` or ``ws(s)://…``, with or without ``/ws/enhance``.
        token: API key, where the server asks for one.
        reconnect: What streams do when their connection breaks.
        timeout: Seconds without a byte after which a request for a file is given up.

    Raises:
        ValueError: Not an address.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, token: str | None = None, reconnect: Reconnect | None = None, timeout: float = 300.0
    ) -> None:
        self._address, self._token, self._reconnect = Address.parse(url), token, reconnect or Reconnect()
        self._files = HttpFiles(self._address, token, timeout)

    def stream(self, **options: Unpack[StreamOptions]) -> AsyncStream:
        """A live stream, connected by ``async with``; options as in ``StreamOptions``.

        async with client.stream(sample_rate=48000) as stream:
            async for enhanced in stream.enhance(chunks):
                …
        """
        return AsyncStream(self._address, self._token, self._reconnect, options)

    async def enhance(
        self, chunks: Iterable[ChunkT] | AsyncIterable[ChunkT], **options: Unpack[StreamOptions]
    ) -> AsyncIterator[ChunkT]:
        """One stream from its first chunk to its last: as many samples come out as go in, of the same kind.

        Raises:
            QuietwireError: The server cannot be reached, refuses, or ends the stream.
        """
        async with self.stream(**options) as stream:
            async for enhanced in stream.enhance(chunks):
                yield enhanced

    async def enhance_file(
        self,
        source: Source,
        target: Path | str | None = None,
        *,
        model: str | None = None,
        variant: str | None = None,
        attenuation_limit_db: float | None = None,
        format: Format | None = None,
    ) -> FileResult:
        """Enhance a recording; see ``HttpFiles.enhance_file``. It runs in a thread."""
        return await asyncio.to_thread(
            self._files.enhance_file,
            source,
            target,
            model=model,
            variant=variant,
            attenuation_limit_db=attenuation_limit_db,
            format=format,
        )

    async def compare(
        self, source: Source, reference: Source | None = None, *, variants: Sequence[str] = (), model: str | None = None
    ) -> dict[str, Any]:
        """Several variants on one recording; see ``HttpFiles.compare``. It runs in a thread."""
        return await asyncio.to_thread(self._files.compare, source, reference, variants=variants, model=model)

    async def variants(self) -> list[VariantInfo]:
        """Every variant that the server has loaded."""
        return await asyncio.to_thread(self._files.variants)
