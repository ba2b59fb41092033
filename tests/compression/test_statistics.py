"""Relative losses over pairs, with known answers."""

import numpy as np
import pytest

from compression.errors import EvaluationError
from compression.evaluation.statistics import relative_loss


def test_a_loss_in_proportion_has_no_spread_however_the_pairs_differ() -> None:
    original = np.random.default_rng(1).uniform(1, 4, 50)
    loss = relative_loss(original, 0.97 * original)
    assert (loss.percent, loss.low, loss.high) == pytest.approx((3, 3, 3))
    assert loss.pairs == 50


def test_a_gain_is_a_negative_loss() -> None:
    assert relative_loss([1.0, 2.0], [1.1, 2.2]).percent == pytest.approx(-10)


def test_the_loss_is_that_of_the_means() -> None:
    loss = relative_loss([1.0, 3.0], [1.0, 2.0])
    assert loss.percent == pytest.approx(25)  # not the mean of 0 % and 33 %
    assert loss.low == 0
    assert loss.high == pytest.approx(100 / 3)


def test_the_interval_agrees_with_theory() -> None:
    random = np.random.default_rng(2)
    difference = random.normal(0.02, 0.1, 4000)
    loss = relative_loss(np.full(4000, 2.0), 2 - difference)
    half = 1.96 * difference.std() / np.sqrt(4000) / 2 * 100
    assert loss.percent == pytest.approx(100 * difference.mean() / 2)
    assert (loss.high - loss.low) / 2 == pytest.approx(half, rel=0.05)


def test_the_interval_holds_the_truth_in_19_of_20_experiments() -> None:
    random = np.random.default_rng(3)
    hits = 0
    for seed in range(300):
        original = random.uniform(2, 3, 60)
        loss = relative_loss(original, 0.99 * original + random.normal(0, 0.05, 60), draws=500, seed=seed)
        hits += loss.low <= 1 <= loss.high
    assert 0.91 <= hits / 300 <= 0.98


def test_a_seed_repeats_the_interval_and_draws_in_blocks_change_nothing_known() -> None:
    random = np.random.default_rng(4)
    original, variant = random.uniform(1, 2, 30), random.uniform(1, 2, 30)
    assert relative_loss(original, variant, seed=5) == relative_loss(original, variant, seed=5)
    assert relative_loss(original, variant, seed=5) != relative_loss(original, variant, seed=6)


@pytest.mark.parametrize(
    ("original", "variant", "message"),
    [
        ([1.0, 2.0], [1.0], "same two or more pairs"),
        ([1.0], [1.0], "same two or more pairs"),
        ([1.0, float("nan")], [1.0, 2.0], "finite"),
        ([-1.0, -2.0], [1.0, 2.0], "above 0"),
    ],
)
def test_what_has_no_relative_loss_is_refused(original: list[float], variant: list[float], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        relative_loss(original, variant)
