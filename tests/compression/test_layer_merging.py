"""Neighbouring full-band layers of a crn become one, which does what both did, as far as linear maps of its input can."""

import pytest
import torch

from compression.export.variant import check_against_torch, to_onnx
from compression.pruning.layer_merging import merged
from compression.pruning.recurrent_layers import (
    cheapest_changes,
    neighbours,
    recurrent_layers,
    with_changes,
    without_layer,
    without_layers,
)
from models.crn import ChannelNorm, Crn, CrnConfig

AUDIO = [0.1 * torch.randn(4, 6400, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]


def network(subband: tuple[int, ...] = (5, 4, 0)) -> Crn:
    """Untrained, but with norms that do something."""
    torch.manual_seed(3)
    made = Crn(CrnConfig(4, 6, subband, (3, 8, 6), 1))
    for norm in (module for module in made.modules() if isinstance(module, ChannelNorm)):
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            assert values is not None
            values.data.uniform_(0.5, 1.5)
    return made.eval()


@torch.no_grad()
def said(heard: Crn, audio: torch.Tensor = AUDIO[0]) -> torch.Tensor:
    output: torch.Tensor = heard(audio)
    return output


def silent(heard: Crn) -> Crn:
    """The same with GRUs in the full-band layers that say nothing, so that all they do is linear."""
    for layer in heard.fullband.values():
        for values in layer.gru.parameters():
            values.data.zero_()
    return heard


def test_layers_are_neighbours_where_no_sub_band_layer_is_between_them() -> None:
    assert neighbours(network()) == [("fullband.1", "fullband.2")]
    assert neighbours(network((5, 4, 7))) == []
    assert neighbours(network((5, 0, 0))) == [("fullband.0", "fullband.1"), ("fullband.1", "fullband.2")]
    assert neighbours(without_layer(network((5, 0, 0)), "fullband.1")) == [("fullband.0", "fullband.2")]


@pytest.mark.parametrize(("first", "second"), [("fullband.0", "fullband.1"), ("fullband.1", "fullband.2")])
def test_what_is_linear_is_the_same_in_one_layer(first: str, second: str) -> None:
    whole = silent(network((5, 0, 0)))
    one = merged(whole, first, second, AUDIO)
    torch.testing.assert_close(said(one), said(whole), atol=1e-5, rtol=1e-4)
    assert recurrent_layers(one) == [layer for layer in recurrent_layers(whole) if layer != first]
    assert sum(one.config.fullband_units) == sum(whole.config.fullband_units)


def test_both_grus_go_on_saying_what_they_said() -> None:
    whole = network()
    one = merged(whole, "fullband.1", "fullband.2", AUDIO)
    near = (said(one) - said(whole)).square().mean()
    assert near < 0.05 * (said(without_layer(whole, "fullband.1")) - said(whole)).square().mean()
    assert near < 0.05 * (said(without_layer(whole, "fullband.2")) - said(whole)).square().mean()
    assert said(network()).equal(said(whole))  # which was left as it is


def test_the_norm_behind_does_nothing_in_training_either() -> None:
    one = merged(network(), "fullband.1", "fullband.2", AUDIO)
    layer, x = one.fullband["2"], torch.cat(AUDIO)
    answers: list[torch.Tensor] = []
    layer.expand.register_forward_hook(lambda module, arguments, output: answers.append(output.reshape(-1, 6)))
    said(one, x)
    with torch.no_grad():
        alike = layer.expand_norm.train()(answers[0])
    torch.testing.assert_close(alike, answers[0], atol=1e-3, rtol=1e-3)


def test_a_merged_network_is_exported_and_streams() -> None:
    one = merged(network(), "fullband.1", "fullband.2", AUDIO)
    assert check_against_torch(one, to_onnx(one, "pruned").SerializeToString()) < 1e-4


def test_layers_are_merged_where_that_leaves_less_loss_than_any_that_goes() -> None:
    def merge(trial: Crn, first: str, second: str) -> Crn:
        return merged(trial, first, second, AUDIO)

    def loss(trial: Crn) -> float:
        return float((said(trial) - whole).square().mean())

    large = network((5, 4, 7))
    whole = said(without_layers(large, ["subband.2"]))
    changes = cheapest_changes(large, loss, 4, merge)
    assert changes == [("subband.2",), ("fullband.1", "fullband.2")]
    small = with_changes(large, [list(change) for change in changes], merge)  # as a stage's record holds them
    assert recurrent_layers(small) == ["subband.0", "subband.1", "fullband.0", "fullband.2"]
    assert loss(small) < loss(without_layers(large, ["subband.2", "fullband.1"]))
