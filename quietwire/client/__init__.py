"""Python client of a Quietwire server: live streams and files, synchronous and asyncio.

Imports numpy and websockets, and nothing of the server; files go over the standard library's HTTP client.

    from quietwire import Client

    with Client("http://127.0.0.1:8000") as client, client.stream(sample_rate=48000) as stream:
        for enhanced in stream.enhance(chunks):
            play(enhanced)
"""

from quietwire.client.aio import AsyncClient
from quietwire.client.errors import ConnectionLostError, QuietwireError, ServerError
from quietwire.client.files import FileResult
from quietwire.client.messages import ChunkStats, Reconnection, StreamInfo, Summary, VariantInfo, WindowStats
from quietwire.client.options import Reconnect
from quietwire.client.stream import AsyncStream
from quietwire.client.sync import Client, Stream

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "ChunkStats",
    "Client",
    "ConnectionLostError",
    "FileResult",
    "QuietwireError",
    "Reconnect",
    "Reconnection",
    "ServerError",
    "Stream",
    "StreamInfo",
    "Summary",
    "VariantInfo",
    "WindowStats",
]
