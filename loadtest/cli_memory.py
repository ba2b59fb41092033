"""`quietwire memory`: what a live stream adds to a server's memory."""

from __future__ import annotations

import asyncio
import shlex
import time
from typing import Annotated
from urllib.parse import urlencode

import typer

from loadtest.errors import LoadtestError, require_extra
from loadtest.options import numbers

SERVER = {"QUIETWIRE_IDLE_SECONDS": "3600", "QUIETWIRE_MAX_LOAD": "1"}  # silent streams stay, and all that can be are let in


def memory(
    streams: Annotated[str, typer.Option(help="Numbers of live streams at which the memory is read.")] = "50,75,100",
    seconds: Annotated[float, typer.Option(min=0.2, help="How long each stream talks before it falls silent.")] = 2.0,
    model: Annotated[str | None, typer.Option(help="Network; the server's default where none is given.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant; the server's default where none is given.")] = None,
    sample_rate: Annotated[int, typer.Option(min=8000, max=48000, help="Of the streams, in Hz.")] = 16000,
    server_args: Annotated[str, typer.Option(help='More for the server, as "--workers 2".')] = "--max-streams 2000",
) -> None:
    """Start a server, open streams that talk for a while, and read its resident memory: kB that a live stream adds.

    Also says how long the server took to start.
    """
    require_extra()
    from loadtest.audio import load_recordings
    from loadtest.memory import WARM_UP, read_memory, stream_bytes
    from loadtest.server import ServerWatch, started_server

    counts = sorted(set(numbers(streams, "--streams")))
    if len(counts) < 2 or counts[0] <= WARM_UP:
        raise LoadtestError(f"--streams {streams!r} gives no slope: name two numbers or more, all above {WARM_UP}")
    messages = load_recordings([], sample_rate, 20, 30, 1)[0].messages()
    query = {"sample_rate": sample_rate} | {name: value for name, value in (("model", model), ("variant", variant)) if value}
    began = time.perf_counter()
    with started_server(None, shlex.split(server_args), environment=SERVER, pinned=False) as (url, pid):
        started, watch = time.perf_counter() - began, ServerWatch(pid)
        typer.echo(f"started in {started:.2f} s, {watch.processor_seconds():.2f} s of processor time")
        readings = asyncio.run(read_memory(f"{url}?{urlencode(query)}", messages, counts, seconds, watch.resident))
    typer.echo("\n| streams | server MB |\n| --: | --: |")
    for reading in readings:
        typer.echo(f"| {reading.streams} | {reading.resident / 1e6:.1f} |")
    typer.echo(f"\n{stream_bytes(readings) / 1e3:.0f} kB a live stream")
