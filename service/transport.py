"""Uvicorn's WebSocket transport, with two things that only the transport can do.

A message over the size limit gets the protocol's error and close code, where uvicorn closes with 1009 and no word; the
rest of the message is discarded as it comes. A client that does not read is cut off, where uvicorn waits for it for ever.
"""

from __future__ import annotations

import json

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode

from service.errors import ServiceError

LINGER_SECONDS = 10.0  # what a client gets to read the rest once it has been served
QUIET_SECONDS = 0.5  # closing while bytes come in would make the kernel drop what the client has not read yet


class Transport(WebSocketsSansIOProtocol):
    """One connection; uvicorn makes it."""

    def handle_parser_exception(self) -> None:
        """Called when the client's bytes cannot be taken as frames, and for all bytes after that."""
        if not isinstance(self.conn.parser_exc, PayloadTooBig):
            super().handle_parser_exception()
            return
        if not self.close_sent:
            self._refuse_size()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(QUIET_SECONDS, self.transport.close)

    def _refuse_size(self) -> None:
        error = ServiceError("too_large", f"A message is over the limit of {self.config.ws_max_size} bytes: send smaller ones.")
        frames = (
            Frame(Opcode.TEXT, json.dumps({"type": "error", **error.as_json()}).encode()),
            Frame(Opcode.CLOSE, Close(error.close_code, error.code).serialize()),
        )
        self.conn.data_to_send()  # what the library would answer
        self.transport.write(b"".join(frame.serialize(mask=False) for frame in frames))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": error.close_code, "reason": error.code})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    async def run_asgi(self) -> None:
        """Serve the connection, and see to it that it is gone some time after."""
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        if not self.disconnected:
            self.transport.abort()
