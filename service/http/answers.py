"""Enhanced files on their way to the client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from typing import BinaryIO

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

CHUNK_BYTES = 1 << 16


class FileAnswer(StreamingResponse):
    """A file as it is; whatever becomes of the sending, all that was held for it is let go afterwards.

    How long a client may take to read is the connection's business: ``service.http.connection``.

    Args:
        file: Seekable.
        held: Is closed in the end; with it should be the file.
        media_type: Of the file.
        headers: All others but the length.
    """

    def __init__(self, file: BinaryIO, held: contextlib.ExitStack, media_type: str, headers: Mapping[str, str]) -> None:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._held = held
        super().__init__(_chunks(file), media_type=media_type, headers={"Content-Length": str(size), **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._held:
            await super().__call__(scope, receive, send)


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
