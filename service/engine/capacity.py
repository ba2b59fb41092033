"""How many more live streams the machine can keep in time, measured rather than guessed.

At the start each variant is timed alone and in a batch, which gives the fixed time of a step and the time of a row. While
the server runs, steps that take longer than that predicts (another program, a throttled processor) raise the estimate, and
the event loop's own time a second of audio is measured too. A stream is let in if all streams together, this one
included, would leave both threads the part of their time that ``max_load`` keeps free.

Nothing is measured while there are no streams, so both estimates then return to what they began with: else a bad moment
would refuse streams for ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from models.timing import chunk_hops
from models.zoo import Variant

ROWS, HOPS = 8, 2  # of the batch that is timed; in a loaded server batches are larger still
FULL_BATCH = 16  # rows over which a step's fixed time is shared out when the server is loaded
LOOP_SECONDS = 0.002  # of the event loop for a second of audio in 20 ms messages, until it is measured
SMOOTHING_SECONDS = 0.5  # of predicted steps: a mean weighted so is that of the sums, whatever a single step took
SMOOTHING_AUDIO = 20.0  # seconds of audio
IDLE_SECONDS = 10.0  # without a stream, after which what was measured under streams is mostly forgotten
MOST_SLOWDOWN = 20.0  # that one step can tell of: in a longer one the whole machine stood still


class Capacity:
    """Costs in processors: 0.01 is a hundredth of one.

    Args:
        cores: Processors that this process has; with two or more, engine and event loop run side by side.
        max_load: Share of a processor that admitted streams may take.
    """

    def __init__(self, cores: float, max_load: float) -> None:
        self._cores, self._max_load = cores, max_load
        self._times: dict[str, tuple[float, float]] = {}  # seconds: of a step, and of each row and hop on top
        self._hop_seconds: dict[str, float] = {}
        self.slowdown = 1.0
        self.loop_cost = LOOP_SECONDS

    @property
    def one_processor(self) -> bool:
        """Whether engine and event loop have to share one."""
        return self._cores < 2

    def calibrate(self, variant: Variant, rounds: int = 1) -> None:
        """Time a variant's steps; takes about three of them.

        Args:
            variant: The network.
            rounds: How often, where live streams may be in the way; the shortest times count.
        """
        one = min(self._time(variant, 1) for _ in range(rounds))
        many = min(self._time(variant, ROWS) for _ in range(2 * rounds))
        row = max(many - one, 0.05 * many) / (ROWS - 1) / HOPS
        self._times[variant.name] = max(0.0, one - row * HOPS), row
        self._hop_seconds[variant.name] = variant.hop / variant.sample_rate

    @staticmethod
    def _time(variant: Variant, rows: int) -> float:
        audio = np.random.default_rng(0).normal(0, 0.1, (rows, HOPS * variant.hop)).astype(np.float32)
        state = np.tile(variant.initial_state, (rows, 1))
        begin = time.perf_counter()
        variant.step(audio, state)
        return time.perf_counter() - begin

    def observe_step(self, name: str, rows: int, hops: int, seconds: float) -> None:
        """Compare a step with what was predicted; called by the engine's thread."""
        fixed, row = self._times.get(name, (0.0, 0.0))
        expected = fixed + row * rows * hops
        if expected > 0:
            slowdown = min(seconds / expected, MOST_SLOWDOWN)
            self.slowdown += (slowdown - self.slowdown) * min(1.0, expected / SMOOTHING_SECONDS)

    def observe_loop(self, seconds: float, audio_seconds: float) -> None:
        """Take the event loop's processor time for so much live audio into account."""
        if audio_seconds > 0:
            cost = seconds / audio_seconds
            self.loop_cost += (cost - self.loop_cost) * min(1.0, audio_seconds / SMOOTHING_AUDIO)

    def rest(self, seconds: float) -> None:
        """So long there were no streams."""
        share = min(1.0, seconds / IDLE_SECONDS)
        self.slowdown += (1.0 - self.slowdown) * share
        self.loop_cost += (LOOP_SECONDS - self.loop_cost) * share

    def cost(self, variant: Variant) -> float:
        """Share of a processor that one channel of a stream takes in the engine of a loaded server."""
        fixed, row = self._times.get(variant.name, (0.0, 0.0))
        hop_seconds = self._hop_seconds.get(variant.name, 1.0)
        return self.slowdown * (fixed / FULL_BATCH / chunk_hops(variant) + row) / hop_seconds

    def load(self, streams: Iterable[tuple[Variant, int]]) -> float:
        """Share of the time of the busier thread (of the processor, where there is but one) that streams take.

        Args:
            streams: Variant and channels of each.
        """
        engine = loop = 0.0
        costs: dict[str, float] = {}
        for variant, channels in streams:
            if variant.name not in costs:
                costs[variant.name] = self.cost(variant)
            engine += costs[variant.name] * channels
            loop += self.loop_cost
        return (engine + loop) / self._cores if self.one_processor else max(engine, loop)

    def fits(self, streams: Iterable[tuple[Variant, int]]) -> bool:
        """Whether these streams could all be kept in time."""
        return self.load(streams) <= self._max_load
