"""The GRU that trains fast is torch's GRU."""

import pytest
import torch
from torch import Tensor, nn

from models import gru as module
from models.gru import Gru

FRAMES, BATCH, INPUTS, UNITS = 11, 3, 5, 7


def run(network: nn.Module, bfloat16: bool = False) -> list[Tensor]:
    """Outputs, last state and every gradient, for a loss in which each output counts differently."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(FRAMES, BATCH, INPUTS, generator=generator, requires_grad=True)
    hidden = torch.randn(1, BATCH, UNITS, generator=generator, requires_grad=True)
    weight = torch.randn(FRAMES, BATCH, UNITS, generator=generator)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        outputs, last = network(x, hidden)
    torch.autograd.backward((outputs * weight).sum() + 3 * last.sum())
    gradients = [x.grad, hidden.grad, *(p.grad for p in network.parameters())]
    return [outputs.detach().float(), last.detach().float(), *(g.float() for g in gradients if g is not None)]


@pytest.fixture
def pair() -> tuple[Gru, nn.GRU]:
    torch.manual_seed(3)
    theirs = nn.GRU(INPUTS, UNITS)
    ours = Gru(INPUTS, UNITS)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("block_values", [1, 3 * BATCH * UNITS, module.BLOCK_VALUES])
def test_outputs_and_gradients_are_torchs(pair: tuple[Gru, nn.GRU], block_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_VALUES", block_values)  # one frame, a block and a remainder, all at once
    ours, theirs = (run(network) for network in pair)
    assert len(ours) == len(theirs) == 8
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, atol=2e-5, rtol=1e-4)


def test_in_bfloat16_it_is_no_further_from_the_exact_result_than_torch(pair: tuple[Gru, nn.GRU]) -> None:
    exact = run(pair[1])
    for network in pair:
        network.zero_grad()
    ours, theirs = (run(network, bfloat16=True) for network in pair)
    for mine, their, expected in zip(ours, theirs, exact, strict=True):
        assert (mine - expected).norm() < 1.5 * (their - expected).norm() + 1e-3 * expected.norm()


def test_it_learns_while_it_is_parametrized(pair: tuple[Gru, nn.GRU]) -> None:
    class Doubled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    ours, theirs = pair
    for network in pair:
        nn.utils.parametrize.register_parametrization(network, "weight_hh_l0", Doubled())
    for mine, expected in zip(run(ours), run(theirs), strict=True):
        torch.testing.assert_close(mine, expected, atol=2e-5, rtol=1e-4)
