"""Folded networks compute the same, and what they hold is what is stored."""

import copy

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from compression.export.folding import fold_normalisation, stored_parameters, unfold_normalisation
from compression.export.variant import to_onnx
from compression.training.recipe import build_network
from models.network import StreamingNetwork


def test_a_folded_network_computes_the_same_in_either_mode(network: StreamingNetwork) -> None:
    audio = 0.1 * torch.randn(2, 1600, generator=torch.Generator().manual_seed(1))
    folded = fold_normalisation(network)
    with torch.no_grad():
        expected = network(audio)
        torch.testing.assert_close(folded(audio), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(folded.train()(audio), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(folded.eval()(audio), expected, atol=1e-5, rtol=1e-4)


def test_folding_twice_changes_nothing(network: StreamingNetwork) -> None:
    once = fold_normalisation(network)
    twice = fold_normalisation(once)
    for name, value in once.state_dict().items():
        torch.testing.assert_close(twice.state_dict()[name], value, rtol=0, atol=0)


def test_an_unfolded_network_computes_what_the_folded_one_does_and_can_be_trained_over_batches(
    network: StreamingNetwork,
) -> None:
    audio = 0.1 * torch.randn(2, 1600, generator=torch.Generator().manual_seed(1))
    network = copy.deepcopy(network)  # training mode changes its statistics
    folded = fold_normalisation(network)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in stored_parameters(folded).values():  # as training would move it
            parameter.mul_(1 + 0.1 * torch.randn(parameter.shape, generator=generator))
        unfolded = unfold_normalisation(folded, network)
        torch.testing.assert_close(unfolded(audio), folded(audio), atol=1e-5, rtol=1e-3)
        again = unfold_normalisation(fold_normalisation(network), network)
        torch.testing.assert_close(again.train()(audio), network.train()(audio), atol=1e-5, rtol=1e-3)


def test_an_ordinary_network_takes_the_folded_weights(network: StreamingNetwork) -> None:
    folded = fold_normalisation(network)
    plain = build_network({"family": network.family, **network.hyperparameters()}).eval()
    plain.load_state_dict(folded.state_dict())
    assert to_onnx(plain, "original").SerializeToString() == to_onnx(folded, "original").SerializeToString()
    assert plain.parameter_count() == network.parameter_count()


def test_the_file_holds_exactly_the_folded_parameters(network: StreamingNetwork) -> None:
    folded = fold_normalisation(network)
    constants = [c for c in to_onnx(folded, "original").graph.initializer if c.data_type == onnx.TensorProto.FLOAT]
    stored = np.concatenate([numpy_helper.to_array(constant).ravel() for constant in constants])
    parameters = stored_parameters(folded)
    for value in parameters.values():
        assert np.isin(value.detach().numpy(), stored).all()
    trained = sum(value.numel() for value in parameters.values())
    few = 32 if network.hyperparameters().get("memory_units") else 20  # numbers of the graph and of formulas
    assert trained <= len(stored) <= trained + few


def test_gradients_reach_what_is_stored_and_nothing_else(network: StreamingNetwork) -> None:
    folded = fold_normalisation(network).train()
    folded(0.1 * torch.randn(1, 3200, generator=torch.Generator().manual_seed(2))).square().sum().backward()
    touched = {name for name, parameter in folded.named_parameters() if parameter.grad is not None}
    assert touched == set(stored_parameters(folded))
