"""Measures with known answers, and signals for which they are not defined."""

import numpy as np
import pytest

from models.measures import measure, si_sdr, stoi, wide_band_pesq


def noise(samples: int, level: float = 0.05, seed: int = 1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_a_perfect_estimate_scores_highest(voice) -> None:
    clean = voice(3)
    scores = measure(clean, clean)
    assert scores["pesq"] == pytest.approx(4.64, abs=0.01)
    assert scores["stoi"] == pytest.approx(1, abs=1e-3)
    assert scores["estoi"] == pytest.approx(1, abs=1e-3)
    assert scores["si_sdr"] == pytest.approx(100, abs=1e-3)


def test_more_noise_scores_lower_on_every_measure(voice) -> None:
    clean = voice(3)
    rows = [measure(clean, clean + noise(len(clean), level)) for level in (0.003, 0.03, 0.3)]
    for name in rows[0]:
        values = [row[name] for row in rows]
        assert values == sorted(values, reverse=True), name


@pytest.mark.parametrize("decibels", [-10.0, 0.0, 20.0])
def test_si_sdr_of_orthogonal_noise_is_the_energy_ratio_at_any_scale(decibels: float) -> None:
    time = np.arange(8000) * (2 * np.pi / 100)
    clean, other = np.sin(time).astype(np.float32), np.sin(3 * time).astype(np.float32)
    estimate = 0.1 + 3 * (clean + 10 ** (-decibels / 20) * other)
    assert si_sdr(clean, estimate) == pytest.approx(decibels, abs=1e-3)


def test_the_training_loss_and_the_evaluation_mean_the_same_si_sdr(voice) -> None:
    import torch

    from compression.losses import enhancement

    clean = voice(1)
    estimate = clean + noise(len(clean))
    trained = enhancement.si_sdr(torch.from_numpy(estimate)[None], torch.from_numpy(clean)[None]).item()
    assert si_sdr(clean, estimate) == pytest.approx(trained, abs=1e-3)


def test_what_is_not_defined_is_missing(voice) -> None:
    clean, silence = voice(2), np.zeros(32000, dtype=np.float32)
    undefined = dict.fromkeys(("pesq", "stoi", "estoi", "si_sdr"))
    assert measure(silence, noise(32000)) == undefined
    assert measure(clean, silence) == undefined
    assert measure(silence[:0], silence[:0]) == undefined


def test_an_estimate_that_is_not_finite_has_no_measures(voice) -> None:
    clean = voice(2)
    for value in (np.nan, np.inf):
        estimate = clean.copy()
        estimate[100] = value
        assert set(measure(clean, estimate).values()) == {None}


def test_too_short_speech_has_no_intelligibility_and_no_pesq(voice) -> None:
    clean = voice(0.2)
    assert wide_band_pesq(clean, clean) is None
    assert stoi(clean, clean) is None
    mostly_silent = np.concatenate([voice(1)[:3000], np.zeros(30000, dtype=np.float32)])
    assert stoi(mostly_silent, mostly_silent) is None


def test_pesq_of_long_recordings_is_the_mean_over_stretches(voice) -> None:
    clean = np.concatenate([voice(6)] * 4)
    estimate = clean + noise(len(clean)) * np.linspace(0, 1, len(clean), dtype=np.float32)
    halves = [wide_band_pesq(clean[part], estimate[part]) for part in (slice(0, 192000), slice(192000, None))]
    assert halves[0] > halves[1] + 0.1
    assert wide_band_pesq(clean, estimate) == pytest.approx(sum(halves) / 2)
    estimate[192000:] = 0
    assert wide_band_pesq(clean, estimate) is None  # what was lost is not left out of the mean
    clean[192000:] = 0
    assert wide_band_pesq(clean, estimate) == pytest.approx(halves[0])


def test_pesq_survives_more_utterances_than_it_has_room_for() -> None:
    bursts = noise(60 * 16000, 0.1) * (np.arange(60 * 16000) % 7040 < 3520)
    assert wide_band_pesq(bursts, bursts) == pytest.approx(4.64, abs=0.01)


def test_signals_of_different_lengths_are_refused(voice) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        measure(voice(1), voice(2))
