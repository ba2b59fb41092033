"""What a variant loses against ``original``, measured on the same pairs, with an interval that says how sure this is.

Both systems are run on the same recordings, so most of the spread from recording to recording is common to both and
drops out: pairs are drawn again with replacement, each with both its values (paired bootstrap, Efron 1979), and the loss
is computed anew for every draw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compression.errors import EvaluationError

Floats = npt.NDArray[np.float64]
DRAWS = 10_000
BLOCK = 1_000_000  # values drawn at a time


@dataclasses.dataclass(frozen=True)
class RelativeLoss:
    """Loss of the mean in percent; negative where the variant is better.

    Attributes:
        percent: ``100 * (1 - mean(variant) / mean(original))``.
        low: Lower end of the 95 % interval.
        high: Upper end.
        pairs: Over how many pairs.
    """

    percent: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.percent:.2f} % [{self.low:.2f}, {self.high:.2f}]"


def relative_loss(original: Sequence[float], variant: Sequence[float], draws: int = DRAWS, seed: int = 1) -> RelativeLoss:
    """Loss of a variant's mean against the original's, with a 95 % interval by paired bootstrap.

    Args:
        original: A measure of which more is better and whose mean is positive, one value a pair.
        variant: The same pairs in the same order.
        draws: Of the bootstrap.
        seed: Of these; the same gives the same interval.

    Raises:
        EvaluationError: Different numbers of pairs, fewer than two, values that are not finite, or a mean not above 0.
    """
    before, after = np.asarray(original, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    if before.ndim != 1 or before.shape != after.shape or len(before) < 2:
        raise EvaluationError("a loss is measured over the same two or more pairs: evaluate both systems on the same folder")
    if not np.isfinite(before).all() or not np.isfinite(after).all() or before.mean() <= 0:
        raise EvaluationError("a relative loss needs finite values with a mean above 0: use PESQ, STOI or ESTOI")
    random, count = np.random.default_rng(seed), len(before)
    losses: list[Floats] = []
    for start in range(0, draws, block := max(1, BLOCK // count)):
        drawn = random.integers(0, count, (min(block, draws - start), count))
        losses.append(100 * (1 - after[drawn].mean(1) / before[drawn].mean(1)))
    low, high = np.percentile(np.concatenate(losses), [2.5, 97.5])
    return RelativeLoss(float(100 * (1 - after.mean() / before.mean())), float(low), float(high), count)
