"""The gate of an ``fcn``'s memory: late by what the filters are late by, by bands, and transparent when it is open."""

import pytest
import torch
from torch import Tensor

from models.gate import Gate, spread
from models.memory import BANDS, frequencies

HOP, DELAY, UNITS = 160, 216, 3


@pytest.fixture
def gate() -> Gate:
    """Wide open, whatever is remembered."""
    made = Gate(UNITS, HOP, DELAY)
    made.shares.data.fill_(1.0)
    torch.nn.init.zeros_(made.gains.weight)
    torch.nn.init.constant_(made.gains.bias, 20.0)
    return made


@torch.no_grad()
def passed(gate: Gate, audio: Tensor, hops: int) -> Tensor:
    """What is let through of whole signals, so many hops at a time."""
    state = {name: audio.new_zeros(len(audio), size) for name, size in gate.state_sizes.items()}
    outputs = []
    for part in audio.split(hops * HOP, dim=1):
        output, state = gate(part, torch.zeros(len(part), part.shape[1] // HOP, UNITS), state)
        outputs.append(output)
    return torch.cat(outputs, dim=1)


def tone(hertz: float) -> Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz / 16000 * torch.arange(40 * HOP))[None]


@pytest.mark.parametrize("hops", [1, 3, 40])
def test_an_open_gate_delays_and_changes_nothing_else(gate: Gate, hops: int) -> None:
    audio = torch.cat([tone(440), tone(3210)])
    torch.testing.assert_close(passed(gate, audio, hops)[:, DELAY:], audio[:, :-DELAY], atol=2e-4, rtol=0)  # no bin at 8 kHz


def test_a_closed_band_is_silenced_and_its_neighbours_are_not(gate: Gate) -> None:
    closed = BANDS // 2
    gate.gains.bias.data[closed - 2 : closed + 3] = -20.0
    centre = frequencies()
    for band, least, most in ((closed, 0, 0.02), (closed - 8, 0.98, 1.02), (closed + 8, 0.98, 1.02)):
        audio = tone(float(centre[band]))
        share = passed(gate, audio, 40)[:, 10 * HOP :].square().mean() / audio.square().mean()
        assert least <= share.sqrt() <= most


def test_every_bin_belongs_to_bands_in_whole() -> None:
    shares = spread(HOP)
    assert shares.min() >= 0
    torch.testing.assert_close(shares.sum(0), torch.ones(HOP))
    assert (shares.argmax(1).diff() >= 0).all()


def test_an_untrained_gate_is_shut() -> None:
    assert passed(Gate(UNITS, HOP, DELAY), tone(1000), 40).abs().max() == 0
