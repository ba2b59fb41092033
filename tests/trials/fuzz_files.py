"""Very many damaged files for the decoder: ``python -m tests.trials.fuzz_files --inputs 100000 --seed 1``.

Each is enhanced as an upload is, with the decoder in a process of its own, by a network that changes nothing. Prints how many
ended how. A broken promise stops it, and leaves the file that broke it as ``fuzz-<seed>-<number>.bin``.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import tempfile
import time
from collections import Counter
from pathlib import Path

from models.zoo import load_zoo
from service.files.decoders import Decoders
from tests.service.mutations import check, mutated, whole_files
from tests.service.zoo import build_zoo

SHOWN_SECONDS = 60.0  # between two looks at the count


def main() -> None:
    """Run until so many files have been tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="files")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level="WARNING", format="%(message)s")  # each decoder that was brought down
    ends: Counter[str] = Counter()
    begin = shown = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Decoders()) as decoders:
        variant = load_zoo(build_zoo(Path(folder))).variants["fcn", "pruned"]
        files = mutated(whole_files(), arguments.seed)
        for number, data in enumerate(itertools.islice(files, arguments.inputs)):
            try:
                ends[check(data, variant, decoders.open)] += 1
            except BaseException:
                Path(f"fuzz-{arguments.seed}-{number}.bin").write_bytes(data)
                raise
            if time.perf_counter() - shown > SHOWN_SECONDS:
                shown = time.perf_counter()
                print(_told(ends, shown - begin), flush=True)
    print(f"{_told(ends, time.perf_counter() - begin)}; no promise broken")


def _told(ends: Counter[str], seconds: float) -> str:
    return f"{ends.total()} files, {seconds:.0f} s: " + ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))


if __name__ == "__main__":
    main()
