"""A TCP proxy that cuts connections after so many bytes."""

from __future__ import annotations

import asyncio
import threading


class Proxy:
    """Forwards connections to a port on this machine.

    Args:
        port: Of the server.
        cuts: Connection number n is cut, without a word, after the server has sent ``cuts[n]`` bytes on it; connections
            beyond the list stay.

    Attributes:
        url: To connect to.
        connections: How many have been made.
    """

    def __init__(self, port: int, cuts: list[int]) -> None:
        self._port, self._cuts = port, cuts
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def cut(self) -> None:
        """Cut all connections now."""
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self._writers])

    def hold(self) -> None:
        """Pass nothing on any more, and cut nothing either."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def close(self) -> None:
        """Stop."""

        async def stop() -> None:
            self._server.close()
            self._passing.set()
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.sleep(0.05)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self._cuts[self.connections] if self.connections < len(self._cuts) else None
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, up_writer}
        try:
            await asyncio.gather(self._copy(reader, up_writer, None), self._copy(up_reader, writer, left))
        except OSError:
            pass
        finally:
            for one in (writer, up_writer):
                self._writers.discard(one)
                one.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        while data := await reader.read(4096):
            await self._passing.wait()
            if left is not None:
                data, left = data[:left], left - len(data)
            writer.write(data)
            await writer.drain()
            if left is not None and left <= 0:
                raise ConnectionResetError
        raise ConnectionResetError
