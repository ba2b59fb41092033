"""Training losses with known answers."""

import cmath
import math

import pytest
import torch

from compression.data.batches import Aimed
from compression.losses.enhancement import LossWeights, attenuation, compressed_spectrum, enhancement_loss, si_sdr
from compression.losses.residual import Residual, beside_speech
from compression.training.stretches import stretched


def signals(batch: int = 3, samples: int = 8000) -> tuple[torch.Tensor, torch.Tensor]:
    """Two orthogonal signals of equal energy."""
    time = torch.arange(samples) * (2 * torch.pi / 100)
    return (0.2 * torch.sin(time)).expand(batch, -1), (0.2 * torch.sin(3 * time)).expand(batch, -1)


@pytest.mark.parametrize("decibels", [-10.0, 0.0, 20.0])
def test_si_sdr_of_orthogonal_noise_is_the_energy_ratio(decibels: float) -> None:
    clean, noise = signals()
    torch.testing.assert_close(
        si_sdr(clean + noise * 10 ** (-decibels / 20), clean), torch.full((3,), decibels), atol=1e-3, rtol=0
    )


def test_si_sdr_knows_neither_scale_nor_offset() -> None:
    clean, noise = signals()
    estimate = clean + 0.3 * noise
    expected = si_sdr(estimate, clean)
    torch.testing.assert_close(si_sdr(-7 * estimate + 0.1, 0.5 * clean - 0.2), expected, atol=1e-3, rtol=0)


def test_the_compressed_magnitude_is_that_of_the_compressed_spectrum() -> None:
    magnitude, spectrum = compressed_spectrum(signals()[0], 512, 128)
    loud = magnitude > 0.5  # far above the floor that keeps gradients finite
    torch.testing.assert_close(spectrum.square().sum(-1).sqrt()[loud], magnitude[loud], atol=1e-4, rtol=1e-4)


def test_a_perfect_estimate_has_the_lowest_loss() -> None:
    clean, noise = signals()
    noisy = clean + noise
    losses = [enhancement_loss(clean + share * noise, noisy, clean).item() for share in (0, 0.1, 0.5, 1)]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(-3.0)  # 30 dB, where the SI-SDR part ends


def test_a_teacher_s_output_is_a_second_target_of_spectrum_and_ratio() -> None:
    clean, noise = signals()
    noisy, example, estimate = clean + noise, clean + 0.3 * noise, clean + 0.2 * noise
    parts = [enhancement_loss(estimate, noisy, target).item() for target in (clean, example)]
    taught = enhancement_loss(estimate, noisy, clean, example=example, share=0.25).item()
    assert taught == pytest.approx(0.75 * parts[0] + 0.25 * parts[1])
    heard = LossWeights(disturbance=1.0, intelligibility=2.0)
    added = enhancement_loss(estimate, noisy, clean, heard, example=example, share=0.25).item() - taught
    assert added == pytest.approx(enhancement_loss(estimate, noisy, clean, heard).item() - parts[0], abs=1e-5)
    assert added > 0


def test_an_error_at_high_frequencies_costs_as_much_as_one_as_many_times_louder_at_low_ones() -> None:
    time = torch.arange(8000) / 16000
    clean, low, high = (
        level * torch.sin(2 * torch.pi * hertz * time)[None] for level, hertz in ((0.2, 500), (0.02, 300), (0.02, 6000))
    )

    def ratio(error: torch.Tensor, emphasis: float) -> float:
        weights = LossWeights(sdr=1.0 - emphasis, emphasised_sdr=emphasis)
        nothing = LossWeights(sdr=0.0)
        losses = [enhancement_loss(clean + error, clean + error, clean, chosen) for chosen in (weights, nothing)]
        return -10 * float(losses[0] - losses[1])

    assert ratio(low, 0) == pytest.approx(ratio(high, 0), abs=0.01) == pytest.approx(20, abs=0.01)
    loudest, clearest = (abs(1 - 0.95 * cmath.exp(-2j * cmath.pi * hertz / 16000)) for hertz in (6000, 300))
    assert ratio(low, 1) - ratio(high, 1) == pytest.approx(20 * math.log10(loudest / clearest), abs=0.1)


@pytest.mark.parametrize("speech", [1.0, 0.0])
def test_with_a_residual_the_best_estimate_keeps_that_share_of_the_noise(speech: float) -> None:
    clean, noise = signals()
    clean = speech * clean
    noisy, shares = clean + noise, (0.0, 0.05, 0.1, 0.2, 1.0)
    _, _, wanted = Aimed(lambda seed, index: (noisy, clean), Residual(0.1))(0, 0)
    losses = {share: enhancement_loss(clean + share * noise, noisy, clean, wanted=wanted).item() for share in shares}
    assert min(losses, key=lambda share: losses[share]) == 0.1
    example = clean + 0.4 * noise  # a teacher's output is given as it is wanted
    taught = enhancement_loss(example, noisy, clean, wanted=wanted, example=example, share=1.0).item()
    assert taught == pytest.approx(enhancement_loss(example, noisy, clean, example=example, share=1.0).item(), abs=1e-5)


