"""Uvicorn's WebSocket transport, with what only the transport can do.

A live stream's messages go straight to its session and its output straight to the socket, several messages in one write:
at a hundred messages in and two hundred out every hundredth of a second, tasks and queues in between would cost more than
the network. A message over the size limit gets the protocol's error and close code, where uvicorn closes with 1009 and no
word; the rest of the message is discarded as it comes. A client that does not read is cut off, where uvicorn waits for it
for ever.

What a microphone sends, whole short binary messages, is cut out of the bytes here, and what it gets back is framed here:
the library's parser and its frames take six times as long. All other bytes go to the library. A client that sends
thousands of tiny frames has them taken a few at a time, between which everybody else has a turn.
"""

from __future__ import annotations

import functools
import json
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode
from websockets.frames import apply_mask as unmask  # type: ignore[attr-defined]  # in C, where the library has that
from websockets.protocol import State
from websockets.streams import StreamReader

from service.errors import ServiceError

LINGER_SECONDS = 10.0  # what a client gets to read the rest once it has been served
QUIET_SECONDS = 0.5  # closing while bytes come in would make the kernel drop what the client has not read yet
EXTENSION = "quietwire.transport"
WHOLE_BINARY, WHOLE_TEXT = 0x82, 0x81  # first byte of a frame that is a message of its own
MASKED = 0x80  # in the second byte, beside the length
LENGTH_IN_TWO, LENGTH_IN_EIGHT = 126, 127  # bytes that follow
SHORTEST_FRAME = 6  # of a client: two bytes and the mask
MOST_AT_ONCE = 32  # messages that are cut out in one turn of the event loop
UNREAD_SECONDS = 4  # of audio, that may wait in the kernel: the client's pings lie behind it
LEAST_UNREAD = 1 << 17  # bytes: segments of the loopback device, 64 kB, have to fit in, or they would wait for timers
MOST_BYTES = 4096  # that the library gets in one turn: some hundred frames
BETWEEN_FRAMES = StreamReader.at_eof.__code__  # where the library's parser stands when it has read whole frames

Message = bytes | str


