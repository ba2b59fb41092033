"""Uvicorn's HTTP connection with an end to patience: who asks for nothing, never ends a request's head, or does not read
an answer, is cut off.

Bodies of uploads and the silence on live streams have time limits of their own, and so has a connection that is kept open
between requests.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.errors import ServiceError

HEAD_SECONDS = 10.0  # from connecting to the end of a request's head
READ_SECONDS = 20.0  # for the 48 kB or more between a full and a drained buffer, for the end of an answer, and for the
# rest of a body that was answered before its end
_NO_LINGER = struct.pack("ii", 1, 0)


class HttpConnection(H11Protocol):
    """One connection; uvicorn makes it."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

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
        self._expect_no_reading()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called when the client reads more slowly than it is sent to."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Called when the client has caught up."""
        super().resume_writing()
        self._expect_no_reading()

    def on_response_complete(self) -> None:
        """Called when the whole of an answer is in the buffer, or beyond."""
        super().on_response_complete()
        if self._unfinished():
            self._expect_reading()

    def send_400_response(self, msg: str) -> None:
        """Called when what came is no HTTP: answered as all other errors are, before there is a request."""
        error = ServiceError("bad_request", "This is no valid HTTP request: check its head and the length of its body.")
        body = json.dumps(error.as_json()).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (h11.Response(status_code=error.status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _unfinished(self) -> bool:
        """Whether the client has not read all, or goes on with a body that was answered already."""
        refused = self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete
        return refused or self.transport.get_write_buffer_size() > 0

    def _expect_reading(self) -> None:
        self._expect_no_reading()
        self._unread = self.loop.call_later(READ_SECONDS, self._cut)

    def _expect_no_reading(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _cut(self) -> None:
        self._unread = None
        if self._unfinished():
            # without this the kernel would keep what is in its buffer, megabytes, and go on trying
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _expect_no_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
