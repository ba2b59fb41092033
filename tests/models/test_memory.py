"""The memory of an ``fcn``: what its probes hear, and that it remembers more than levels."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.fcn import Fcn, FcnConfig
from models.memory import BANDS, FLOOR, RATE, WINDOW, Memory, frequencies, lengths

HOP = 160
HOPS = 40


@pytest.fixture
def memory() -> Memory:
    torch.manual_seed(1)
    return Memory(3, 8, HOP)


def sine(hertz: float) -> Tensor:
    return torch.sin(2 * math.pi * hertz / RATE * torch.arange(WINDOW + HOPS * HOP - HOP))[None]


def test_white_noise_has_its_level_in_every_band(memory: Memory) -> None:
    noise = 0.2 * torch.randn(1, WINDOW + 2000 * HOP - HOP, generator=torch.Generator().manual_seed(1))
    level = memory.hear(noise).mul(2).exp().mean(1).sqrt()
    torch.testing.assert_close(level, torch.full((1, BANDS), 0.2), rtol=0.12, atol=0)


@pytest.mark.parametrize("band", [1, 10, 30, 50, 62])
def test_a_sine_is_loudest_in_the_band_of_its_frequency(memory: Memory, band: int) -> None:
    heard = memory.hear(sine(float(frequencies()[band])))
    assert (heard.argmax(2) == band).all()
    assert (heard[..., band] - heard[..., (band + BANDS // 2) % BANDS] > 2).all()


def test_harmonics_of_a_low_voice_are_told_apart_where_filters_of_55_taps_hear_one_band(memory: Memory) -> None:
    voice = sum(sine(100.0 * harmonic) for harmonic in range(1, 8))
    heard = memory.hear(voice).mean(1)[0]
    at = {hertz: float(heard[(frequencies() - hertz).abs().argmin()]) for hertz in (200, 250, 300)}
    assert min(at[200], at[300]) - at[250] > 1


def test_silence_is_heard_as_the_floor_and_windows_fit(memory: Memory) -> None:
    assert torch.allclose(memory.hear(torch.zeros(2, WINDOW)), torch.tensor(math.log(FLOOR)))
    assert lengths().max() == WINDOW
    assert lengths().min() > HOP / 2


def test_an_untrained_memory_changes_nothing() -> None:
    torch.manual_seed(1)
    plain = Fcn(FcnConfig((6, 5, 4, 4, 4), control_units=4)).eval()
    remembering = Fcn(FcnConfig((6, 5, 4, 4, 4), control_units=4, memory_units=7)).eval()
    remembering.load_state_dict(plain.state_dict(), strict=False)
    audio = 0.1 * torch.randn(2, 4000)
    with torch.no_grad():
        torch.testing.assert_close(remembering(audio), plain(audio))


def test_what_was_heard_seconds_ago_is_remembered() -> None:
    """Two streams that differ in the order of what came before, not in its level."""
    torch.manual_seed(1)
    network = Fcn(FcnConfig((6, 5, 4, 4, 4), control_units=4, memory_units=16)).eval()
    assert network.gate is not None
    nn.init.constant_(network.gate.shares, 0.5)
    low, high = 0.1 * sine(300.0)[:, : 20 * HOP], 0.1 * sine(3000.0)[:, : 20 * HOP]
    with torch.no_grad():
        states = [network.step(torch.cat(order, dim=1), network.initial_state(1))[1] for order in ((low, high), (high, low))]
        outputs = [network.step(low, state)[0][:, 4 * HOP :] for state in states]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-4