def test_a_residual_with_a_hold_is_kept_beside_speech_alone() -> None:
    clean, noise = signals()
    length = clean.shape[1]
    speech = torch.zeros_like(clean)
    speech[:, length // 4 : length // 2] = clean[:, length // 4 : length // 2]
    kept = beside_speech(speech + noise, speech, 0.05)
    assert kept.shape == clean.shape
    assert (kept[:, length // 4 : length // 2 + 640] > 0.99).all()  # 40 ms of the hold, the rest of it is a ramp
    assert not kept[:, : length // 4 - 960].any()
    assert not kept[:, length // 2 + 2000 :].any()
    torch.testing.assert_close(Residual(0.1, 0.05).shares(speech + noise, speech), 0.1 * kept)
    assert not beside_speech(noise, 0 * clean, 5.0).any()
    assert (Residual(0.1).shares(noise, 0 * clean) == 0.1).all()

    shares = (0.0, 0.05, 0.1, 0.2)
    losses = [enhancement_loss(share * noise, noise, 0 * clean, wanted=0 * clean).item() for share in shares]
    assert losses == sorted(losses)
    best, *others = (speech + share * noise for share in (0.1 * kept, 0.0, 0.1))
    for other in others:
        assert enhancement_loss(best, speech + noise, speech, wanted=best) < enhancement_loss(
            other, speech + noise, speech, wanted=best
        )


def test_what_a_microphone_hears_in_a_pause_is_no_speech() -> None:
    """Recordings of clean speech are not silent between the words."""
    clean, noise = signals()
    assert not beside_speech(0.003 * clean + noise, 0.003 * clean, 0.3).any()
    assert (beside_speech(clean + noise, clean, 0.3) > 0.99).all()


def test_a_stretch_without_speech_keeps_what_the_whole_example_gives_it() -> None:
    clean, noise = signals()
    half = clean.shape[1] // 2 // 160 * 160
    speech = torch.cat([0.003 * clean[:, :half], clean[:, half : 2 * half]], 1)
    noisy = speech + noise[:, : 2 * half]
    whole = Aimed(lambda seed, index: (noisy, speech), Residual(0.1, 0.0))
    heard, _, wanted = next(stretched((whole(0, index) for index in (-1, 0)), 0, 2, 160, 0))
    fresh = slice(0, len(clean))
    assert torch.equal(heard[fresh], noisy[:, :half])
    torch.testing.assert_close(wanted[fresh, : half - 960], speech[:, : half - 960])  # a pause: none of the noise


def test_quiet_recordings_count_as_much_as_loud_ones() -> None:
    clean, noise = signals()
    losses = [enhancement_loss(g * (clean + 0.3 * noise), g * (clean + noise), g * clean).item() for g in (1.0, 0.03)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize(("lowered_db", "told"), [(0, 0.0), (2, 0.0), (10, 0.68), (20, 1.52), (60, 2.0)])
def test_speech_louder_than_the_noise_costs_what_it_is_lowered_by_beyond_three_decibels(lowered_db: int, told: float) -> None:
    clean, noise = signals()
    falls = torch.ones_like(clean)
    falls[:, 4160:] = 10 ** (-lowered_db / 20)
    found = attenuation(falls * clean, clean + 0.01 * noise, clean)
    torch.testing.assert_close(found, torch.full_like(found, told * 12 / 25), atol=0.01, rtol=0)


def test_neither_pauses_nor_frames_in_which_noise_prevails_are_speech_that_was_lowered() -> None:
    clean, noise = signals()
    clean = clean.clone()
    clean[:, 6400:] *= 1e-3
    left = torch.cat([clean[:, :6400], torch.zeros_like(clean[:, 6400:])], 1)
    assert attenuation(left, clean, clean).max() < 1e-6
    assert attenuation(torch.zeros_like(clean), clean + 100 * noise, clean).max() == 0
    assert attenuation(torch.zeros_like(clean), clean, clean).min() > 1.6


@pytest.mark.parametrize(("lowered_db", "told"), [(0, 3.0), (10, 2.0), (20, 1.04), (60, 0.0)])
def test_noise_alone_costs_what_is_left_of_it(lowered_db: int, told: float) -> None:
    clean, noise = signals(2)
    clean = torch.stack([torch.zeros_like(clean[0]), clean[1]])
    estimate = clean + 10 ** (-lowered_db / 20) * noise
    weighted, without = (
        enhancement_loss(estimate, clean + noise, clean, LossWeights(sdr=0, speechless=weight)).item() for weight in (2.0, 0.0)
    )
    assert weighted - without == pytest.approx(told, abs=0.01)


HEARD = LossWeights(sdr=4.0, disturbance=1.0, intelligibility=8.0, attenuation=4.0, speechless=4.0)


@pytest.mark.parametrize("weights", [LossWeights(), HEARD])
@pytest.mark.parametrize("speech", [slice(0, 0), slice(0, 100), slice(8, 9), slice(7900, 8000), slice(7999, 8000)])
def test_an_example_with_little_speech_or_none_leaves_loss_and_gradient_finite(weights: LossWeights, speech: slice) -> None:
    clean, noise = signals()
    here = torch.ones_like(clean)
    here[1] = 0
    here[1, speech] = 1
    estimate = (0.5 * noise).requires_grad_()
    loss = enhancement_loss(estimate, here * clean + noise, here * clean, weights)
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert torch.isfinite(estimate.grad).all()
    assert estimate.grad[1].abs().max() > 0


@pytest.mark.parametrize("weights", [LossWeights(), HEARD])
def test_an_example_without_speech_does_not_change_what_the_others_are_told(weights: LossWeights) -> None:
    clean, noise = signals()
    alone = (0.5 * noise[:1]).clone().requires_grad_()
    torch.autograd.backward(enhancement_loss(alone, (clean + noise)[:1], clean[:1], weights))
    mixed = (0.5 * noise[:2]).clone().requires_grad_()
    silence = torch.cat([clean[:1], torch.zeros_like(clean[:1])])
    torch.autograd.backward(enhancement_loss(mixed, silence + noise[:2], silence, weights))
    torch.testing.assert_close(2 * mixed.grad[:1], alone.grad, atol=1e-5, rtol=1e-4)
