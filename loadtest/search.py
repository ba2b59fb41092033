"""The largest number of streams that passes: doubling until one fails, then bisection."""

from __future__ import annotations

from collections.abc import Callable


def find_maximum(passes: Callable[[int], bool], start: int, ceiling: int, precision: float = 0.02, known: int = 0) -> int:
    """Search, on the understanding that what fails with n streams fails with more.

    Args:
        passes: Measures so many streams.
        start: Where to begin, at least 1.
        ceiling: Most streams to try.
        precision: Stop when the gap between what passed and what failed is this share of what passed, or one stream.
        known: A number that has passed already.

    Returns:
        The largest number that passed; 0 when none did, not even one stream.
    """
    good, bad, trial = known, ceiling + 1, min(max(start, known + 1), ceiling)
    while trial < bad and trial > good:
        if passes(trial):
            good = trial
        else:
            bad = trial
        if bad > ceiling:
            trial = min(2 * good, ceiling)
        elif bad - good <= max(1, int(precision * good)):
            break
        else:
            trial = (good + bad) // 2
    return good
