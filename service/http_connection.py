"""Uvicorn's HTTP connection with an end to patience: who asks for nothing, or never ends a request's head, is cut off.

Bodies of uploads and the silence on live streams have time limits of their own, and so has a connection that is kept open
between requests.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from connecting to the end of a request's head


class HttpConnection(H11Protocol):
    """One connection; uvicorn makes it."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called when a client has connected."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Called with what the client sends."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_head()
        else:
            self._expect_no_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection is gone."""
        self._expect_no_head()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _expect_no_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
