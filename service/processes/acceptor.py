"""Connections from a listening socket, which several worker processes may share: the fuller one is, the later it takes one.

The kernel wakes all workers that wait for a connection, and the first to accept has it for as long as the stream lasts.
Left to chance, a full worker would turn a stream away while its neighbour idles. So a worker waits a moment before it accepts,
in proportion to what it holds, and much longer when it has no room: only when nobody else has taken the connection
does it, to say so. Nothing is exchanged between the workers.

A process that is alone takes connections in the same way, and not in asyncio's: out of file descriptors, that one tries, fails
and writes a traceback once for every connection that the backlog could hold, every second, and streams wait meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from service.http.connection import HEAD_SECONDS

SPREAD_SECONDS = 0.02  # what a worker waits that is as good as full
FULL_SECONDS = 0.2  # what one waits that has no room
FULL_BATCH = 64  # connections that one takes at once then: nobody else wants them
RETRY_SECONDS = 1.0  # after running out of file descriptors
BACKLOG = 2048

log = logging.getLogger(__name__)


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on all addresses of a host; port 0 takes a free one.

    Raises:
        OSError: One of them cannot be had.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as stack:
        sockets = []
        for family, _, _, _, address in dict.fromkeys(found):
            one = socket.create_server((address[0], port), family=family, backlog=BACKLOG)
            sockets.append(stack.enter_context(one))
            port = port or one.getsockname()[1]
        stack.pop_all()
    return sockets


class Acceptor:
    """Takes connections between ``start`` and ``stop``; both in the event loop.

    Args:
        listening: A socket that listens; it is not closed.
        protocol: Makes the protocol of a connection.
        fullness: From 0, empty or alone, to 1, no room.
        tls: For connections that are to be encrypted.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        fullness: Callable[[], float],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listening, self._protocol, self._fullness, self._tls = listening, protocol, fullness, tls
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def start(self) -> None:
        """Begin."""
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._knock)

    def stop(self) -> None:
        """Take no more; what is taken goes on."""
        self._stopped = True
        self._loop.remove_reader(self._listening)
        if self._timer is not None:
            self._timer.cancel()

    def _knock(self) -> None:
        fullness = self._fullness()
        if fullness <= 0:
            self._take(1)
        elif fullness < 1:
            self._wait(fullness * SPREAD_SECONDS, 1)
        else:
            self._wait(FULL_SECONDS, FULL_BATCH)

    def _wait(self, seconds: float, connections: int) -> None:
        self._loop.remove_reader(self._listening)
        self._timer = self._loop.call_later(seconds, self._take_late, connections)

    def _take_late(self, connections: int) -> None:
        self._loop.add_reader(self._listening, self._knock)
        self._take(connections)

    def _take(self, connections: int) -> None:
        for _ in range(connections):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # another worker has it, or nobody any more
            except OSError as error:
                log.error("connections cannot be taken for the moment: %s", error.strerror)
                self._wait(RETRY_SECONDS, 1)
                return
            task = self._loop.create_task(self._connect(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            # asyncio does so only for sockets that it made itself. Without it a stream that is late once stays late: the kernel
            # keeps each answer until the one before is acknowledged, which a client does with its next message
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            patience = HEAD_SECONDS if self._tls else None
            await self._loop.connect_accepted_socket(self._protocol, accepted, ssl=self._tls, ssl_handshake_timeout=patience)
        except OSError:
            accepted.close()
