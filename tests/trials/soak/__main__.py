"""Many hours of audio through one server: ``python -m tests.trials.soak --hours 24 --out soak.json --plot docs/soak.png``.

Some streams go on from beginning to end, others come and go, all as fast as they are enhanced, and one live stream keeps
real time and tells the latency. The server's memory, descriptors and threads are looked at all the while. Fresh
streams send a settling passage and then a probe every so often; at the end the long ones do, too. What comes back for the
probe must be what the variant makes of the same passage without a server: neither the server nor a stream may drift.

Prints what has drifted and exits with 1, or with 0 when nothing has.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from loadtest.check import deviation
from models.offline import enhance
from models.zoo import SHIPPED, Variant, load_variant
from service.audio.pcm import encode

from ...service.crowd import Crowd, sounds
from ...service.process import Served, started
from .plot import draw
from .record import Probe, Record, look
from .streams import CHUNK, PROBE_SECONDS, RATE, FastStream, cut, make_programme

PROBES = 12  # fresh ones, over the run
SAMPLES = 400
SETTLE_SECONDS = 480.0  # after 400, crn/combined has forgotten what came before to 1e-6; after 120, to 4e-3
CHECKED_SECONDS = 60.0  # of the live stream's audio


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0, help="of audio, all streams together")
    parser.add_argument("--streams", type=int, default=8, help="at once; half of them go on all the time")
    parser.add_argument("--settle-seconds", type=float, default=SETTLE_SECONDS, help="before each probe")
    parser.add_argument("--variant", default="crn/combined")
    parser.add_argument("--zoo", type=Path, default=SHIPPED)
    parser.add_argument("--out", type=Path, default=Path("soak.json"))
    parser.add_argument("--plot", type=Path, default=None, help="picture to write")
    arguments = parser.parse_args()
    variant = load_variant(arguments.zoo / f"{arguments.variant}.onnx")
    flags = ["--zoo", arguments.zoo, "--max-streams", 4 * arguments.streams + 8, "--log-level", "warning"]
    settings = {"variants": [variant.name], "max_ahead_seconds": 1_000_000}
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), *flags, **settings) as served:
        soak = Soak(served, variant, arguments.hours, arguments.settle_seconds, arguments.out)
        record = asyncio.run(soak.run(arguments.streams))
        record.faults += served.log.splitlines()[:20]
    record.save(arguments.out)
    if arguments.plot is not None:
        draw(record, arguments.plot)
    last = record.samples[-1]
    speed = last.audio_hours / (last.seconds / 3600)
    print(f"{last.audio_hours:.2f} h of audio in {last.seconds / 60:.1f} min ({speed:.0f} h an hour), {record.streams} streams")
    print("\n".join(record.drift()) or "no drift")
    sys.exit(bool(record.drift()))


class Soak:
    """One run.

    Args:
        served: The server.
        variant: The network.
        hours: Of audio.
        settle_seconds: Before each probe.
        out: Where the record is kept up to date.
    """

    def __init__(self, served: Served, variant: Variant, hours: float, settle_seconds: float, out: Path) -> None:
        self._process, self._variant, self._out = psutil.Process(served.process.pid), variant, out
        self._url = f"{served.url}?model={variant.card.model}&variant={variant.card.variant}"
        self._target, self._samples = hours * 3600 * RATE, 0
        programme = make_programme(600.0)
        self._messages = cut(programme)
        probe = make_programme(settle_seconds + PROBE_SECONDS, seed=2)
        self._passage = cut(probe)
        enhanced = enhance(variant, probe.astype(np.float32) / np.float32(32768))
        self._expected = np.frombuffer(encode(enhanced[None], "pcm_s16le"), "<i2")[-PROBE_SECONDS * RATE :]
        self._random = np.random.default_rng(3)
        self._record = Record({"variant": variant.name, "hours": hours, "settle_seconds": settle_seconds})

    async def run(self, streams: int) -> Record:
        """From the first stream to the last probe."""
        self._record.setup["streams"] = streams
        self._begun = time.perf_counter()
        live = Crowd(self._url, sounds(self._variant, CHECKED_SECONDS))
        microphone = await live.join("ends")
        self._live = live
        watching = asyncio.create_task(self._watch())
        long = [asyncio.create_task(self._long(index)) for index in range((streams + 1) // 2)]
        others = [asyncio.create_task(self._come_and_go()) for _ in range(streams // 2)]
        await asyncio.gather(self._probe_now_and_then(), *long, *others)
        watching.cancel()
        await self._probe(iter(()), 0.0)
        microphone.stop()
        for one in await live.outcomes(10):
            if (one.code, one.received, one.fault) != (1000, one.sent, None):
                self._record.faults.append(f"the live stream: {one}")
        return self._record

    @property
    def _hours(self) -> float:
        return self._samples / RATE / 3600

    def _body(self, start: int, seconds: float = float("inf")) -> Iterator[bytes]:
        """Of the programme, until there is enough audio."""
        for sent, message in enumerate(itertools.islice(itertools.cycle(self._messages), start, None)):
            if self._samples >= self._target or sent * CHUNK >= seconds * RATE:
                return
            yield self._counted(message)

    def _counted(self, message: bytes) -> bytes:
        self._samples += CHUNK
        return message

    async def _probe(self, before: Iterator[bytes], stream_hours: float | None = None) -> None:
        """A stream that ends with the settling passage and the probe."""
        stream = FastStream(itertools.chain(before, map(self._counted, self._passage)), PROBE_SECONDS * RATE)
        await self._finish(stream)
        if stream.fault is None:
            if stream_hours is None:
                stream_hours = stream.sent / RATE / 3600 - len(self._passage) * CHUNK / RATE / 3600
            worst = deviation(stream.tail, self._expected)
            self._record.probes.append(Probe(round(self._hours, 4), round(stream_hours, 4), worst))

    async def _long(self, index: int) -> None:
        await self._probe(self._body(997 * index % len(self._messages)))

    async def _come_and_go(self) -> None:
        while self._samples < self._target:
            start, seconds = int(self._random.integers(len(self._messages))), float(self._random.uniform(1, 120))
            await self._finish(FastStream(self._body(start, seconds)))

    async def _probe_now_and_then(self) -> None:
        for number in range(PROBES):
            while self._samples < self._target * number / PROBES:
                await asyncio.sleep(0.05)
            if number and self._samples >= self._target:
                return  # a short run: it is over before the last probe was
            await self._probe(iter(()), 0.0)
            self._record.save(self._out)

    async def _finish(self, stream: FastStream) -> None:
        await stream.run(self._url)
        self._record.streams += 1
        if stream.fault is not None:
            self._record.faults.append(stream.fault)
            await asyncio.sleep(1)  # a server that refuses is not asked a thousand times a second

    async def _watch(self) -> None:
        """A sample whenever so much more audio has been enhanced."""
        heard = 0
        for number in itertools.count(1):
            while self._samples < self._target * number / SAMPLES:
                await asyncio.sleep(0.05)
            latencies = np.asarray(self._live.tallies[0].server_ms[heard:])
            heard += len(latencies)
            seconds = time.perf_counter() - self._begun
            self._record.samples.append(look(self._process, seconds, self._hours, latencies))


if __name__ == "__main__":
    main()
