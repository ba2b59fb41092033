"""SOAP: Adam in the eigenvectors of what gradients do."""

import pytest
import torch
from torch import Tensor, nn

from compression.training.soap import Soap, rotated


def slow_signal(batch: int, seed: int) -> Tensor:
    """``[batch, 1, samples]`` whose neighbours are much alike, as those of speech are."""
    white = torch.randn(batch, 1, 400, generator=torch.Generator().manual_seed(seed))
    return white.cumsum(2) / 10


def error_of_a_filter(optimizer: type[torch.optim.Optimizer], steps: int = 300) -> float:
    """Mean square error of 16 taps that were to learn to alternate between 1 and -1."""
    torch.manual_seed(1)
    wanted, learned = torch.zeros(1, 1, 16), nn.Conv1d(1, 1, 16, bias=False)
    wanted[..., ::2], wanted[..., 1::2] = 1.0, -1.0
    trained = optimizer(learned.parameters(), lr=1e-2, weight_decay=0.0)  # type: ignore[call-arg]
    for step in range(steps):
        x = slow_signal(8, step)
        trained.zero_grad()
        torch.autograd.backward((learned(x) - nn.functional.conv1d(x, wanted)).square().mean())
        trained.step()
    return (learned.weight.detach() - wanted).square().mean().item()


def test_taps_of_a_filter_for_high_frequencies_are_learned_from_a_low_signal() -> None:
    assert error_of_a_filter(Soap) < 0.3 * error_of_a_filter(torch.optim.AdamW)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 1, 2, 5), (3, 1500)])
def test_weights_of_any_shape_go_down_their_gradient(shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    wanted, weight = torch.randn(shape), nn.Parameter(torch.zeros(shape))
    soap = Soap([weight], lr=3e-2, weight_decay=0.0)
    for _ in range(150):
        soap.zero_grad()
        torch.autograd.backward((weight - wanted).square().sum() / 2)
        soap.step()
    assert (weight - wanted).square().mean() < 0.05 * wanted.square().mean()


def test_what_is_turned_and_turned_back_is_what_it_was() -> None:
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    turns = [torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q for size in (3, 5)]
    back = rotated(rotated(x, (0, 2), turns), (0, 2), [turn.T for turn in turns])
    torch.testing.assert_close(back, x)


def test_a_closure_is_refused() -> None:
    with pytest.raises(ValueError, match="closure"):
        Soap([nn.Parameter(torch.zeros(2, 2))], lr=1e-2).step(lambda: 0.0)
