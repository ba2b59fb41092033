"""Bits by sensitivity under a budget, and training of shared weights, on small networks with known answers."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compression.errors import CompressionError
from compression.export.folding import fold_normalisation, stored_parameters
from compression.export.packing import byte_account
from compression.export.variant import check_against_torch, to_onnx
from compression.quantization.bits import (
    HALF,
    STATE_RESERVE,
    approximate,
    choose_plan,
    measure_sensitivity,
    output_distance,
    plan_bytes,
    quantize,
    stored_bytes,
    upgrades,
)
from compression.quantization.sharing import CodebookParametrization, fine_tunable, settled
from models.fcn import Fcn, FcnConfig
from models.network import StreamingNetwork


def noise(samples: int = 3200, seed: int = 1) -> Tensor:
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(seed))


def uniform_plan(network: StreamingNetwork, bits: int, smallest: int = 60) -> dict[str, int]:
    parameters = stored_parameters(fold_normalisation(network))
    return {name: bits if parameter.numel() >= smallest else HALF for name, parameter in parameters.items()}


def test_tables_are_exact_in_half_precision_and_no_longer_than_asked() -> None:
    values = np.random.default_rng(1).standard_normal((50, 60)).astype(np.float32)
    for bits in range(1, 9):
        book = quantize(values, bits)
        assert len(book.table) == 2**bits
        np.testing.assert_array_equal(book.table, book.table.astype(np.float16))
    assert approximate(torch.from_numpy(values), 8).sub(torch.from_numpy(values)).abs().mean() < 0.01
    with pytest.raises(ValueError, match="9 bits"):
        quantize(values, 9)


def test_important_weights_are_kept_more_exactly() -> None:
    values = np.random.default_rng(2).standard_normal(1000).astype(np.float32)
    importance = np.where(values > 1, 1000, 1).astype(np.float32)
    errors = []
    for weights in (None, importance):
        book = quantize(values, 3, weights)
        errors.append(np.square(book.table[book.indices] - values)[values > 1].sum())
    assert errors[1] < errors[0] / 4


def test_steps_follow_the_hull_in_order_of_damage_saved_per_byte() -> None:
    sizes = {"a": 8000, "b": 8000}
    damage = {2: 1.0, 3: 0.9, 4: 0.1, 5: 0.05}
    smallest, steps = upgrades(sizes, {"a": damage, "b": {bits: 10 * value for bits, value in damage.items()}})
    assert smallest == {"a": 2, "b": 2}
    assert steps == [("b", 4), ("b", 5), ("a", 4), ("a", 5)]  # 3 bits lie above the hull


def test_bits_that_do_damage_instead_of_good_are_never_bought() -> None:
    smallest, steps = upgrades({"a": 8000}, {"a": {2: 0.5, 3: 0.6, 4: 0.4, 8: 0.4}})
    assert (smallest, steps) == ({"a": 2}, [("a", 4)])


def test_the_more_sensitive_tensor_gets_more_bits(network: StreamingNetwork) -> None:
    folded = fold_normalisation(network)
    sizes = {name: parameter.numel() for name, parameter in stored_parameters(folded).items()}
    first, second, *_ = sorted(sizes, key=lambda name: -sizes[name])
    sensitivity = {name: {HALF: 0.0} for name in sizes}
    sensitivity[first] = {bits: 4.0**-bits for bits in (2, 4, 6)}
    sensitivity[second] = {bits: 1000 * 4.0**-bits for bits in (2, 4, 6)}
    smallest, _ = upgrades(sizes, sensitivity)
    budget = plan_bytes(folded, smallest) + sizes[second] * 3 // 4 + 150
    plan, _ = choose_plan(folded, sensitivity, budget)
    assert plan[second] > plan[first]


def test_plans_respect_every_budget_to_the_byte_and_use_what_they_may(network: StreamingNetwork) -> None:
    folded = fold_normalisation(network)
    sensitivity = measure_sensitivity(folded, output_distance(network, noise()), widths=(2, 4, 6))
    sizes = {name: parameter.numel() for name, parameter in stored_parameters(folded).items()}
    smallest, steps = upgrades(sizes, sensitivity)
    least, most = (plan_bytes(folded, plan) for plan in (smallest, smallest | dict(steps)))
    damages = []
    for budget in (least, (least + most) // 2, most - 1, most):
        plan, size = choose_plan(folded, sensitivity, budget)
        content = to_onnx(settled(fine_tunable(network, plan)), "quantized").SerializeToString()
        assert len(content) <= size <= budget
        assert byte_account(content).total == len(content)
        damages.append(sum(sensitivity[name][bits] for name, bits in plan.items()))
    assert damages == sorted(damages, reverse=True)
    assert json.loads(json.dumps(plan)) == plan
    with pytest.raises(CompressionError, match=f"the smallest plan needs {least}"):
        choose_plan(folded, sensitivity, least - 1)


def test_a_file_has_the_bytes_that_its_plan_foretells(network: StreamingNetwork) -> None:
    reserve = 2 * STATE_RESERVE if network.family == "fcn" else 0  # its first state is compressed text
    for bits in (3, 5):
        plan = uniform_plan(network, bits)
        content = to_onnx(settled(fine_tunable(network, plan)), "quantized").SerializeToString()
        assert plan_bytes(network, plan) - reserve <= len(content) <= plan_bytes(network, plan)


def test_sensitivity_falls_with_bits_is_repeatable_and_leaves_the_network_alone(network: StreamingNetwork) -> None:
    folded = fold_normalisation(network)
    kept = copy.deepcopy(folded.state_dict())
    calls: list[tuple[int, int]] = []
    measure = output_distance(network, noise())
    found = measure_sensitivity(folded, measure, (2, 6), lambda done, total: calls.append((done, total)))
    assert found == measure_sensitivity(folded, measure, (2, 6))
    for name, value in folded.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)
    assert calls[-1][0] == calls[-1][1] == len(calls)
    large = [damages for damages in found.values() if len(damages) == 3]
    assert large
    assert all(damages[2] > damages[6] > -1e-6 for damages in large)
    sizes = {name: parameter.numel() for name, parameter in stored_parameters(folded).items()}
    assert all(stored_bytes(sizes[name], bits) <= 2 * sizes[name] for name, damages in found.items() for bits in damages)


def test_a_plan_of_another_network_is_refused(network: StreamingNetwork) -> None:
    with pytest.raises(CompressionError, match=r"'other\.weight'"):
        plan_bytes(network, uniform_plan(network, 4) | {"other.weight": 4})
    with pytest.raises(CompressionError, match=r"'other\.weight'"):
        fine_tunable(network, {"other.weight": 4})


def test_a_centroid_s_gradient_is_the_sum_of_its_weights_gradients() -> None:
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 1.0], [5.0, 2.0, 1.0]]))
    indices = torch.tensor([[0, 1, 0], [2, 1, 0]])
    parametrize.register_parametrization(layer, "weight", CodebookParametrization(indices, 3, torch.tensor(2.0)))
    (table,) = layer.parameters()
    assert table.tolist() == [0.5, 1, 2.5]
    layer(torch.tensor([[10.0, 100.0, 1000.0]])).mul(torch.tensor([[1.0, 3.0]])).sum().backward()
    assert table.grad is not None
    assert table.grad.tolist() == [2 * (10 + 1000 + 3000), 2 * (100 + 300), 2 * 30]


def test_a_step_of_training_changes_small_and_large_tensors_alike() -> None:
    changes = []
    for size in (1e-6, 1.0, 1e3):
        network = Fcn(FcnConfig((3, 3)))
        with torch.no_grad():
            network.convs[1].weight.normal_(0, size, generator=torch.Generator().manual_seed(1))
        shared = fine_tunable(network, {"convs.1.weight": 4})
        before = shared.get_submodule("convs.1").weight.detach().clone()
        optimizer = torch.optim.Adam(shared.parameters(), lr=1e-3, eps=0)
        shared.get_submodule("convs.1").weight.sum().backward()
        optimizer.step()
        changes.append(float((shared.get_submodule("convs.1").weight.detach() - before).norm() / before.norm()))
    np.testing.assert_allclose(changes, 1e-3, rtol=0.5)


def tables(network: StreamingNetwork) -> dict[str, tuple[CodebookParametrization, nn.Parameter]]:
    """By name, what is trained of each tensor that has a table, and how the tensor is made of it."""
    found = {}
    for name, parameter in network.named_parameters():
        if name.endswith(".original"):
            made = network.get_submodule(name.removesuffix(".original"))[0]
            if isinstance(made, CodebookParametrization):
                found[name.replace("parametrizations.", "").removesuffix(".original")] = (made, parameter)
    return found


def test_gradients_through_a_whole_network_are_sums_over_clusters(network: StreamingNetwork) -> None:
    plan = uniform_plan(network, 3)
    shared = fine_tunable(network, plan)
    with torch.no_grad():
        for parameter in shared.parameters():
            parameter.copy_(parameter.half().float())
    plain = fold_normalisation(settled(shared))
    for other in (shared, plain):
        other.train()(noise()).square().mean().backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in stored_parameters(plain).items()}
    shared_tensors = tables(shared)
    assert set(shared_tensors) == {name for name, bits in plan.items() if bits == 3}
    for name, (made, table) in shared_tensors.items():
        sums = np.bincount(made.indices.numpy().ravel(), gradients[name].ravel(), len(table))
        expected = made.scale.item() * sums
        np.testing.assert_allclose(table.grad, expected, rtol=2e-2, atol=1e-3 * np.abs(expected).max())


def tune(network: StreamingNetwork, target: Tensor, steps: int = 30) -> tuple[StreamingNetwork, list[float]]:
    shared = fine_tunable(network, uniform_plan(network, 2))
    optimizer = torch.optim.Adam(shared.parameters(), lr=2e-3)
    losses = []
    for _ in range(steps):
        loss = (shared.train()(noise()) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return shared, losses


def test_fine_tuning_lowers_the_loss_keeps_the_sharing_and_exports(network: StreamingNetwork) -> None:
    with torch.no_grad():
        target = network(noise())
    shared, losses = tune(network, target)
    assert losses[-1] < 0.7 * losses[0]
    final = settled(shared)
    parameters = dict(final.named_parameters())
    for name, (_, table) in tables(shared).items():
        assert len(table) <= 4
        assert len(parameters[name].unique()) <= 4
    with torch.no_grad():
        torch.testing.assert_close(final(noise()), shared.eval()(noise()), atol=2e-3, rtol=0)
        assert (final(noise()) - target).square().mean() < 0.75 * losses[0]
    content = to_onnx(final, "quantized").SerializeToString()
    check_against_torch(final, content)
    assert len(content) <= plan_bytes(network, uniform_plan(network, 2))
    assert final.parameter_count() == network.parameter_count()


def test_fine_tuning_is_deterministic(network: StreamingNetwork) -> None:
    with torch.no_grad():
        target = network(noise())
    runs = [tune(network, target, steps=4)[1] for _ in range(2)]
    assert runs[0] == runs[1]


def test_the_state_of_a_fine_tuned_network_loads_into_another(network: StreamingNetwork) -> None:
    with torch.no_grad():
        target = network(noise())
    shared, _ = tune(network, target, steps=3)
    other = fine_tunable(network, uniform_plan(network, 2))
    other.load_state_dict(shared.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(noise()), shared.eval()(noise()))


def test_a_network_whose_tables_are_trained_begins_in_the_same_silence(network: StreamingNetwork) -> None:
    torch.testing.assert_close(fine_tunable(network, {}).initial_state(2), fold_normalisation(network).initial_state(2))
