"""`quietwire benchmark`: what one step of each variant costs, for one stream and for a batch."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from models.timing import CHUNK_MS, chunk_hops, step_seconds
from models.zoo import SHIPPED, load_zoo
from service.commands.options import ZooOption
from service.commands.tables import print_table


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(benchmark)


def benchmark(
    chunk_ms: Annotated[int, typer.Option(min=10, max=1000, help="Length of a chunk, rounded to whole hops.")] = CHUNK_MS,
    streams: Annotated[int, typer.Option(min=1, max=64, help="Streams in the batch of the last columns.")] = 16,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure each.")] = 5.0,
    zoo: ZooOption = SHIPPED,
) -> None:
    """Measure the networks alone, one thread: real-time factor of one stream, and streams that a core could step in time."""
    table = Table(
        "variant", "ms per chunk", "p99 ms", "real-time factor", f"ms for {streams} streams", "streams a core can step"
    )
    for variant in load_zoo(zoo).variants.values():
        hops = chunk_hops(variant, chunk_ms)
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
