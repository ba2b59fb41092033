"""What one step of a variant costs in time, measured with the network alone in a loop."""

from __future__ import annotations

import time

import numpy as np

from models.zoo import Variant

CHUNK_MS = 20  # of a live stream


def chunk_hops(variant: Variant, chunk_ms: float = CHUNK_MS) -> int:
    """Hops in a chunk of about so many milliseconds, at least one."""
    return max(1, round(chunk_ms / 1000 * variant.sample_rate / variant.hop))


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


def real_time_factor(variant: Variant, seconds: float, chunk_ms: float = CHUNK_MS) -> float:
    """Median time of one stream's chunk over the chunk's length, on as many threads as the variant was loaded with."""
    hops = chunk_hops(variant, chunk_ms)
    return step_seconds(variant, 1, hops, seconds)[0] * variant.sample_rate / (hops * variant.hop)
