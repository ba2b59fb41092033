"""Streaming change of sample rate: independent of the cuts, aligned in time, and as late as it says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.resampling import StreamResampler

from .client import noise, tones

PAIRS = [(rate, 16000) for rate in (8000, 11025, 12345, 22050, 44100, 48000)]
PAIRS += [(target, source) for source, target in PAIRS]


def resample(audio, source, target, lengths):
    resampler, parts, start = StreamResampler(source, target, len(audio)), [], 0
    for length in [*lengths, audio.shape[1]]:
        parts.append(resampler.process(audio[:, start : start + length]))
        start += length
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.one_of(st.integers(0, 5), st.integers(0, 700)), max_size=30), channels=st.integers(1, 2))
def test_how_the_signal_is_cut_changes_nothing(source, target, lengths, channels):
    audio = noise(0.1, 2, source, channels)
    whole, cut = resample(audio, source, target, []), resample(audio, source, target, lengths)
    count = min(whole.shape[1], cut.shape[1])
    assert abs(whole.shape[1] - cut.shape[1]) <= 1
    np.testing.assert_allclose(cut[:, :count], whole[:, :count], atol=1e-5)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_output_belongs_to_the_time_of_its_input(source, target):
    frequencies = (200, 1000, 2900)
    found = resample(tones(2.0, source, frequencies)[None], source, target, [source // 50] * 100)
    expected = tones(2.0, target, frequencies)
    assert found.shape[1] > 1.98 * target
    np.testing.assert_allclose(found[0], expected[: found.shape[1]], atol=3e-4)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_output_is_there_after_the_delay_that_is_stated(source, target):
    resampler, received, lags = StreamResampler(source, target, 1), 0, []
    for sent in range(1, 2001):
        received += resampler.process(np.zeros((1, 1), np.float32)).shape[1]
        lags.append(sent / source - received / target)
    slack = 1 / min(source, target)  # of the two grids
    assert max(lags) <= resampler.delay_seconds + slack
    assert max(lags) >= resampler.delay_seconds - 2 * slack


def test_equal_rates_hand_the_samples_on():
    audio = noise(0.1, channels=2)
    resampler = StreamResampler(16000, 16000, 2)
    assert np.array_equal(resampler.process(audio), audio)
    assert resampler.delay_seconds == 0


def test_three_minutes_of_small_messages_do_not_drift():
    resampler = StreamResampler(44100, 16000, 1)
    message, received = np.zeros((1, 882), np.float32), 0
    for _ in range(9000):
        received += resampler.process(message).shape[1]
    expected = 9000 * 320 - math.ceil(resampler.delay_seconds * 16000)
    assert abs(received - expected) <= 1


def test_a_signal_above_the_lower_rate_is_removed():
    audio = tones(0.5, 48000, (11000,), 0.5)
    assert np.abs(resample(audio[None], 48000, 16000, [])).max() < 1e-3
