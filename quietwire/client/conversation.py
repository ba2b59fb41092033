"""The conversation of a live stream with a server, over as many connections as it takes; ``stream`` tells what that means.

One task reads for the life of the stream. It alone makes connections, and sends again what has not come back; who sends
meanwhile only notes the message in the ledger and waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from quietwire.client.address import Address
from quietwire.client.connection import open_connection, parse
from quietwire.client.errors import ConnectionLostError, QuietwireError, ServerError
from quietwire.client.ledger import Entry, Ledger
from quietwire.client.messages import ChunkStats, Reconnection, Stats, StreamInfo, Summary, WindowStats
from quietwire.client.options import Reconnect, StreamOptions
from quietwire.client.pcm import PcmCodec

MEMORY_SECONDS = 0.3
SETTINGS = ("model", "variant", "attenuation_limit_db")


class Conversation:
    """State and connections of a stream; ``AsyncStream`` adds what programs use."""

    info: StreamInfo
    stats: Stats | None
    summary: Summary | None

    def __init__(self, address: Address, token: str | None, reconnect: Reconnect, options: StreamOptions) -> None:
        self._address, self._token, self._reconnect = address, token, reconnect
        query: dict[str, Any] = {"sample_rate": 16000, "channels": 1, "encoding": "pcm_s16le", **options}
        self._on_stats, self._on_reconnect = query.pop("on_stats", None), query.pop("on_reconnect", None)
        self._codec = PcmCodec(query["encoding"], query["channels"])
        memory = round(MEMORY_SECONDS * query["sample_rate"]) * self._codec.frame
        self._ledger = Ledger(memory, {name: query.pop(name, None) for name in SETTINGS})
        self._query = query
        self._socket: ClientConnection | None = None
        self._changed = asyncio.Event()  # set, and replaced, whenever the connection is lost, made or given up
        self._inbox: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._asked: deque[Entry] = deque()  # configurations sent on this connection and not answered
        self._answers: dict[int, asyncio.Future[StreamInfo]] = {}
        self._drop = self._failed_attempts = 0
        self._failure: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ending = False
        self.stats = self.summary = None
        self.reconnections = 0

    async def _dispatch(self, entry: Entry) -> None:
        """Send a message that is in the ledger, or see to it that a new connection has."""
        self._raise_failure()
        socket = self._socket
        if socket is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._transmit(socket, entry)
                return
        while self.summary is None and (self._socket is None or self._socket is socket):
            await self._changed.wait()
            self._raise_failure()

    async def _transmit(self, socket: ClientConnection, entry: Entry) -> None:
        if isinstance(entry.content, bytes):
            await socket.send(entry.content)
            return
        if entry.content["type"] == "configure":
            self._asked.append(entry)
        await socket.send(json.dumps(entry.content))

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _run(self, socket: ClientConnection) -> None:
        try:
            while True:
                reason = await self._read(socket)
                if self.summary is not None:
                    return
                self._moved(None)
                socket = await self._resume(reason)
        except Exception as error:  # ours, or of a function that the program gave
            self._failure = error
        except asyncio.CancelledError:
            self._failure = ConnectionLostError("The stream was closed.")
            raise
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(self._failure or ConnectionLostError("The stream ended before the answer."))
                    answer.exception()  # nobody may be waiting
            self._inbox.put_nowait(self._failure)
            self._moved(None)
            try:
                await socket.close()
            finally:
                socket.transport.abort()  # where closing was cut short

    def _moved(self, socket: ClientConnection | None) -> None:
        self._socket = socket
        self._changed.set()
        self._changed = asyncio.Event()

    async def _read(self, socket: ClientConnection) -> QuietwireError:
        """Take what comes until the connection is closed; gives the reason."""
        try:
            while True:
                message = await socket.recv()
                if isinstance(message, bytes):
                    self._take_audio(message)
                else:
                    self._take(parse(message))
        except ServerError as error:
            await socket.wait_closed()
            return ServerError(error.code, error.message, socket.close_code)
        except ConnectionClosed as error:
            return ConnectionLostError(f"The connection broke ({error}).")

    def _take_audio(self, data: bytes) -> None:
        dropped = min(self._drop, len(data))
        self._drop -= dropped
        if fresh := data[dropped:]:
            self._failed_attempts = 0
            self._ledger.deliver(len(fresh))
            self._inbox.put_nowait(fresh)

    def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "stats":
                self.stats = ChunkStats.parse(message) if "seq" in message else WindowStats.parse(message)
                if self._on_stats is not None:
                    self._on_stats(self.stats)
            case "configured" if self._asked:
                self.info = StreamInfo.parse(message)
                entry = self._asked.popleft()
                entry.settled = True
                answer = self._answers.pop(id(entry), None)
                if answer is not None and not answer.done():
                    answer.set_result(self.info)
            case "summary":
                self.summary = Summary.parse(message)

    async def _resume(self, reason: QuietwireError) -> ClientConnection:
        """Connect again and send what has not come back.

        Raises:
            QuietwireError: It is of no use, or was tried often enough.
        """
        for delay in list(self._reconnect.delays())[self._failed_attempts :]:
            if not reason.retryable:
                break
            await asyncio.sleep(delay)
            self._failed_attempts += 1
            attempts = self._failed_attempts
            try:
                query = self._query | self._ledger.settings
                socket, self.info = await open_connection(self._address, self._token, query)
            except QuietwireError as error:
                reason = error
                continue
            try:
                await self._replay(socket)
            except ConnectionClosed as error:
                reason = ConnectionLostError(f"The connection broke ({error}).")
                continue
            self.reconnections += 1
            self._moved(socket)
            if self._on_reconnect is not None:
                resent = (self._ledger.sent - self._ledger.delivered) // self._codec.frame
                self._on_reconnect(Reconnection(reason.message, attempts, resent))
            return socket
        raise reason

    async def _replay(self, socket: ClientConnection) -> None:
        self._asked.clear()
        self._drop = self._ledger.delivered - self._ledger.resume_position
        index = 0
        while (entry := self._ledger.replay(index)) is not None:  # what is sent meanwhile is added at the end
            await self._transmit(socket, entry)
            index += 1
