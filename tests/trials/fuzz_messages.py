"""Very many random messages for the message handler: ``python -m tests.trials.fuzz_messages --inputs 100000 --seed 1``.

Prints how many conversations ended how. A broken promise stops it with the smallest conversation that breaks it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from models.zoo import load_zoo
from tests.service.conversations import Conversations, conversations
from tests.service.zoo import build_zoo

ROUND = 100  # conversations between two looks at the count
PHASES = [Phase.generate, Phase.shrink]


def main() -> None:
    """Run until so many messages have been handled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="messages")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    ends: Counter[int] = Counter()
    handled, number, begin = 0, arguments.seed, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Conversations(load_zoo(build_zoo(Path(folder)))) as have:

        @settings(max_examples=ROUND, deadline=None, database=None, phases=PHASES, suppress_health_check=HealthCheck)
        @given(conversation=conversations)
        def some(conversation):
            nonlocal handled
            handled += 1 + len(conversation[1])
            ends[have(*conversation)] += 1

        while handled < arguments.inputs:
            seed(number)(some)()
            number += 1
            print(f"\r{handled} messages", end="", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - begin
    told = ", ".join(f"{count} with {code}" for code, count in sorted(ends.items()))
    print(f"\r{handled} messages in {ends.total()} conversations, {seconds:.0f} s: {told}; no promise broken")


if __name__ == "__main__":
    main()
