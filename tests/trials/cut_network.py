"""A cable is pulled: ``python -m tests.trials.cut_network``, as root on Linux.

A client in a network namespace of its own streams through a bridge, and the bridge loses it: no packet arrives any more, and
neither side is told. When it comes back after ``--short`` seconds the stream must end with all its samples, equal to what
the variant makes of them without a server. When it stays away the server must end the stream within its idle time
and keep nothing of it. A stream beside both must notice neither.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from models.zoo import SHIPPED, load_variant
from tests.service.client import until
from tests.service.crowd import Crowd, sounds
from tests.service.process import ROOT, Served, started

SPACE, BRIDGE, PLUG, CABLE = "quietwire-cut", "qw-bridge", "qw-plug", "qw-cable"
SERVER, CLIENT = "10.213.7.1", "10.213.7.2"
VARIANT = "crn/combined"
LONGEST = 120.0  # seconds of sound that a client compares with
IDLE_SECONDS = 10.0
BEFORE_SECONDS = 4.0  # live before the cable is pulled
LAG_SECONDS = 10.0  # of the server's steps on a busy machine


def ip(*words: str) -> None:
    """Change the network; it is an error when that fails."""
    subprocess.run(["ip", *words], check=True)


def plug_in() -> None:
    """Join the client's cable to the bridge."""
    ip("link", "set", PLUG, "master", BRIDGE)


def pull() -> None:
    """Take it out: both interfaces stay up, and what they send is lost."""
    ip("link", "set", PLUG, "nomaster")


@contextlib.contextmanager
def network() -> Iterator[None]:
    """A bridge that the server is on, and a namespace whose only cable is in it."""
    ip("netns", "add", SPACE)
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "add", PLUG, "type", "veth", "peer", "name", CABLE, "netns", SPACE)
        ip("addr", "add", f"{SERVER}/24", "dev", BRIDGE)
        ip("-n", SPACE, "addr", "add", f"{CLIENT}/24", "dev", CABLE)
        plug_in()
        for place in (["link", "set", BRIDGE], ["link", "set", PLUG], ["-n", SPACE, "link", "set", CABLE]):
            ip(*place, "up")
        yield
    finally:
        for kind in (["netns", "del", SPACE], ["link", "del", PLUG], ["link", "del", BRIDGE]):
            subprocess.run(["ip", *kind], stderr=subprocess.DEVNULL)  # the plug goes with the namespace, sooner or later


async def one_stream(url: str) -> dict[str, object]:
    """A stream that ends when standard input does, and how it ended."""
    crowd = Crowd(url, sounds(load_variant(SHIPPED / f"{VARIANT}.onnx"), LONGEST)[:1])
    microphone = await crowd.join("ends")
    await asyncio.to_thread(sys.stdin.read)
    microphone.stop()
    return dataclasses.asdict((await crowd.outcomes(LONGEST))[0])


def client(url: str, inside: bool) -> subprocess.Popen[str]:
    """The same in a process of its own, behind the cable or beside it."""
    space = ["ip", "netns", "exec", SPACE] if inside else []
    command = [*space, sys.executable, "-m", "tests.trials.cut_network", "--client", url]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def faults(name: str, process: subprocess.Popen[str]) -> list[str]:
    """End a stream; what is wrong with how it did."""
    said, _ = process.communicate(timeout=LONGEST)
    outcome = json.loads(said)
    print(f"{name}: {outcome['received']} of {outcome['sent']} samples, close {outcome['code']}")
    whole = (outcome["code"], outcome["received"], outcome["fault"]) == (1000, outcome["sent"], None)
    return [] if whole else [f"{name}: {outcome}"]


async def run(served: Served, short: float) -> list[str]:
    """Both cuts; what was wrong."""
    query = "?model=crn&variant=combined"
    behind, beside = f"ws://{SERVER}:{served.port}/ws/enhance{query}", f"{served.url}{query}"
    live, process = "quietwire_live_streams", psutil.Process(served.process.pid)
    before = process.num_fds()
    other, away = client(beside, inside=False), client(behind, inside=True)
    await until(lambda: served.metric(live) == 2, LONGEST)
    await asyncio.sleep(BEFORE_SECONDS)
    pull()
    await asyncio.sleep(short)
    plug_in()
    await asyncio.sleep(BEFORE_SECONDS)
    wrong = faults(f"cut for {short:g} s", away)

    lost = client(behind, inside=True)
    await until(lambda: served.metric(live) == 2, LONGEST)
    await asyncio.sleep(BEFORE_SECONDS)
    pull()
    begin = time.monotonic()
    await until(lambda: served.metric(live) < 2, IDLE_SECONDS + LAG_SECONDS)
    print(f"cut for good: ended {time.monotonic() - begin:.1f} s later, idle time {IDLE_SECONDS:g} s")
    lost.kill()
    lost.wait()
    wrong += faults("beside both", other)
    await until(lambda: served.metric(live) == 0 and process.num_fds() <= before, LAG_SECONDS)
    return wrong


def main() -> None:
    """Run it, or the one client that it runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=float, default=3.0, help="seconds, below the server's idle time")
    parser.add_argument("--client", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(asyncio.run(one_stream(given.client))))
        return
    if os.name != "posix" or os.geteuid() != 0:
        sys.exit("this needs Linux and root: run it as `sudo python -m tests.trials.cut_network`")
    with network(), tempfile.TemporaryDirectory() as folder:
        flags = ["--host", "0.0.0.0", "--log-level", "warning"]
        with started(Path(folder), *flags, variants=[VARIANT], idle_seconds=IDLE_SECONDS) as served:
            wrong = asyncio.run(run(served, given.short))
            wrong += served.log.splitlines()[:10]
    print("\n".join(wrong) or "nothing else was disturbed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
