"""The server: uvicorn with our way of taking connections, that drains before it stops."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from models.zoo import Zoo
from service.app import create_app
from service.http.connection import HttpConnection
from service.live.transport import Transport
from service.processes.acceptor import Acceptor, listen
from service.processes.reloading import Reloader
from service.settings import Settings


class Server(uvicorn.Server):
    """Uvicorn that lets live streams finish before it closes their connections.

    Args:
        config: Of uvicorn.
        listening: Called with the port once connections are taken.
    """

    def __init__(self, config: uvicorn.Config, listening: Callable[[int], None]) -> None:
        super().__init__(config)
        self._listening = listening
        self._reloader: Reloader | None = None
        self._listeners: list[socket.socket] = []
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, on these sockets or on those of the settings, and tell the port."""
        self._listeners = sockets or listen(self.config.host, self.config.port)
        await super().startup([])  # everything but the listening
        self.prepare()
        self._acceptors = [Acceptor(one, self.protocol, self.fullness, self.config.ssl) for one in self._listeners]
        for acceptor in self._acceptors:
            acceptor.start()
        self._listening(self._listeners[0].getsockname()[1])

    def prepare(self) -> None:
        """What is to be done between the start of the application and the first connection."""
        self._reloader = Reloader(self.application.state.runtime)

    def fullness(self) -> float:
        """How eagerly to take connections, from 0 to 1: a server that is alone does not wait for others to take them."""
        return 0.0

    def protocol(self) -> asyncio.Protocol:
        """A connection's protocol, as uvicorn makes it for sockets that it listens on itself."""
        config, state = self.config, self.lifespan.state
        made: asyncio.Protocol = config.http_protocol_class(config=config, server_state=self.server_state, app_state=state)  # type: ignore[call-arg]
        return made

    def reload(self) -> None:
        """Read the folder of variants again; for a handler of signals. Nothing happens before the server has started."""
        if self._reloader is not None:
            self._reloader.request()

    def leave(self) -> None:
        """Take no connection more; those that are taken go on."""
        for acceptor in self._acceptors:
            acceptor.stop()

    async def drain(self) -> None:
        """Let streams finish."""
        await self.application.state.runtime.drain()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop as uvicorn does."""
        await self.drain()
        self.leave()
        for one in self._listeners:
            one.close()
        await super().shutdown(sockets)

    @property
    def application(self) -> FastAPI:
        """Ours, without what uvicorn wraps it in."""
        app = self.config.loaded_app
        while not isinstance(app, FastAPI):
            app = app.app
        return app


def keep_start() -> None:
    """Take what the start has made out of garbage collection, in a process that only serves: none of it is garbage, and to
    look through it all would hold up every stream for 50 ms."""
    gc.freeze()


def make_server(settings: Settings, zoo: Zoo | None = None, listening: Callable[[int], None] = lambda port: None) -> Server:
    """A server that is not started yet; ``run`` serves until SIGTERM or SIGINT.

    Args:
        settings: Of the service.
        zoo: Loaded variants.
        listening: Called with the port once connections are taken.
    """
    return Server(server_config(settings, create_app(settings, zoo)), listening)


def server_config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    """How uvicorn is to serve the application."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="asyncio",  # uvloop, where it is installed, took more time a message and answered later
        http=HttpConnection,
        ws=Transport,
        ws_per_message_deflate=False,
        ws_max_size=settings.max_message_bytes,
        ws_ping_timeout=None,  # a client ahead of real time is not read from, nor are its pongs; there is an idle time
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        access_log=False,  # request lines would carry tokens
        log_config=None,  # its lines go where ours go
        log_level="warning",
        timeout_graceful_shutdown=5,
        server_header=False,
    )
