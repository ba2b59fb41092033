"""Very many silent connections beside a live stream: ``python -m tests.trials.silent_connections --connections 10000``.

On an idle machine all of them are there before the first is cut off, after 10 s. The stream must end with all its samples,
equal to what the variant makes of them without a server, and afterwards the server must be ready and hold nothing. Prints what
they cost it. Needs a limit of that many open files and some more (``ulimit -Hn``), here and for the server.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from models.zoo import SHIPPED, load_variant
from tests.service.client import until
from tests.service.crowd import Crowd, sounds
from tests.service.process import Served, started

SPARE = 200  # descriptors for everything else
BATCH = 100
SETTLE_SECONDS = 3.0
CUT_OFF_SECONDS = 60.0


async def crowd_out(served: Served, connections: int) -> list[str]:
    """Connect, wait until all are cut off again, and say what was wrong."""
    process = psutil.Process(served.process.pid)
    heard = sounds(load_variant(SHIPPED / "crn/combined.onnx"), 120)
    crowd = Crowd(f"{served.url}?model=crn&variant=combined", heard)
    microphone = await crowd.join("ends")
    await asyncio.sleep(SETTLE_SECONDS)
    undisturbed = len(crowd.tallies[0].server_ms)
    before, rss, begin = process.num_fds(), process.memory_info().rss, time.perf_counter()
    silent, most = [], 0
    for _ in range(0, connections, BATCH):
        silent += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", served.port) for _ in range(BATCH)))
        most = max(most, process.num_fds() - before)
    seconds, held = time.perf_counter() - begin, process.memory_info().rss - rss
    print(f"{len(silent)} connections in {seconds:.1f} s, {most} of them held at once, {held / 1e6:.0f} MB")
    await until(lambda: process.num_fds() <= before, CUT_OFF_SECONDS)
    for _, writer in silent:
        writer.close()
    await until(lambda: httpx.get(f"{served.http}/readyz").status_code == 200)
    microphone.stop()
    [outcome] = await crowd.outcomes(10)
    print(f"the live stream: {outcome}")
    latencies = crowd.tallies[0].server_ms
    alone, beside = max(latencies[:undisturbed]), max(latencies[undisturbed:])
    print(f"its latency, as the server says: {alone:.1f} ms at most before, {beside:.1f} ms then")
    whole = (outcome.code, outcome.received, outcome.fault) == (1000, outcome.sent, None)
    return [] if whole else ["the live stream was disturbed"]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    connections = parser.parse_args().connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < connections + SPARE:
        sys.exit(f"only {hard} open files are allowed: raise the limit with `ulimit -Hn {connections + SPARE}` as root")
    resource.setrlimit(resource.RLIMIT_NOFILE, (connections + SPARE, hard))
    limits = {"RLIMIT_NOFILE": connections + SPARE}
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--log-level", "warning"]
        with started(Path(folder), *flags, limits=limits, variants=["crn/combined"]) as served:
            wrong = asyncio.run(crowd_out(served, connections))
            wrong += served.log.splitlines()[:10]
    print("\n".join(wrong) or "nothing was disturbed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
