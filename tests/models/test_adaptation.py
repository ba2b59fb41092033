"""The adaptation of an ``fcn``: what it takes for a stream's level, and that it keeps to it."""

import math

import pytest
import torch
from torch import Tensor

from models.adaptation import BLOCK, MEANS, REFERENCE, Adaptation, modulate, running_means
from models.fcn import Fcn, FcnConfig

HOP = 160


@pytest.fixture
def adaptation() -> Adaptation:
    torch.manual_seed(1)
    return Adaptation((4, 3), 5, HOP, 216)


def first_state(adaptation: Adaptation) -> dict[str, Tensor]:
    _, parts = adaptation.silence(torch.zeros(1, 4, 1))
    return parts


def noise(hops: int, level: float, seed: int = 0) -> Tensor:
    return level * torch.randn(1, hops * HOP, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("level", [0.002, 0.05, 0.4])
def test_noise_is_divided_by_its_level_within_a_second(adaptation: Adaptation, level: float) -> None:
    with torch.no_grad():
        heard = adaptation.hear(noise(400, level), first_state(adaptation))
    after_a_second, at_last = heard.level[0, 16000], heard.level[0, -1]
    assert at_last == pytest.approx(level / REFERENCE, rel=0.4)
    assert after_a_second == pytest.approx(level / REFERENCE, rel=0.5 if level > 0.01 else 1.5)


def test_silence_leaves_the_level_as_it_was(adaptation: Adaptation) -> None:
    with torch.no_grad():
        heard = adaptation.hear(torch.cat([noise(100, 0.2), torch.zeros(1, 300 * HOP)], dim=1), first_state(adaptation))
    torch.testing.assert_close(heard.ends[:, 100:], heard.ends[:, 99:100].expand(-1, 300))


def test_a_sudden_voice_is_not_far_above_the_level(adaptation: Adaptation) -> None:
    audio = torch.cat([noise(300, 0.001), noise(10, 0.2)], dim=1)
    with torch.no_grad():
        heard = adaptation.hear(audio, first_state(adaptation))
    assert 10 * heard.ends[0, 300] > 0.2 / REFERENCE
    assert 4 * heard.ends[0, 302] > 0.2 / REFERENCE


def test_the_output_is_given_the_level_of_its_own_samples(adaptation: Adaptation) -> None:
    with torch.no_grad():
        heard = adaptation.hear(torch.cat([noise(20, 0.01), noise(20, 0.3)], dim=1), first_state(adaptation))
    torch.testing.assert_close(heard.former_level[:, 216:], heard.level[:, :-216], atol=0, rtol=2e-3)


def test_digital_silence_is_given_back_as_such_and_speech_after_it_whole(adaptation: Adaptation) -> None:
    with torch.no_grad():
        heard = adaptation.hear(torch.cat([0 * noise(20, 1), noise(20, 0.3), 0 * noise(20, 1)], dim=1), first_state(adaptation))
    begin, end = 20 * 160 + 216, 40 * 160 + 216
    assert heard.former_level[:, : begin - 160].abs().max() == 0
    assert heard.former_level[:, end + 160 :].abs().max() == 0
    torch.testing.assert_close(heard.former_level[:, begin:end], heard.level[:, begin - 216 : end - 216], atol=0, rtol=1e-3)


def test_running_means_over_many_hops_are_those_of_one_at_a_time() -> None:
    torch.manual_seed(2)
    hops = 2 * BLOCK + 7
    rates, before, values = torch.rand(2, MEANS, hops) * 0.9, torch.randn(2, MEANS, 3), torch.randn(2, 3, hops)
    found, mean = running_means(rates, before, values), before
    for hop in range(hops):
        mean = torch.lerp(mean, values[:, None, :, hop].expand(-1, MEANS, -1), rates[..., hop, None])
        torch.testing.assert_close(found[..., hop + 1], mean, atol=1e-5, rtol=1e-4)


def test_modulation_goes_evenly_from_bound_to_bound() -> None:
    gain, shift = torch.tensor([[[1.0, 3.0, 3.0]]]), torch.tensor([[[0.0, 0.0, 4.0]]])
    modulated = modulate(torch.ones(1, 1, 8), gain, shift)
    torch.testing.assert_close(modulated, torch.tensor([[[1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0]]]))


def test_the_gradient_of_a_modulation_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(3)
    values = [torch.randn(2, 3, samples, generator=generator, dtype=torch.float64) for samples in (10, 3, 3)]
    assert torch.autograd.gradcheck(modulate, tuple(value.requires_grad_() for value in values))


def test_an_adaptive_network_does_the_same_at_any_level() -> None:
    torch.manual_seed(3)
    network = Fcn(FcnConfig((6, 5), control_units=4)).eval()
    assert network.adaptation is not None
    for control in network.adaptation.controls:
        control.weight.data.normal_(std=0.2)
    audio = noise(500, 0.05)
    with torch.no_grad():
        loud, faint = network(audio), network(audio / 10) * 10
    change = (loud - faint)[:, -16000:].square().mean() / loud[:, -16000:].square().mean()
    assert 10 * math.log10(float(change)) < -20
