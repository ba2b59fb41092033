"""Uvicorn's HTTP connection with an end to patience: who asks for nothing, never ends a request's head, or does not read
an answer, is cut off.

Bodies of uploads and the silence on live streams have time limits of their own, and so has a connection that is kept open
between requests. What comes is parsed for a millisecond or so at a time, between which everybody else has a turn: a body in
chunks of one byte takes a hundred times as long as its bytes.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.errors import ServiceError

HEAD_SECONDS = 10.0  # from connecting to the end of a request's head
READ_SECONDS = 20.0  # for the 48 kB or more between a full and a drained buffer, for the end of an answer, and for the
# rest of a body that was answered before its end
MOST_BYTES = 8192  # that are parsed before the time is looked at
TURN_SECONDS = 0.001  # of the event loop, after which the rest waits for the next one
_NO_LINGER = struct.pack("ii", 1, 0)


class _Flow(FlowControl):
    """Uvicorn's, but reading on begins with what has been read already."""

    def __init__(self, transport: asyncio.Transport, read_on: Callable[[], None]) -> None:
        super().__init__(transport)
        self._read_on = read_on

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._read_on()


class HttpConnection(H11Protocol):
    """One connection; uvicorn makes it."""

    _head_timer: asyncio.TimerHandle | None = None
    _reading_timer: asyncio.TimerHandle | None = None
    _kept = b""  # bytes that have their turn later
    _scheduled = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called when a client has connected."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self._read_on)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Called with what the client sends."""
        if self._kept:
            self._kept += data
            self._postpone()
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Handle what one turn of the event loop has time for, and keep the rest for later ones."""
        former, begun, start = self.cycle, time.perf_counter(), 0
        while start < len(data) and not self.flow.read_paused:
            super().data_received(data[start : start + MOST_BYTES])
            start += MOST_BYTES
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                self._kept = b""
                return
            if time.perf_counter() - begun > TURN_SECONDS:
                break
        self._kept = data[start:]
        if self.conn.their_state is h11.IDLE:
            self._start_head_timer()
        else:
            self._stop_head_timer()
        if self.cycle is not former and not self.flow.write_paused:
            self._stop_reading_timer()  # it was of the answer before
        if self._kept:
            self._postpone()

    def _postpone(self) -> None:
        """Read no more until what is kept has had its turn."""
        self.transport.pause_reading()
        if not self.flow.read_paused:
            self._read_on()

    def _read_on(self) -> None:
        if not self._kept:
            self.transport.resume_reading()
        elif not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._scheduled = False
        if self.transport.is_closing():
            self._kept = b""
        elif not self.flow.read_paused:
            data, self._kept = self._kept, b""
            self._take(data)
            if not (self._kept or self.flow.read_paused or self.transport.get_protocol() is not self):
                self.transport.resume_reading()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Called when the connection becomes a live stream, of which no answer is outstanding."""
        self._stop_head_timer()
        self._stop_reading_timer()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection is gone."""
        self._stop_head_timer()
        self._stop_reading_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called when the client reads more slowly than it is sent to."""
        super().pause_writing()
        self._start_reading_timer()

    def resume_writing(self) -> None:
        """Called when the client has caught up."""
        super().resume_writing()
        self._stop_reading_timer()

    def on_response_complete(self) -> None:
        """Called when the whole of an answer is in the buffer, or beyond."""
        super().on_response_complete()
        if self._unfinished():
            self._start_reading_timer()

    def send_400_response(self, msg: str) -> None:
        """Called when what came is no HTTP: answered as all other errors are, before there is a request."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # it has been answered already, or is being answered
            self.transport.close()
            return
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

    def _start_reading_timer(self) -> None:
        self._stop_reading_timer()
        self._reading_timer = self.loop.call_later(READ_SECONDS, self._cut)

    def _stop_reading_timer(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def _cut(self) -> None:
        self._reading_timer = None
        if self._unfinished():
            # without this the kernel would keep what is in its buffer, megabytes, and go on trying
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
