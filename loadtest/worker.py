"""A generator process: ``python -m loadtest.worker`` reads one job from its input and writes what it measures."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys

from loadtest.generator import Job, Progress, generate


def main() -> None:
    """Carry out the job. Both ends of the pipes are this program's own processes, so pickle is safe on them."""
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # what anything prints must not come between the pickles
        job: Job = pickle.load(sys.stdin.buffer)  # noqa: S301

        def report(progress: Progress) -> None:
            pickle.dump(progress, output)
            output.flush()

        try:
            result = asyncio.run(generate(job, report))
        except KeyboardInterrupt:
            return
        pickle.dump(result, output)


if __name__ == "__main__":
    main()
