"""The paper's sparsity rule on kernels with known answers."""

from __future__ import annotations

import pytest
import torch

from compression.pruning.kernels import paper_ratio, remaining, sparsity, surviving, zero
from compression.quantization.sharing import share_uniformly
from models.fcn import Fcn, FcnConfig


def network() -> Fcn:
    torch.manual_seed(0)
    net = Fcn(FcnConfig((3, 3, 3)))
    for conv in net.convs:
        torch.nn.init.normal_(conv.weight)
    return net


def test_sparsity_is_the_share_of_weights_below_the_mean_magnitude_of_their_filter() -> None:
    weight = torch.tensor([[[4.0, -4.0], [1.0, -1.0], [-4.0, 1.0]]])  # mean magnitude 2.5
    assert sparsity(weight).tolist() == [[0.0, 1.0, 0.5]]


def test_only_sparse_kernels_between_hidden_layers_go() -> None:
    net = network()
    with torch.no_grad():
        net.convs[1].weight[2, 0] *= 0.01
        net.convs[0].weight[1] *= 0.01
    kept = surviving(net, 0.9)
    assert [int((~stays).sum()) for stays in kept] == [1, 0]
    assert not kept[0][2, 0]
    before = [conv.weight.clone() for conv in net.convs]
    zero(net, kept)
    assert net.convs[1].weight[2, 0].count_nonzero() == 0
    assert torch.equal(net.convs[1].weight[2, 1:], before[1][2, 1:])
    assert all(torch.equal(net.convs[index].weight, before[index]) for index in (0, 2, 3))
    assert remaining(net) == (55 * (3 + 9 + 9 + 3 - 1), 55 * (3 + 9 + 9 + 3))


def test_a_filter_never_loses_all_its_kernels() -> None:
    kept = surviving(network(), 0.01)
    assert all((stays.sum(1) == 1).all() for stays in kept)


def test_a_lower_threshold_prunes_more() -> None:
    net = network()
    assert sum(int(stays.sum()) for stays in surviving(net, 0.55)) <= sum(int(stays.sum()) for stays in surviving(net, 0.65))


def test_a_threshold_that_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        surviving(network(), 1.0)


def test_zeroed_kernels_stay_zero_beside_k_centroids() -> None:
    net = network().eval()
    with torch.no_grad():
        net.convs[1].weight[2, 0] *= 0.01
    zero(net, surviving(net, 0.9))
    shared = share_uniformly(net, 8, keep_zeros=True).convs[1].weight
    assert not shared[2, 0].any()
    assert len(shared.unique()) == 9
    assert shared.count_nonzero() == 8 * 55
    assert len(share_uniformly(net, 8).convs[1].weight.unique()) == 8


def test_the_papers_count_is_that_of_its_published_size() -> None:
    assert paper_ratio(0.8024, 16) == pytest.approx(0.1003)
    assert paper_ratio(0.8024) == 0.8024
    assert paper_ratio(1.0, 256) == 0.25
