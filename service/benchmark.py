"""`quietwire benchmark`: what one step of each variant costs, for one stream and for a batch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from models.zoo import SHIPPED, Variant, load_zoo
from service.tables import print_table


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(benchmark)


def step_seconds(variant: Variant, streams: int, hops: int, seconds: float) -> tuple[float, float]:
    """Median and 99th percentile of the time of one step of so many streams and hops, measured for ``seconds``.

    The input is noise at -20 dBFS: silence is no easier, but a real signal is what counts.
    """
    audio = 0.1 * np.random.default_rng(0).standard_normal((50, streams, hops * variant.hop)).astype(np.float32)
    state = np.tile(variant.initial_state, (streams, 1))
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 20:
        begin = time.perf_counter()
        _, state = variant.step(audio[len(times) % 50], state)
        times.append(time.perf_counter() - begin)
    median, high = np.percentile(times[5:], [50, 99])
    return float(median), float(high)


def benchmark(
    chunk_ms: Annotated[int, typer.Option(min=10, max=1000, help="Length of a chunk; whole hops of 10 ms.")] = 20,
    streams: Annotated[int, typer.Option(min=1, max=64, help="Streams in the batch of the last columns.")] = 16,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure each.")] = 5.0,
    zoo: Annotated[Path, typer.Option(help="Folder with <model>/<variant>.onnx and their cards.")] = SHIPPED,
) -> None:
    """Measure the networks alone, one thread: real-time factor of one stream, and streams that a core could step in time."""
    table = Table(
        "variant", "ms per chunk", "p99 ms", "real-time factor", f"ms for {streams} streams", "streams a core can step"
    )
    for variant in load_zoo(zoo).variants.values():
        hops = max(1, round(chunk_ms / 1000 * variant.sample_rate / variant.hop))
        chunk = hops * variant.hop / variant.sample_rate
        alone, high = step_seconds(variant, 1, hops, seconds)
        together, _ = step_seconds(variant, streams, hops, seconds)
        table.add_row(
            variant.name,
            f"{alone * 1000:.3f}",
            f"{high * 1000:.3f}",
            f"{alone / chunk:.4f}",
            f"{together * 1000:.2f}",
            f"{streams * chunk / together:.0f}",
        )
    print_table(table)
