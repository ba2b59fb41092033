"""A live stream over as many connections as it takes: every sample sent comes back enhanced, once and in order.

When the connection breaks, or the server restarts, the stream connects again and sends what had not come back, preceded
by 0.3 s that had, whose output is dropped: they let the network, which begins anew, hear where it is. So nothing is lost,
nothing is doubled, and output sample n still belongs to input sample n. What a break does cost: the output of that
time comes late, and around the joint it may differ a little from what an unbroken stream would have given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Self, cast

from quietwire.client.connection import open_connection
from quietwire.client.conversation import SETTINGS, Conversation
from quietwire.client.iterators import pull
from quietwire.client.messages import StreamInfo, Summary
from quietwire.client.pcm import Chunk, ChunkT

MESSAGE_BYTES = 1 << 17  # longer chunks are cut: servers limit the size of a message


class AsyncStream(Conversation):
    """A live stream for asyncio; use it with ``async with``, which connects it. See ``AsyncClient.stream``.

    Output that is not read waits in memory.

    Attributes:
        info: What is in force, from the server.
        stats: The newest statistics, or None.
        summary: The server's account, once the stream has ended.
        reconnections: How often the connection was made again.
    """

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
            await _cancelled(sender)

    async def close(self) -> None:
        """Break the stream off, if it has not ended, and free its connection."""
        if self._reader is not None:
            await _cancelled(self._reader)

    async def _send_all(self, chunks: AsyncIterable[ChunkT]) -> None:
        try:
            async for chunk in chunks:
                await self.send(chunk)
                await asyncio.sleep(0)  # a source that never waits must leave time to read
            await self.end()
        except Exception as error:
            self._inbox.put_nowait(error)  # of the source, or of the stream
            raise

    def _raise_ended(self) -> None:
        if self._ending:
            raise ValueError("the stream has been ended: open another one")


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; a cancellation of the caller meanwhile is not taken for the task's."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # which has been told elsewhere
