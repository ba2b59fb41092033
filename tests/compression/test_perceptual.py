"""The perceptual terms of the loss against the measures that they follow."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from pesq import pesq
from pystoi import stoi

from compression.losses.perceptual import SHORTEST_EXAMPLE, perceptual_losses

DATA = Path(__file__).parents[1] / "data"
SNRS = (-5, 5, 15, 25)


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    return torch.from_numpy(soundfile.read(DATA / "speech_en.flac", dtype="float32", frames=48000)[0]).unsqueeze(0)


@pytest.fixture(scope="module")
def noise(clean: torch.Tensor) -> torch.Tensor:
    street = torch.from_numpy(soundfile.read(DATA / "noise_street.flac", dtype="float32")[0])
    street = street.repeat(-(-clean.shape[1] // len(street)))[: clean.shape[1]]
    return (street * (clean.square().mean() / street.square().mean()).sqrt()).unsqueeze(0)


def mixtures(clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return torch.cat([clean + 10 ** (-snr / 20) * noise for snr in SNRS])


def test_nothing_is_lost_by_a_perfect_estimate(clean: torch.Tensor) -> None:
    disturbance, unintelligible = perceptual_losses(clean, clean)
    assert disturbance.item() == pytest.approx(0, abs=1e-3)
    assert unintelligible.item() == pytest.approx(0, abs=1e-5)


def test_both_terms_order_mixtures_as_pesq_and_stoi_do(clean: torch.Tensor, noise: torch.Tensor) -> None:
    noisy, reference = mixtures(clean, noise), clean[0].numpy()
    disturbance, unintelligible = perceptual_losses(noisy, clean.expand(len(SNRS), -1))
    measured = [pesq(16000, reference, x.numpy(), "wb") for x in noisy]
    assert (np.argsort(disturbance.numpy()) == np.argsort(measured)[::-1]).all()
    expected = [stoi(reference, x.numpy(), 16000) for x in noisy]
    np.testing.assert_allclose(1 - unintelligible.numpy(), expected, atol=0.06)


def test_added_noise_disturbs_more_than_the_same_energy_left_out(clean: torch.Tensor) -> None:
    added = clean + 0.5 * clean.roll(8000, 1)
    disturbance, _ = perceptual_losses(torch.cat([added, 0.5 * clean]), clean.expand(2, -1))
    assert disturbance[0] > disturbance[1] > 0.1


def test_the_level_of_a_recording_changes_nothing_but_a_wrong_level_does(clean: torch.Tensor, noise: torch.Tensor) -> None:
    noisy = clean + 0.3 * noise
    expected, quiet = perceptual_losses(noisy, clean), perceptual_losses(0.01 * noisy, 0.01 * clean)
    torch.testing.assert_close(quiet, expected, rtol=1e-3, atol=1e-4)
    assert perceptual_losses(0.5 * clean, clean)[0] > 0.1


@pytest.mark.parametrize("kind", ["silent", "perfect"])
def test_gradients_are_finite_at_silence_and_at_perfection(clean: torch.Tensor, kind: str) -> None:
    estimate = (clean if kind == "perfect" else torch.zeros_like(clean)).clone().requires_grad_()
    torch.autograd.backward(sum(term.sum() for term in perceptual_losses(estimate, clean)))
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


def test_the_shortest_example_is_long_enough(clean: torch.Tensor) -> None:
    short = clean[:, 16000 : 16000 + int(SHORTEST_EXAMPLE * 16000)]
    assert perceptual_losses(0.9 * short, short)[1].shape == (1,)
