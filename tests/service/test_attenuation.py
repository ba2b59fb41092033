"""How far noise may be lowered: shares of the unprocessed signal, and how they change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.attenuation import AttenuationLimit, dry_gain

RATE = 16000
RAMP = 160
DRY, ENHANCED = np.ones((1, 2000), np.float32), np.zeros((1, 2000), np.float32)  # so that the mix is the gain


def gains(limit, lengths=()):
    """The share of the unprocessed signal at each of 2000 samples, mixed in pieces."""
    ends = np.minimum(np.cumsum([*lengths, 2000]), 2000)
    starts = np.concatenate([[0], ends[:-1]])
    parts = [limit.mix(DRY[:, start:end], ENHANCED[:, start:end]) for start, end in zip(starts, ends, strict=True)]
    return np.concatenate(parts, axis=1)[0]


@pytest.mark.parametrize(("decibels", "share"), [(0, 1), (6, 0.501187), (20, 0.1), (40, 0.01), (99.9, 1.01158e-5), (100, 0)])
def test_the_share_of_a_limit(decibels, share):
    assert dry_gain(decibels) == pytest.approx(share, rel=1e-5)
    np.testing.assert_allclose(gains(AttenuationLimit(decibels, RATE)), share, rtol=1e-5)


def test_bypass_and_no_limit_hand_the_samples_on_untouched():
    random = np.random.default_rng(0).standard_normal((2, 2, 500)).astype(np.float32)
    assert np.array_equal(AttenuationLimit(0, RATE).mix(*random), random[0])
    assert np.array_equal(AttenuationLimit(100, RATE).mix(*random), random[1])


def test_skipped_samples_count_for_changes_that_come_later():
    limit = AttenuationLimit(100, RATE)
    assert limit.off
    limit.skip(500)
    limit.change(700, 0)
    assert not limit.off  # though the next samples are as they are: the change is near
    found = gains(limit)
    assert (found[:200] == 0).all()
    assert (found[200 + RAMP :] == 1).all()
    assert not limit.off
    assert not AttenuationLimit(20, RATE).off


def test_a_change_fades_over_10_ms_from_its_sample_on():
    limit = AttenuationLimit(0, RATE)
    limit.change(700, 100)
    expected = np.clip(1 - (np.arange(2000) - 699) / RAMP, 0, 1)
    np.testing.assert_allclose(gains(limit), expected, atol=1e-5)
    assert limit.limit_db == 100


def test_the_last_of_several_changes_at_one_sample_counts():
    limit = AttenuationLimit(0, RATE)
    for decibels in (100, 50, 20):
        limit.change(300, decibels)
    found = gains(limit)
    assert (found[:300] == 1).all()
    np.testing.assert_allclose(found[300 + RAMP :], 0.1, atol=1e-6)


def test_changes_that_no_sample_goes_through_do_not_pile_up():
    limit = AttenuationLimit(100, 16000)
    for decibels in range(100):
        limit.change(50, decibels)
    assert (len(limit._changes), limit.limit_db) == (1, 99)


def test_a_change_during_a_fade_turns_round_where_it_is():
    limit = AttenuationLimit(0, RATE)
    limit.change(100, 100)
    limit.change(180, 0)  # half way
    found = gains(limit)
    assert found.min() == pytest.approx(0.5, abs=1e-4)
    assert found[259] == pytest.approx(1, abs=1e-4)
    assert np.abs(np.diff(found)).max() < 1.01 / RAMP


@settings(max_examples=30, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1999), st.sampled_from([0, 6, 20, 100])), max_size=6),
    lengths=st.lists(st.integers(0, 500), max_size=12),
)
def test_how_the_signal_is_cut_changes_nothing_and_nothing_jumps(changes, lengths):
    found = []
    for pieces in ([], lengths):
        limit = AttenuationLimit(6, RATE)
        for position, decibels in sorted(changes, key=lambda change: change[0]):
            limit.change(position, decibels)
        found.append(gains(limit, pieces))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)
    assert np.abs(np.diff(found[0])).max() < 1.01 / RAMP
    assert -1e-6 < found[0].min() <= found[0].max() < 1 + 1e-6
