"""One or two optimisers behind one face."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from compression.training.optimizer import Optimizers


def trained(network: nn.Module, optimizer: Optimizers, steps: int) -> None:
    for step in range(steps):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        torch.autograd.backward(network(x).square().mean())
        optimizer.step()


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize("soap", [False, True])
def test_every_parameter_moves_and_the_learning_rate_rules_all(network: nn.Module, soap: bool) -> None:
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = Optimizers(network, 1e-2, 0.0, soap)
    optimizer.set_learning_rate(0.0)
    trained(network, optimizer, 1)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
    optimizer.set_learning_rate(1e-2)
    trained(network, optimizer, 3)
    assert not any(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))


def test_soap_trains_matrices_and_filters_and_nothing_else(network: nn.Module) -> None:
    adamw, soap = Optimizers(network, 1e-2, 0.0, True).parts
    shapes = [[tuple(p.shape) for group in part.param_groups for p in group["params"]] for part in (adamw, soap)]
    assert shapes == [[(4,), (4,), (4,), (2,)], [(4, 6), (2, 4)]]


def as_bfloat16(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_bfloat16(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_bfloat16(item) for item in value]
    return value.bfloat16() if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim else value


@pytest.mark.parametrize("soap", [False, True])
def test_a_run_goes_on_from_its_moments_as_if_never_stopped(network: nn.Module, soap: bool) -> None:
    optimizer = Optimizers(network, 1e-2, 0.01, soap)
    trained(network, optimizer, 3)
    again = copy.deepcopy(network)
    resumed = Optimizers(again, 1e-2, 0.01, soap)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, other in ((network, optimizer), (again, resumed)):
        trained(one, other, 2)
    for p, q in zip(network.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("soap", [False, True])
def test_moments_kept_in_half_the_precision_are_float32_again(network: nn.Module, soap: bool) -> None:
    optimizer = Optimizers(network, 1e-2, 0.01, soap)
    trained(network, optimizer, 2)
    resumed = Optimizers(network, 1e-2, 0.01, soap)
    resumed.load_state_dict(as_bfloat16(optimizer.state_dict()))
    moments = [v for part in resumed.parts for state in part.state.values() for v in state.values()]
    assert moments
    assert all(v.dtype == torch.float32 for v in moments)


def test_the_moments_of_another_kind_of_optimiser_are_left_out(network: nn.Module) -> None:
    optimizer = Optimizers(network, 1e-2, 0.01, False)
    trained(network, optimizer, 2)
    resumed = Optimizers(network, 1e-2, 0.01, True)
    resumed.load_state_dict(optimizer.state_dict())
    assert not any(part.state for part in resumed.parts)
    trained(network, resumed, 1)
