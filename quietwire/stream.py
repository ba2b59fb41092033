"""``quietwire stream``: a file or the microphone through a running server at real-time pace, with the latency shown."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import numpy as np
import soundfile
import typer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

CHUNK_SECONDS = 0.02


class StreamError(Exception):
    """The stream could not be made or was ended by the server."""


USER_ERRORS: tuple[type[Exception], ...] = (StreamError,)


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(stream)


def stream(
    source: Annotated[Path | None, typer.Argument(help="Audio file; the default microphone when left out.")] = None,
    target: Annotated[Path | None, typer.Argument(help="WAV file for the enhanced audio.")] = None,
    url: Annotated[str, typer.Option(help="The server.")] = "ws://127.0.0.1:8000/ws/enhance",
    model: Annotated[str | None, typer.Option(help="Network.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant.")] = None,
    attenuation_limit_db: Annotated[float, typer.Option(min=0, max=100, help="Lower noise by at most this much.")] = 100.0,
    token: Annotated[str | None, typer.Option(envvar="QUIETWIRE_TOKEN", help="API key.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of a recording from the microphone.")] = 10.0,
) -> None:
    """Send audio to a running server at real-time pace and print the latency as it goes."""
    rate, channels, chunks = _microphone(seconds) if source is None else _file(source)
    if target is not None and not target.parent.is_dir():
        raise StreamError(f"{target} cannot be written: make the folder {target.parent} first")
    query: dict[str, object] = {"sample_rate": rate, "channels": channels, "attenuation_limit_db": attenuation_limit_db}
    query |= {name: value for name, value in (("model", model), ("variant", variant)) if value}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        asyncio.run(_run(f"{url}?{urlencode(query)}", headers, chunks, target, rate, channels))
    except (OSError, InvalidHandshake, InvalidURI) as error:
        raise StreamError(f"no connection to {url} ({error}): start the server with `quietwire serve`") from error
    except ConnectionClosed as error:
        raise StreamError(f"the server closed the connection ({error})") from error


async def _run(
    url: str, headers: dict[str, str], chunks: AsyncIterator[bytes], target: Path | None, rate: int, channels: int
) -> None:
    received: list[bytes] = []
    async with connect(url, additional_headers=headers, compression=None) as socket:
        sender = asyncio.create_task(_send(socket, chunks))
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    received.append(message)
                else:
                    _show(json.loads(message))
        finally:
            sender.cancel()
    if target is not None:
        samples = np.frombuffer(b"".join(received), dtype="<i2").reshape(-1, channels)
        try:
            soundfile.write(target, samples, rate, subtype="PCM_16", format="WAV")
        except soundfile.LibsndfileError as error:
            raise StreamError(f"{target} cannot be written ({error})") from error
        print(f"{len(samples)} samples written to {target}")


async def _send(socket: ClientConnection, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        await socket.send(chunk)
    await socket.send('{"type": "end"}')


def _show(message: dict[str, Any]) -> None:
    match message["type"]:
        case "stats":
            if sys.stderr.isatty() or message["seq"] % 50 == 0:
                end = "\r" if sys.stderr.isatty() else "\n"
                latency, compute = message["latency_ms"], message["compute_ms"]
                print(
                    f"chunk {message['seq']:6d}  latency {latency:7.2f} ms  compute {compute:6.2f} ms", end=end, file=sys.stderr
                )
        case "error":
            raise StreamError(f"{message['message']} ({message['code']})")
        case _:
            print(json.dumps(message))


def _file(path: Path) -> tuple[int, int, AsyncIterator[bytes]]:
    try:
        audio = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise StreamError(f"{path} cannot be read as audio ({error})") from error

    async def chunks() -> AsyncIterator[bytes]:
        begin, sent = time.monotonic(), 0
        with audio:
            for block in audio.blocks(round(audio.samplerate * CHUNK_SECONDS), dtype="int16", always_2d=True):
                sent += len(block)
                await asyncio.sleep(max(0.0, begin + sent / audio.samplerate - time.monotonic()))
                yield block.astype("<i2").tobytes()

    return audio.samplerate, audio.channels, chunks()


def _microphone(seconds: float) -> tuple[int, int, AsyncIterator[bytes]]:
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise StreamError('the microphone needs sounddevice: pip install "quietwire[audio]", or name a file') from error
    try:
        rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
    except sounddevice.PortAudioError as error:
        raise StreamError(f"no microphone was found ({error}): connect one, or name a file") from error

    async def chunks() -> AsyncIterator[bytes]:
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes]()

        def take(data: Any, frames: int, when: Any, status: Any) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, bytes(data))

        block = round(rate * CHUNK_SECONDS)
        with sounddevice.RawInputStream(rate, block, channels=1, dtype="int16", callback=take):
            for _ in range(round(seconds / CHUNK_SECONDS)):
                yield await queue.get()

    return rate, 1, chunks()