class Transport(WebSocketsSansIOProtocol):
    """One connection; uvicorn makes it. An application finds it with ``Transport.of``."""

    listener: Callable[[Message], None] | None = None
    _kept = b""  # bytes that have their turn later
    _amid_message = True  # whether the library has begun something that the next bytes may belong to
    _scheduled = False
    _pongs = b""  # to a client that does not read

    @staticmethod
    def of(websocket: WebSocket) -> Transport:
        """The transport under an accepted WebSocket."""
        found = websocket.scope["extensions"][EXTENSION]
        assert isinstance(found, Transport)
        return found

    def listen(self, listener: Callable[[Message], None]) -> None:
        """Hand each further message to ``listener`` as it comes, the ones that came already first.

        Only the end of the connection is still told through ``receive``. To be called once.
        """
        del self.request, self.response  # of the handshake, 3 kB: nothing asks for them after it
        waiting = [self.queue.get_nowait() for _ in range(self.queue.qsize())]
        self.listener = listener
        self.resume()
        for event in waiting:
            if event["type"] == "websocket.receive":
                data = event.get("bytes")
                listener(event["text"] if data is None else data)  # type: ignore[arg-type]
            else:
                self.queue.put_nowait(event)

    def limit_unread(self, bytes_a_second: int) -> None:
        """Let little audio wait in the kernel while nothing is read: left to itself, it keeps megabytes, which is minutes."""
        size = max(LEAST_UNREAD, UNREAD_SECONDS * bytes_a_second)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def hold(self) -> None:
        """Read no more from the client, which slows it down."""
        self.read_paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.read_paused:
            self.read_paused = False
            self._go_on_later()

    def _go_on_later(self) -> None:
        if not self._kept:
            if not self.transport.is_closing():
                self.transport.resume_reading()
        elif not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._scheduled = False
        if not (self.read_paused or self.disconnected):
            data, self._kept = self._kept, b""
            self._take(data)
            if not (self._kept or self.read_paused):
                self._go_on_later()

    def write_messages(self, messages: Iterable[Message]) -> None:
        """Send messages in one write; nothing happens once the connection is closed or being closed."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        parts: list[bytes] = []
        for message in messages:
            kind, payload = (WHOLE_TEXT, message.encode()) if isinstance(message, str) else (WHOLE_BINARY, message)
            parts += _head(kind, len(payload)), payload
        self.transport.write(b"".join(parts))

    def data_received(self, data: bytes) -> None:
        """Called with bytes as they come."""
        if self._kept:
            self._kept += data
            self._postpone()
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Handle what can be handled in this turn of the event loop, and keep the rest for later ones."""
        enough = False
        if self.listener is not None and not self._amid_message and self.conn.state is State.OPEN:
            data, enough = self._take_messages(data, self.listener)
        if data and not enough:
            self._kept = data[MOST_BYTES:]
            super().data_received(data[:MOST_BYTES])
            self._amid_message = self.listener is None or self._is_amid_message()
        else:
            self._kept = data
        if self._kept:
            self._postpone()

    def _postpone(self) -> None:
        """Read no more until what is kept has had its turn."""
        self.transport.pause_reading()
        if not self.read_paused:
            self._go_on_later()

    def _is_amid_message(self) -> bool:
        """Whether the library has begun something that the next bytes belong to."""
        if self.conn.reader.buffer or self.conn.current_size is not None:
            return True
        inner: Any = self.conn.parser
        while inner.gi_yieldfrom is not None:
            inner = inner.gi_yieldfrom
        return inner.gi_code is not BETWEEN_FRAMES  # it may have read a head and nothing else

    def _take_messages(self, data: bytes, listener: Callable[[Message], None]) -> tuple[bytes, bool]:
        """Hand over the whole short binary messages at the beginning; gives the rest, and whether its turn comes later."""
        start = taken = 0
        while len(data) - start >= SHORTEST_FRAME and data[start] == WHOLE_BINARY and self.listener is listener:
            if taken == MOST_AT_ONCE or self.read_paused:
                return data[start:], True
            length, mask = data[start + 1] ^ MASKED, start + 2
            if length == LENGTH_IN_TWO:
                length, mask = int.from_bytes(data[mask : mask + 2]), mask + 2
            elif length >= LENGTH_IN_EIGHT:  # or not masked
                break
            payload = mask + 4
            if payload + length > len(data) or length > self.config.ws_max_size or self.close_sent:
                break
            start, taken = payload + length, taken + 1
            listener(unmask(data[payload:start], data[mask:payload]))
        return data[start:], False

    def send_receive_event_to_app(self) -> None:
        """Called when a message is complete."""
        if self.curr_msg_data_type == "text":
            self.frames = [_text(b"".join(self.frames))]
        if self.listener is None or self.close_sent:
            super().send_receive_event_to_app()
            return
        data: Message = b"".join(self.frames) if len(self.frames) > 1 else self.frames[0]
        if self.curr_msg_data_type == "text":
            data = bytes(data).decode()  # type: ignore[arg-type]
        self.frames = []
        self.listener(data)

    def handle_ping(self) -> None:
        """Called for each ping. A client that does not read gets the newest answers when it reads on (RFC 6455, 5.5.3)."""
        answers = b"".join(self.conn.data_to_send())  # to all pings of this turn, and to a close behind them
        if self.writable.is_set() or self.conn.close_rcvd is not None:
            self.transport.write(answers)
        elif answers:
            self._pongs = answers

    def resume_writing(self) -> None:
        """Called when the client reads on."""
        super().resume_writing()
        answers, self._pongs = self._pongs, b""
        if answers and not self.transport.is_closing():
            self.transport.write(answers)

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
        self.resume()

    async def run_asgi(self) -> None:
        """Serve the connection, and see to it that it is gone some time after."""
        self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        if not self.disconnected:
            self.transport.abort()


def _text(data: bytes) -> bytes:
    """A text message, or an empty one, which is refused as no JSON, where it is not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return b""
    return data


@functools.lru_cache(maxsize=256)  # most messages of a stream are as long as the one before
def _head(kind: int, length: int) -> bytes:
    """What a frame of the server begins with (RFC 6455, 5.2)."""
    if length < LENGTH_IN_TWO:
        return struct.pack("!BB", kind, length)
    if length < 1 << 16:
        return struct.pack("!BBH", kind, LENGTH_IN_TWO, length)
    return struct.pack("!BBQ", kind, LENGTH_IN_EIGHT, length)
