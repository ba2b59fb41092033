"""Whole recurrent layers of a crn are removed as if they added nothing, the least important first."""

import pytest
import torch

from compression.export.variant import check_against_torch, to_onnx
from compression.pruning.recurrent_layers import KINDS, cheapest_changes, recurrent_layers, without_layer, without_layers
from models.crn import Crn, CrnConfig


def network() -> Crn:
    torch.manual_seed(3)
    return Crn(CrnConfig(4, 6, (5, 4, 7), (3, 8, 6), 1)).eval()


@torch.no_grad()
def muted(network: Crn, layer: str) -> Crn:
    """The same network with a layer that adds nothing."""
    module = network.get_submodule(layer)
    last = module.norm if layer.startswith("subband") else module.expand
    last.weight.zero_()
    last.bias.zero_()
    return network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [0, 1, 2])
def test_a_network_without_a_layer_equals_the_one_in_which_it_adds_nothing(kind: str, block: int) -> None:
    whole, audio = network(), 0.1 * torch.randn(2, 3200, generator=torch.Generator().manual_seed(1))
    layer = f"{kind}.{block}"
    smaller = without_layer(whole, layer)
    with torch.no_grad():
        torch.testing.assert_close(smaller(audio), muted(network(), layer)(audio), atol=1e-6, rtol=1e-5)
        assert not torch.allclose(smaller(audio), whole(audio), atol=1e-4)
    assert smaller.parameter_count() < whole.parameter_count()
    assert smaller.macs_per_second() < whole.macs_per_second()
    assert smaller.state_size < whole.state_size
    assert layer not in recurrent_layers(smaller)


def test_a_network_without_some_layers_is_exported_and_streams() -> None:
    smaller = without_layers(network(), ["subband.2", "fullband.0", "fullband.1"])
    assert recurrent_layers(smaller) == ["subband.0", "subband.1", "fullband.2"]
    content = to_onnx(smaller, "pruned").SerializeToString()
    assert check_against_torch(smaller, content) < 1e-4
    assert len(content) < len(to_onnx(network(), "pruned").SerializeToString())


def test_the_layers_that_matter_least_go_in_turn() -> None:
    matters = {"subband.0": 3.0, "subband.1": 1.0, "subband.2": 2.0, "fullband.0": 6.0, "fullband.1": 1.5, "fullband.2": 5.0}

    def loss(trial: Crn) -> float:
        return sum(worth for layer, worth in matters.items() if layer not in recurrent_layers(trial))

    def merge(trial: Crn, first: str, second: str) -> Crn:
        return without_layers(trial, [first, second])  # which no measurement is in favour of

    assert cheapest_changes(network(), loss, 6, merge) == []
    assert cheapest_changes(network(), loss, 5, merge) == [("subband.1",)]
    removed = [layer for (layer,) in cheapest_changes(network(), loss, 3, merge)]
    assert removed == ["subband.1", "fullband.1", "subband.2"]
    assert recurrent_layers(without_layers(network(), removed)) == ["subband.0", "fullband.0", "fullband.2"]


def test_the_last_layer_and_unknown_ones_stay() -> None:
    one = without_layers(network(), ["subband.0", "subband.1", "fullband.0", "fullband.1", "fullband.2"])
    for layer, of in (("subband.2", one), ("subband.0", one), ("fullband.3", network()), ("encoder.0", network())):
        with pytest.raises(ValueError, match=rf"{layer} cannot be removed from a crn with"):
            without_layer(of, layer)
