"""A signal to a real server under many live streams: ``python -m tests.trials.faults_under_load SIGTERM --streams 100``.

SIGTERM and SIGINT stop the server: streams that end within the drain time must lose no sample, the others must be told
(1012). SIGHUP replaces its workers, one after the other (``--workers``), while more streams come: none of those may be
refused or lose a sample. SIGKILL leaves it no time: its clients see 1006, and all they received must be right. Each stream
counts its samples and compares them with what the variant makes of the same speech without a server.

Prints how many streams ended how; a broken promise gives exit code 1. ``--out`` gets every stream.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from models.zoo import SHIPPED, load_variant
from tests.service.client import until
from tests.service.crowd import CHUNK_MS, Outcome, Plan, broken_promises, live_through, sounds
from tests.service.process import started
from tests.service.zoo import build_zoo

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGKILL")
SHOWN = 10  # broken promises


def main() -> None:
    """Run one signal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("signal", choices=SIGNALS)
    parser.add_argument("--streams", type=int, default=100, help="live when it happens; a fifth of them never ends")
    parser.add_argument("--workers", type=int, default=None, help="2 for SIGHUP, else 1")
    parser.add_argument("--seconds", type=float, default=5.0, help="live before it happens")
    parser.add_argument("--drain-seconds", type=float, default=10.0)
    parser.add_argument("--chunk-ms", type=int, default=CHUNK_MS, help="longer ones cost the event loop less")
    parser.add_argument("--variant", default="crn/combined")
    parser.add_argument("--small", action="store_true", help="a small untrained network, where the variant costs too much")
    parser.add_argument("--out", type=Path, default=None, help="JSON with every stream")
    arguments = parser.parse_args()
    number = signal.Signals[arguments.signal]
    rolling, killed = number == signal.SIGHUP, number == signal.SIGKILL
    workers = arguments.workers or (2 if rolling else 1)
    staying = arguments.streams if killed else arguments.streams // 5
    plan = Plan(
        arguments.streams - staying,
        staying,
        arguments.seconds,
        0.8 * arguments.drain_seconds,
        arguments.drain_seconds,
        0.1 if rolling else None,
    )
    longest = arguments.seconds + 0.1 * arguments.streams + (workers + 1) * (arguments.drain_seconds + 20)
    with tempfile.TemporaryDirectory() as folder:
        zoo = build_zoo(Path(folder)) if arguments.small else SHIPPED
        variant = load_variant(zoo / f"{'crn/original' if arguments.small else arguments.variant}.onnx")
        heard = sounds(variant, longest, arguments.chunk_ms)
        flags = ["--workers", workers, "--drain-seconds", arguments.drain_seconds, "--max-streams", 4 * arguments.streams]
        flags += ["--zoo", zoo, "--log-level", "warning"]
        with started(Path(folder), *flags, variants=[variant.name]) as served:
            before = served.workers

            async def replaced() -> None:
                patience = 2 * workers * (arguments.drain_seconds + 20)
                await until(lambda: len(served.workers) == workers and not served.workers & before, patience)

            query = f"?model={variant.card.model}&variant={variant.card.variant}"
            over = replaced if rolling else None
            outcomes = asyncio.run(
                live_through(served.url + query, heard, plan, lambda: served.process.send_signal(number), over)
            )
            code = None if rolling else served.process.wait(20)
            said = served.log
    network = f"an untrained network of {variant.card.parameters:,} parameters" if arguments.small else variant.name
    print(f"{arguments.signal} under {arguments.streams} live streams of {network}, exit code {code}")
    print(table(outcomes))
    print(said, end="", file=sys.stderr)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps([dataclasses.asdict(one) for one in outcomes], indent=1))
    broken = broken_promises(outcomes, killed)
    if code not in (None, -signal.SIGKILL if killed else 0):
        broken.append(f"the server's exit code was {code}")
    print("\n".join(broken[:SHOWN]) or "no promise broken")
    if len(broken) > SHOWN:
        print(f"… and {len(broken) - SHOWN} more")
    if any(one.error == "overloaded" for one in outcomes):
        print("the machine was too slow, or too busy, for so many streams: try fewer")
    sys.exit(bool(broken))


def table(outcomes: list[Outcome]) -> str:
    """Streams that ended alike, with the sums of their samples."""
    alike: dict[tuple[str, int, str | None], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        alike[one.role, one.code, one.error].append(one)
    lines = ["| streams | that | close | samples sent | received | told | not received, worst |"]
    lines.append("|--:|---|---|--:|--:|--:|--:|")
    for (role, code, error), group in sorted(alike.items(), key=str):
        told = sum(one.told[1] for one in group if one.told)
        sent, received = sum(one.sent for one in group), sum(one.received for one in group)
        worst = max(one.sent - one.received for one in group)
        lines.append(f"| {len(group)} | {role} | {code} {error or ''} | {sent} | {received} | {told or '–'} | {worst} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
