"""One client's audio, independent of how it travels: samples in, as many enhanced samples out, aligned.

Input is resampled to the model's rate and goes to the network; output is resampled back, mixed with
the input according to the attenuation limit, and cut to what the client has sent. Output sample ``n`` belongs to input
sample ``n``, whatever delays lie between.

Switching the variant runs both for a moment: the new one is warmed up on the last 0.3 s and takes over with a
cross-fade, so nothing clicks, and nothing is lost or doubled, though the two may have different hops and delays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.zoo import Variant
from service.audio.attenuation import AttenuationLimit
from service.audio.fifo import SampleFifo
from service.audio.history import History
from service.audio.resampling import StreamResampler
from service.engine.lane import Timing
from service.engine.thread import Engine
from service.errors import ServiceError
from service.live.variant_path import VariantPath

Array = npt.NDArray[np.float32]
FADE = 160  # samples at the model's rate
WARM_UP = 4800
BURST_SECONDS = 0.25  # that may come at once and is live all the same


class EnhancementStream:
    """See the module's docstring. All methods and callbacks run in the event loop.

    Args:
        engine: Where the networks are stepped.
        variant: The network to begin with.
        sample_rate: Of the client, in Hz.
        channels: Each is enhanced on its own.
        attenuation_limit_db: Noise is lowered by at most this much.
        deliver: Called with output ``[channels, samples]`` as soon as there is any.
        progressed: Called after every step, with or without output.
        fail: Called once when the engine could not go on.

    Raises:
        ServiceError: The engine has no room.
    """

    def __init__(
        self,
        engine: Engine,
        variant: Variant,
        sample_rate: int,
        channels: int,
        attenuation_limit_db: float,
        deliver: Callable[[Array], None],
        progressed: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._engine, self._channels, self._rate, self._model_rate = engine, channels, sample_rate, variant.sample_rate
        self._deliver, self._progressed, self._fail = deliver, progressed, fail
        self._down = StreamResampler(sample_rate, variant.sample_rate, channels)
        self._up = StreamResampler(variant.sample_rate, sample_rate, channels)
        self._limit = AttenuationLimit(attenuation_limit_db, sample_rate)
        self._dry, self._wet = SampleFifo(channels), SampleFifo(channels)
        self._history = History(channels, WARM_UP)  # at the model's rate
        self._mixed = 0  # position at the model's rate up to which output was taken
        self._begun: float | None = None
        self._due, self._due_to = 0.0, 0  # when what lies at a position of the history is due
        self._spent, self._resets = 0.0, 0
        self.samples_in = self.samples_out = 0
        self._paths = [self._path(variant, 0, 0)]

    @property
    def variant(self) -> Variant:
        """The variant that the next sample will go through."""
        return self._paths[-1].variant

    @property
    def attenuation_limit_db(self) -> float:
        """The limit that the next sample will get."""
        return self._limit.limit_db

    @property
    def latency_seconds(self) -> float:
        """Algorithmic latency: hop, network and both resamplers."""
        variant = self.variant
        return (variant.hop + variant.delay) / self._model_rate + self._down.delay_seconds + self._up.delay_seconds

    @property
    def position(self) -> int:
        """Samples at the model's rate that have gone to the engine; ``reached`` tells when they are through."""
        return max([path.fed for path in self._paths])

    @property
    def waiting_seconds(self) -> float:
        """Audio that has gone to the engine and is not stepped yet."""
        return max([path.fed - path.done for path in self._paths]) / self._model_rate

    @property
    def ahead_seconds(self) -> float:
        """How far the client is ahead of real time."""
        return 0.0 if self._begun is None else self.samples_in / self._rate - (time.perf_counter() - self._begun)

    @property
    def timing(self) -> Timing:
        """Of the newest step."""
        return self._paths[0].timing

    @property
    def compute_seconds(self) -> float:
        """This stream's share of the time spent stepping."""
        return self._spent + sum(path.compute_seconds for path in self._paths)

    @property
    def resets(self) -> int:
        """How often a channel's state was no longer finite and began anew; the output of that step was silence."""
        return self._resets + sum(path.resets for path in self._paths)

    def reached(self, position: int) -> bool:
        """Whether all output that samples up to a position gave rise to has been delivered."""
        return not [path for path in self._paths if path.done < position and path.done < path.fed]

    def feed(self, audio: Array) -> None:
        """Take input ``[channels, samples]``."""
        if self._begun is None:
            self._begun = time.perf_counter()
        self.samples_in += audio.shape[1]
        self._dry.append(audio)
        self._push(audio)

    def configure(self, variant: Variant | None, attenuation_limit_db: float | None) -> None:
        """Change what the next sample will go through.

        Raises:
            ServiceError: The engine has no room for the other variant.
        """
        if attenuation_limit_db is not None:
            self._limit.change(self.samples_in, attenuation_limit_db)
        if variant is None or variant is self.variant:
            return
        begin = math.ceil(self.samples_in * self._model_rate / self._rate)
        if len(self._paths) > 1:
            newest = self._paths[-1]
            if newest.begin >= begin:  # nothing goes through it yet: take its place
                begin = newest.begin
                self._retire(self._paths.pop())
                self._paths[-1].until = math.inf  # should there be no room for what follows
            else:
                begin = max(begin, newest.begin + FADE)
        earliest = max(self._history.begin, begin - WARM_UP)
        # whole hops from the stream's first sample on, so that frames lie as if the variant had always been on
        start = min(math.ceil(earliest / variant.hop) * variant.hop, self._history.end)
        path = self._path(variant, start, begin)
        left = self._paths[-1]  # still needed until the cross-fade is through its delay
        left.until = begin + FADE + left.variant.delay
        self._paths.append(path)
        if self._history.end > start:
            path.submit(self._history, self._deadline())

    def finish(self) -> None:
        """No more input: feed as much silence as it takes to get the last sample out."""
        lag = max(path.variant.delay + 2 * path.variant.hop for path in self._paths) + 2 * FADE
        seconds = lag / self._model_rate + 2 * (self._down.delay_seconds + self._up.delay_seconds)
        self._push(np.zeros((self._channels, math.ceil(seconds * self._rate) + 2), dtype=np.float32))

    def close(self) -> None:
        """Give everything back; nothing is delivered afterwards."""
        while self._paths:
            self._retire(self._paths.pop())

    def _retire(self, path: VariantPath) -> None:
        path.close()
        self._spent += path.compute_seconds
        self._resets += path.resets

    def _path(self, variant: Variant, start: int, begin: int) -> VariantPath:
        try:
            return VariantPath(self._engine, variant, self._channels, start, begin, self._advance, self._fail)
        except MemoryError as error:
            raise ServiceError("overloaded", "The server holds no room for another stream: try again later.") from error

    def _deadline(self) -> float:
        """When what comes next is due, on the clock of ``time.perf_counter``: as it comes, or in real time behind what waits.

        So a file that is sent ahead of time, or what a client has to catch up on after a silence, waits behind what is live,
        but for the first ``BURST_SECONDS``; and a client that is ahead once and keeps that lead, as its clock is fast or
        it has recorded while it connected, is as live as all others.
        """
        now, end = time.perf_counter(), self._history.end
        self._due += (end - self._due_to) / self._model_rate
        if self._due < now or not self.waiting_seconds:
            self._due = now
        self._due_to = end
        return self._due - BURST_SECONDS

    def _push(self, audio: Array) -> None:
        deadline = self._deadline()
        samples = self._down.process(audio)
        if samples.shape[1]:
            self._history.append(samples)
            for path in self._paths:
                path.submit(self._history, deadline)

    def _advance(self) -> None:
        """Take what the paths have, in order, cross-fading where one hands over to the next."""
        while self._paths:
            current = self._paths[0]
            count = current.available
            if len(self._paths) > 1:
                count = min(count, self._paths[1].begin - self._mixed)
            if count:
                self._emit(current.take(count))
            if len(self._paths) == 1 or self._mixed < self._paths[1].begin:
                break
            if min(current.available, self._paths[1].available) < FADE:
                break
            rise: Array = (np.arange(FADE, dtype=np.float32) + np.float32(0.5)) / np.float32(FADE)
            self._emit(current.take(FADE) * (1 - rise) + self._paths[1].take(FADE) * rise)
            self._retire(self._paths.pop(0))
        self._progressed()

    def _emit(self, enhanced: Array) -> None:
        self._mixed += enhanced.shape[1]
        self._wet.append(self._up.process(enhanced))
        count = min(len(self._wet), self.samples_in - self.samples_out)
        if count > 0:
            self.samples_out += count
            mixed = self._wet.take(count)
            if self._limit.off:  # as mostly: what came in need not be put together for it
                self._dry.skip(count)
                self._limit.skip(count)
            else:
                mixed = self._limit.mix(self._dry.take(count), mixed)
            self._deliver(mixed)
