"""A live stream over as many connections as it takes: every sample sent comes back enhanced, once and in order.

When the connection breaks, or the server restarts, the stream connects again and sends what had not come back, preceded
by 0.3 s that had, whose output is dropped: they let the network, which begins anew, hear where it is. So nothing is lost,
nothing is doubled, and output sample n still belongs to input sample n. What a break does cost: the output of that
time comes late, and around the joint it may differ a little from what an unbroken stream would have given.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self, cast

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from quietwire.client.address import Address
from quietwire.client.connection import open_connection, parse
from quietwire.client.errors import ConnectionLostError, QuietwireError, ServerError
from quietwire.client.iterators import pull
from quietwire.client.ledger import Entry, Ledger
from quietwire.client.messages import ChunkStats, Reconnection, Stats, StreamInfo, Summary, WindowStats
from quietwire.client.options import Reconnect, StreamOptions
from quietwire.client.pcm import Chunk, ChunkT, PcmCodec

MEMORY_SECONDS = 0.3
MESSAGE_BYTES = 1 << 17  # longer chunks are cut: servers limit the size of a message
SETTINGS = ("model", "variant", "attenuation_limit_db")


class AsyncStream:
    """A live stream for asyncio; use it with ``async with``, which connects it. See ``AsyncClient.stream``.

    Output that is not read waits in memory.

    Attributes:
        info: What is in force, from the server.
        stats: The newest statistics, or None.
        summary: The server's account, once the stream has ended.
        reconnections: How often the connection was made again.
    """

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

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            QuietwireError: The server cannot be reached or refuses; the first connection is tried once.
        """
        if self._reader is not None:
            raise RuntimeError("a stream is entered once: make another one")
        self._socket, self.info = await open_connection(self._address, self._token, self._query | self._ledger.settings)
        self._reader = asyncio.create_task(self._run(self._socket))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; a stream that was not ended is broken off."""
        await self.close()

    @property
    def samples_sent(self) -> int:
        """Samples taken from the program, over all connections."""
        return self._ledger.sent // self._codec.frame

    @property
    def samples_delivered(self) -> int:
        """Samples of output received in order, over all connections, each once."""
        return self._ledger.delivered // self._codec.frame

    async def send(self, chunk: Chunk) -> None:
        """Send a chunk (see ``PcmCodec``). Waits while the server does not read, and while the connection is made again.

        Raises:
            QuietwireError: The stream has failed.
            ValueError: Not whole samples, another shape, or the stream has been ended.
        """
        data = self._codec.encode(chunk)
        self._raise_ended()
        size = MESSAGE_BYTES // self._codec.frame * self._codec.frame
        for start in range(0, len(data), size):
            await self._dispatch(self._ledger.add(data[start : start + size]))

    async def configure(
        self, *, model: str | None = None, variant: str | None = None, attenuation_limit_db: float | None = None
    ) -> StreamInfo:
        """Change what the samples sent from now on go through; gives what is then in force.

        Raises:
            QuietwireError: The server does not know it, which ends the stream, or the stream has failed.
            ValueError: The stream has been ended.
        """
        self._raise_ended()
        values = zip(SETTINGS, (model, variant, attenuation_limit_db), strict=True)
        changes = {name: value for name, value in values if value is not None}
        entry = self._ledger.add({"type": "configure", **changes})
        answer: asyncio.Future[StreamInfo] = asyncio.get_running_loop().create_future()
        self._answers[id(entry)] = answer
        await self._dispatch(entry)
        return await answer

    async def receive(self) -> Chunk | None:
        """The next output, of the kind of the first chunk sent; None after the last.

        Raises:
            QuietwireError: The stream has failed; all output that had arrived was given before.
        """
        item = await self._inbox.get()
        if isinstance(item, bytes):
            return self._codec.decode(item)
        self._inbox.put_nowait(item)  # for whoever asks again
        if item is not None:
            raise item
        return None

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        """Output until the stream has ended."""
        while (chunk := await self.receive()) is not None:
            yield chunk

    async def end(self) -> Summary:
        """Say that no more input follows, and wait until all output is here; it can be read before or after.

        Raises:
            QuietwireError: The stream has failed.
        """
        if not self._ending:
            self._ending = True
            await self._dispatch(self._ledger.add({"type": "end"}))
        while self.summary is None:
            self._raise_failure()
            await self._changed.wait()
        return self.summary

    async def enhance(self, chunks: Iterable[ChunkT] | AsyncIterable[ChunkT]) -> AsyncIterator[ChunkT]:
        """Send all chunks and the end, and give the output as it comes, as many samples as were sent.

        Chunks are sent as fast as the iterator gives them; one that blocks, as a microphone's, is read in a thread.

        Raises:
            QuietwireError: The stream has failed.
        """
        sender = asyncio.create_task(self._send_all(chunks if isinstance(chunks, AsyncIterable) else pull(chunks)))
        try:
            async for chunk in self:
                yield cast("ChunkT", chunk)
        finally:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await sender

    async def close(self) -> None:
        """Break the stream off, if it has not ended, and free its connection."""
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader

    # Sending

    async def _send_all(self, chunks: AsyncIterable[ChunkT]) -> None:
        try:
            async for chunk in chunks:
                await self.send(chunk)
                await asyncio.sleep(0)  # a source that never waits must leave time to read
            await self.end()
        except Exception as error:
            self._inbox.put_nowait(error)  # of the source, or of the stream
            raise

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

    def _raise_ended(self) -> None:
        if self._ending:
            raise ValueError("the stream has been ended: open another one")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # Receiving, and connecting again: one task for the life of the stream

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
