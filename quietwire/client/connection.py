"""Opening one WebSocket connection: up to the server's ``ready``, or the reason why not."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from quietwire.client.address import Address
from quietwire.client.errors import ConnectionLostError, ServerError
from quietwire.client.messages import StreamInfo

OPEN_SECONDS = 10.0
# a server that waits for a client ahead of real time does not read its pings either
PONG_SECONDS = 120.0
SEND_BYTES = 1 << 17  # that wait in the kernel; left to itself it keeps megabytes, and pings lie behind minutes of audio


async def open_connection(address: Address, token: str | None, query: Mapping[str, Any]) -> tuple[ClientConnection, StreamInfo]:
    """Connect and wait for ``ready``. Environment variables for proxies are not looked at.

    Raises:
        ServerError: The server refused the stream.
        ConnectionLostError: No server answered, or none of ours.
    """
    given = {name: value for name, value in query.items() if value is not None}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        socket = await connect(
            f"{address.stream}?{urlencode(given)}",
            additional_headers=headers,
            compression=None,
            proxy=None,
            max_size=None,
            max_queue=None,  # what has arrived waits here, or sending and reading could wait for each other
            open_timeout=OPEN_SECONDS,
            ping_timeout=PONG_SECONDS,
            close_timeout=2,
        )
    except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
        raise ConnectionLostError(f"No stream could be opened at {address.stream} ({error}).") from error
    try:
        socket.transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BYTES)
        async with asyncio.timeout(OPEN_SECONDS):
            message = parse(await socket.recv())
        return socket, StreamInfo.parse(message)
    except TimeoutError as error:
        await socket.close()
        raise ConnectionLostError(f"{address.stream} does not say that it is ready.") from error
    except ConnectionClosed as error:
        raise ConnectionLostError(f"{address.stream} closed the connection ({error}).") from error
    except BaseException:
        await socket.close()
        raise


def parse(message: str | bytes) -> dict[str, Any]:
    """A text message of the server.

    Raises:
        ServerError: It is an error.
        ConnectionLostError: It is not JSON of the protocol (code ``bad_answer``).
    """
    try:
        content = json.loads(message)
        kind = content["type"]
    except (ValueError, TypeError, KeyError) as error:
        raise ConnectionLostError("The server's message is not Quietwire's: check the address.", "bad_answer") from error
    if kind == "error":
        raise ServerError(str(content.get("code")), str(content.get("message")))
    return dict(content)
