"""The synchronous client: the asyncio one in a thread of its own, so that there is one implementation of the protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, Unpack

from quietwire.client.address import Address
from quietwire.client.aio import DEFAULT_URL
from quietwire.client.files import HttpFiles
from quietwire.client.loop_thread import LoopThread
from quietwire.client.messages import Stats, StreamInfo, Summary
from quietwire.client.options import Reconnect, StreamOptions
from quietwire.client.pcm import Chunk, ChunkT
from quietwire.client.stream import AsyncStream


class Client(HttpFiles):
    """A Quietwire server. ``enhance_file``, ``compare`` and ``variants`` go over HTTP; ``stream`` and ``enhance`` are live.

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
        super().__init__(Address.parse(url), token, timeout)
        self._reconnect = reconnect or Reconnect()
        self._thread = LoopThread()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the client's thread; its streams must have been left before."""
        self._thread.stop()

    def stream(self, **options: Unpack[StreamOptions]) -> Stream:
        """A live stream, connected by ``with``; options as in ``StreamOptions``.

        with client.stream(sample_rate=48000) as stream:
            for enhanced in stream.enhance(chunks):
                …
        """
        return Stream(AsyncStream(self._address, self._token, self._reconnect, options), self._thread)

    def enhance(self, chunks: Iterable[ChunkT], **options: Unpack[StreamOptions]) -> Iterator[ChunkT]:
        """One stream from its first chunk to its last: as many samples come out as go in, of the same kind.

        Raises:
            QuietwireError: The server cannot be reached, refuses, or ends the stream.
        """
        with self.stream(**options) as stream:
            yield from stream.enhance(chunks)


class Stream:
    """``AsyncStream`` without asyncio; see there for what each method does and raises. Several threads may use it."""

    def __init__(self, stream: AsyncStream, thread: LoopThread) -> None:
        self._stream, self._thread = stream, thread

    def __enter__(self) -> Self:
        self._thread.call(self._stream.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def info(self) -> StreamInfo:
        """What is in force."""
        return self._stream.info

    @property
    def stats(self) -> Stats | None:
        """The newest statistics."""
        return self._stream.stats

    @property
    def summary(self) -> Summary | None:
        """The server's account, once the stream has ended."""
        return self._stream.summary

    @property
    def reconnections(self) -> int:
        """How often the connection was made again."""
        return self._stream.reconnections

    @property
    def samples_sent(self) -> int:
        """Samples taken from the program."""
        return self._stream.samples_sent

    @property
    def samples_delivered(self) -> int:
        """Samples of output received, each once."""
        return self._stream.samples_delivered

    def send(self, chunk: Chunk) -> None:
        """Send a chunk."""
        self._thread.call(self._stream.send(chunk))

    def configure(
        self, *, model: str | None = None, variant: str | None = None, attenuation_limit_db: float | None = None
    ) -> StreamInfo:
        """Change what the samples sent from now on go through."""
        return self._thread.call(
            self._stream.configure(model=model, variant=variant, attenuation_limit_db=attenuation_limit_db)
        )

    def receive(self) -> Chunk | None:
        """The next output; None after the last."""
        return self._thread.call(self._stream.receive())

    def __iter__(self) -> Iterator[Chunk]:
        """Output until the stream has ended."""
        while (chunk := self.receive()) is not None:
            yield chunk

    def end(self) -> Summary:
        """Say that no more input follows, and wait until all output is here."""
        return self._thread.call(self._stream.end())

    def enhance(self, chunks: Iterable[ChunkT]) -> Iterator[ChunkT]:
        """Send all chunks and the end, and give the output as it comes; ``chunks`` is read in another thread."""
        output = self._stream.enhance(chunks)
        try:
            while True:
                try:
                    yield self._thread.call(_next(output))
                except StopAsyncIteration:
                    return
        finally:
            with contextlib.suppress(RuntimeError):  # the client was closed first
                self._thread.call(output.aclose())  # type: ignore[attr-defined]

    def close(self) -> None:
        """Break the stream off, if it has not ended, and free its connection."""
        self._thread.call(self._stream.close())


async def _next(output: Any) -> Any:
    return await anext(output)
