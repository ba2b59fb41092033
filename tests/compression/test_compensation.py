"""What removed units did is done by those that stay, as well as they can."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from compression.pruning.compensation import compensate, measure_moments, rank, readers
from compression.pruning.groups import shrink, widths
from models.crn import Crn, CrnConfig
from models.fcn import Fcn, FcnConfig
from models.network import StreamingNetwork


def noise(seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(4, 8000, generator=torch.Generator().manual_seed(seed))


FAMILIES = ["crn", "fcn", "adaptive fcn", "fcn with a memory"]


def network(family: str) -> StreamingNetwork:
    torch.manual_seed(1)
    adapts, remembers = family in FAMILIES[2:], family == FAMILIES[3]
    made: StreamingNetwork = Fcn(FcnConfig((6, 6) + (6, 6, 6) * remembers, 3 * adapts, 8 * remembers))
    if made.family == "fcn" and remembers:
        nn.init.constant_(made.gate.shares, 0.5)  # untrained, nothing is let through
    if family == "crn":
        made = Crn(CrnConfig(channels=8, subband_channels=12, subband_units=(8,), fullband_units=(10,), depth=1))
    return made.eval()


@torch.no_grad()
def mixed(made: StreamingNetwork, layer: str, norm: str, unit: int, parts: dict[int, float]) -> None:
    """Make one output of a layer, behind its normalisation, a mixture of others of the same layer."""
    weight, scale = made.get_submodule(layer).weight, made.get_submodule(norm)
    for own in (scale.weight, scale.bias, scale.running_mean, scale.running_var):
        own[unit] = 0.0 if own is scale.bias or own is scale.running_mean else 1.0
    for rows in weight.view(-1, len(scale.weight), *weight.shape[1:]):
        rows[unit] = sum(share * rows[other] for other, share in parts.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_moments_are_those_of_what_each_weight_reads(family: str) -> None:
    made = network(family)
    moments = measure_moments(made, [noise(), noise(1)])
    assert set(moments) == {reader.weight for reader in readers(made)}
    sizes, state = widths(made), made.state_dict()
    for reader in readers(made):
        moment = moments[reader.weight]
        weight = state[reader.weight]
        reads = sizes[reader.width] * weight[0, 0].numel()
        assert moment.shape == (weight.shape[1] // sizes[reader.width], reads, reads)
        torch.testing.assert_close(moment, moment.transpose(1, 2), rtol=1e-4, atol=1e-6)
        assert float(torch.linalg.eigvalsh(moment).min()) > -1e-6


def _hear(heard: dict[nn.Module, Tensor], module: nn.Module, _: object, output: Tensor) -> None:
    heard[module] = output


def test_a_layers_output_power_follows_from_its_moments() -> None:
    """For a linear layer, a recurrent state, a strided and a long convolution: mean square of ``weight @ reads``."""
    for family, layers in (("crn", ("up", "down", "subband.0.project")), ("fcn", ("convs.1",))):
        made, heard = network(family), dict[nn.Module, Tensor]()
        for layer in layers:
            made.get_submodule(layer).register_forward_hook(partial(_hear, heard))
        moments = measure_moments(made, [noise()])
        for layer in layers:
            weight, bias = made.get_submodule(layer).weight.double(), made.get_submodule(layer).bias
            output = heard[made.get_submodule(layer)].double() - (0 if bias is None else bias.double()[:, None])
            output = output if bias is None else output[..., ::16]  # the windows that are looked at
            flat = weight.flatten(1)
            power = torch.einsum("or,rs,os->", flat, moments[f"{layer}.weight"][0], flat) / len(flat)
            torch.testing.assert_close(power, output.square().mean(), rtol=1e-4, atol=0)


def test_a_sub_band_channel_that_is_a_mixture_of_others_is_the_one_that_goes_and_nothing_is_lost() -> None:
    made = network("crn")
    for layer, norm in (("down", "down_norm"), ("subband.0.project", "subband.0.norm")):
        mixed(made, layer, norm, 7, {2: 0.5, 5: -0.75})
    with torch.no_grad():
        expand = made.get_submodule("fullband.0.expand")
        for values in (expand.weight, expand.bias):
            rows = values.view(made.bands, 12, -1)
            rows[:, 7] = 0.5 * rows[:, 2] - 0.75 * rows[:, 5]
    moments = measure_moments(made, [noise(seed) for seed in range(4)])
    ranking = rank(made, moments)["subband_channels"]
    assert int(ranking.order[0]) in {2, 5, 7}  # any of the three is a mixture of the other two
    assert ranking.costs[0] < 1e-2 * ranking.costs[1]
    left = {"subband_channels": torch.tensor([index for index in range(12) if index != 7])}
    with torch.no_grad():
        expected = made(noise(9))
        handed = shrink(compensate(made, moments, left), left)(noise(9))
        cut = shrink(made, left)(noise(9))
    assert (handed - expected).abs().max() < 1e-3 * (cut - expected).abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_handing_over_leaves_less_error_than_cutting(family: str) -> None:
    made = network(family)
    moments = measure_moments(made, [noise(seed) for seed in range(4)])
    kept = {name: ranking.kept(widths(made)[name] - 2) for name, ranking in rank(made, moments).items()}
    before = {name: value.clone() for name, value in made.state_dict().items()}
    handed = compensate(made, moments, kept)
    torch.testing.assert_close(made.state_dict(), before)
    assert widths(handed) == widths(made)
    with torch.no_grad():
        expected = made(noise(9))
        errors = [(shrink(one, kept)(noise(9)) - expected).square().mean() for one in (handed, made)]
    assert errors[0] < 0.7 * errors[1]


def test_units_that_go_one_by_one_are_those_of_the_least_error() -> None:
    """Of the units of a GRU, which two linear layers read: against every choice, solved by itself."""
    made = network("crn")
    moments, state = measure_moments(made, [noise(seed) for seed in range(2)]), made.state_dict()
    weights = ["subband.0.gru.weight_hh_l0", "subband.0.project.weight"]

    def error(gone: list[int]) -> float:
        stay, total = [index for index in range(8) if index not in gone], 0.0
        for name in weights:
            weight, second = state[name].double(), moments[name][0]
            second = second + 1e-4 * second.diagonal().mean() * torch.eye(8)
            mixture = torch.linalg.solve(second[stay][:, stay], second[stay][:, gone])
            rest = second[gone][:, gone] - second[gone][:, stay] @ mixture
            power = torch.einsum("og,gh,oh->", weight, second, weight)
            total += float(torch.einsum("og,gh,oh->", weight[:, gone], rest, weight[:, gone]) / power)
        return total

    gone: list[int] = []
    for _ in range(3):
        gone.append(min((unit for unit in range(8) if unit not in gone), key=lambda unit: error([*gone, unit])))
    ranking = rank(made, moments)["subband_units.0"]
    assert ranking.order[:3].tolist() == gone
    assert ranking.kept(5).tolist() == [unit for unit in range(8) if unit not in gone]
    assert float(ranking.costs[:3].sum()) == pytest.approx(error(gone), rel=1e-4)
    assert ranking.costs[-1] == torch.inf  # the last one never goes
