"""Whole blocks of a crn are removed as if they added nothing, the least important first."""

import pytest
import torch

from compression.blocks import least_important, without_block, without_blocks
from models.crn import Crn, CrnConfig


def network() -> Crn:
    torch.manual_seed(3)
    return Crn(CrnConfig(4, 6, (5, 4, 7), (3, 8, 6), 1)).eval()


def muted(network: Crn, block: int) -> Crn:
    """The same network with a block that adds nothing."""
    with torch.no_grad():
        network.subband[block].norm.weight.zero_()
        network.subband[block].norm.bias.zero_()
        network.fullband[block].expand.weight.zero_()
        network.fullband[block].expand.bias.zero_()
    return network


@pytest.mark.parametrize("block", [0, 1, 2])
def test_a_network_without_a_block_equals_the_one_in_which_it_adds_nothing(block: int) -> None:
    whole, audio = network(), 0.1 * torch.randn(2, 3200, generator=torch.Generator().manual_seed(1))
    smaller = without_block(whole, block)
    with torch.no_grad():
        torch.testing.assert_close(smaller(audio), muted(network(), block)(audio), atol=1e-6, rtol=1e-5)
        assert not torch.allclose(smaller(audio), whole(audio), atol=1e-4)
    assert smaller.parameter_count() < whole.parameter_count()


def test_the_blocks_that_matter_least_go_in_turn() -> None:
    matters = {5: 3.0, 4: 1.0, 7: 2.0}  # by the width that tells a block from the others

    def loss(trial: Crn) -> float:
        return sum(worth for units, worth in matters.items() if units not in trial.config.subband_units)

    assert least_important(network(), loss, 3) == []
    assert least_important(network(), loss, 2) == [1]
    removed = least_important(network(), loss, 1)
    assert removed == [1, 1]
    assert without_blocks(network(), removed).config.subband_units == (5,)


def test_the_last_block_and_unknown_ones_stay() -> None:
    one = without_blocks(network(), [0, 0])
    for block, of in ((0, one), (3, network()), (-1, network())):
        with pytest.raises(ValueError, match=rf"block {block} cannot be removed from a crn of"):
            without_block(of, block)
