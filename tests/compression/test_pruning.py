"""Pruning removes what it says, counts what is cheap to lose first, and leaves a network that computes what is left."""

from __future__ import annotations

import pytest
import torch

from compression.pruning.choosing import choose, schedule
from compression.pruning.groups import axes, costs_with, shrink, widths, with_widths
from models.crn import Crn, CrnConfig
from models.fcn import Fcn, FcnConfig
from models.network import StreamingNetwork

FAMILIES = ["crn", "fcn", "adaptive fcn", "fcn with a memory"]


def small(family: str) -> StreamingNetwork:
    """A network with random weights and statistics."""
    torch.manual_seed(0)
    adapts, remembers = family in FAMILIES[2:], family == FAMILIES[3]
    network: StreamingNetwork = Fcn(FcnConfig((6, 5, 4) + (4, 5) * remembers, 3 * adapts, 5 * remembers))
    if family == "crn":
        network = Crn(CrnConfig(channels=6, subband_channels=8, subband_units=(6, 5), fullband_units=(7, 4), depth=2))
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand_like(value)
            value.copy_(noise + 0.5 if "var" in name else (noise - 0.5) * 0.6)
    return network.eval()


def silence(network: StreamingNetwork, width: str, unit: int) -> None:
    """Zero all that one unit receives and gives: what pruning must be equal to."""
    size = widths(network)[width]
    for name, value in network.state_dict().items():
        for axis, follows in enumerate(axes(network).get(name, ())):
            if follows == width:
                index = torch.arange(unit, value.shape[axis], size)
                value.index_fill_(axis, index, 1.0 if name.endswith("running_var") else 0.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_and_statistic_follows_widths_that_fit_its_shape(family: str) -> None:
    network = small(family)
    sizes, described = widths(network), axes(network)
    stored = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert set(described) == set(stored)
    for name, value in stored.items():
        assert len(described[name]) == value.ndim
        assert all(width is None or size % sizes[width] == 0 for width, size in zip(described[name], value.shape, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_other_widths_would_cost_is_what_such_a_network_costs(family: str) -> None:
    network = small(family)
    for fewer in (dict.fromkeys(widths(network), 1), {next(iter(widths(network))): 2}, {}):
        sizes = {name: size - fewer.get(name, 0) for name, size in widths(network).items()}
        other = with_widths(network, sizes)
        assert costs_with(network, sizes) == (other.macs_per_second(), other.parameter_count())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pruned_network_equals_the_one_with_silenced_units(family: str) -> None:
    network = small(family)
    kept = {}
    for width, size in widths(network).items():
        silence(network, width, size - 2)
        kept[width] = torch.tensor([index for index in range(size) if index != size - 2])
    pruned = shrink(network, kept)
    audio = 0.1 * torch.randn(2, 3000)
    with torch.no_grad():
        torch.testing.assert_close(pruned(audio), network(audio), atol=2e-6, rtol=1e-4)
    assert pruned.parameter_count() < network.parameter_count()
    assert pruned.macs_per_second() < network.macs_per_second()
    assert widths(pruned) == {width: size - 1 for width, size in widths(network).items()}


def test_what_is_cheap_to_lose_goes_first_until_the_shares_are_met() -> None:
    network = Fcn(FcnConfig((10, 10)))
    costs = {"filters.0": torch.arange(10.0), "filters.1": 1000 + torch.arange(10.0)}
    sizes = choose(network, costs, 0.5, 1.0)
    assert sizes == {"filters.0": 4, "filters.1": 10}  # 10 + 100 + 10 kernels become 4 + 40 + 10
    assert with_widths(network, sizes).macs_per_second() <= 0.5 * network.macs_per_second()


def test_a_width_stays_above_the_smallest_and_others_go_in_its_place() -> None:
    network = Fcn(FcnConfig((10, 10)))
    costs = {"filters.0": torch.arange(10.0), "filters.1": 1000 + torch.arange(10.0)}
    smallest = {"filters.0": 9, "filters.1": 2}.__getitem__
    assert choose(network, costs, 0.5, 1.0, smallest) == {"filters.0": 9, "filters.1": 5}
    assert choose(network, costs, 0.5, 1.0, smallest, multiple=4) == {"filters.0": 9, "filters.1": 4}


def test_widths_end_as_multiples() -> None:
    network = Fcn(FcnConfig((20, 20)))
    costs = {name: torch.rand(20).sort().values for name in widths(network)}
    assert all(size % 4 == 0 for size in choose(network, costs, 0.6, 0.6, multiple=4).values())


def test_a_width_below_the_multiple_is_widened_to_one() -> None:
    network = Fcn(FcnConfig((48, 48, 48)))
    costs = {name: 10.0**index * torch.arange(1.0, 49) for index, name in enumerate(widths(network))}
    assert choose(network, costs, 0.5, 0.5)["filters.0"] < 16
    sizes = choose(network, costs, 0.5, 0.5, multiple=16)
    assert sizes["filters.0"] == 16
    assert all(size % 16 == 0 for size in sizes.values())


def test_rounding_wastes_nothing_that_fits() -> None:
    network = Fcn(FcnConfig((30, 30, 30)))
    costs = {
        name: torch.rand(30, generator=torch.Generator().manual_seed(index)).sort().values
        for index, name in enumerate(widths(network))
    }
    sizes = choose(network, costs, 0.5, 0.5, multiple=4)
    assert all(size % 4 == 0 for size in sizes.values())
    assert with_widths(network, sizes).macs_per_second() <= 0.5 * network.macs_per_second()
    for name, size in sizes.items():
        assert with_widths(network, {**sizes, name: size + 4}).macs_per_second() > 0.5 * network.macs_per_second()


def test_a_share_that_is_met_takes_no_more_units() -> None:
    network = small("crn")
    costs = {
        name: torch.rand(size, generator=torch.Generator().manual_seed(size)).sort().values
        for name, size in widths(network).items()
    }
    sizes = choose(network, costs, 0.95, 1.0, lambda width: 2)
    assert sizes["fullband_units.0"] == widths(network)["fullband_units.0"]  # many parameters, few multiplications
    assert with_widths(network, sizes).macs_per_second() <= 0.95 * network.macs_per_second()


def test_shares_that_cannot_be_reached_and_unknown_widths_are_refused() -> None:
    network = Fcn(FcnConfig((6, 6)))
    costs = {name: torch.rand(6) for name in widths(network)}
    with pytest.raises(ValueError, match="cannot be reached"):
        choose(network, costs, 0.01, 1.0)
    with pytest.raises(KeyError, match="no width"):
        shrink(network, {"channels": torch.tensor([0])})
    with pytest.raises(ValueError, match="keep at least one"):
        shrink(network, {"filters.0": torch.tensor([], dtype=torch.int64)})
    with pytest.raises(ValueError, match="pruning ratio"):
        schedule(0.0, 3)


def test_rounds_multiply_to_the_ratio() -> None:
    product = 1.0
    for share in schedule(0.3, 4):
        product *= share
    assert product == pytest.approx(0.3)
