"""Packed weights: exact after unpacking, bytes to the byte, and nothing left to unpack once a session is made."""

import copy
import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.export.graph import Graph
from compression.export.packing import PackedGraph, byte_account
from compression.export.variant import check_against_torch, export, to_onnx
from models.network import StreamingNetwork
from models.zoo import session_options


def session_of(model: onnx.ModelProto, options: onnxruntime.SessionOptions | None = None) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options or session_options(), providers=["CPUExecutionProvider"]
    )


def unpack(arrays: list[np.ndarray]) -> tuple[list[np.ndarray], bytes]:
    """The arrays as a session sees them that was given their packed form, and the file."""
    graph = PackedGraph()
    for index, array in enumerate(arrays):
        graph.add("Mul", "input", graph.weight(array), name=f"y{index}")
    outputs = {f"y{index}": list(array.shape) for index, array in enumerate(arrays)}
    model = graph.model({"input": [1]}, outputs, {})
    return session_of(model).run(None, {"input": np.ones(1, dtype=np.float32)}), model.SerializeToString()


def few_valued(random: np.random.Generator, values: int, shape: tuple[int, ...], half: bool = True) -> np.ndarray:
    """An array in which each of so many random values occurs."""
    table = np.unique(random.standard_normal(2 * values + 9).astype(np.float16 if half else np.float32))[:values]
    indices = np.concatenate([np.arange(values), random.integers(0, values, math.prod(shape) - values)])
    return table[random.permutation(indices)].reshape(shape).astype(np.float32)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("half", [True, False])
def test_every_width_comes_back_exactly_at_odd_sizes(bits: int, half: bool) -> None:
    random = np.random.default_rng(bits)
    arrays = [few_valued(random, 2**bits, shape, half) for shape in ((1, 37, 41), (1201,), (19, 7, 13), (1, 1501))]
    arrays.append(few_valued(random, 2 ** (bits - 1) + 1, (3, 1, 501), half))
    unpacked, content = unpack(arrays)
    for array, found in zip(arrays, unpacked, strict=True):
        np.testing.assert_array_equal(found, array)
    account = byte_account(content)
    assert account.indices == math.ceil(sum(array.size for array in arrays) * bits / 8)
    assert account.tables == (2 if half else 4) * sum(len(np.unique(array)) for array in arrays)
    assert account.floats == 0
    assert account.total == len(content)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 40), st.integers(1, 30), st.booleans()), min_size=1, max_size=6))
def test_any_mixture_of_tensors_comes_back_exactly(kinds: list[tuple[int, int, int, bool]]) -> None:
    random = np.random.default_rng(0)
    arrays = [few_valued(random, min(values, rows * columns), (rows, columns), half) for values, rows, columns, half in kinds]
    unpacked, content = unpack(arrays)
    for array, found in zip(arrays, unpacked, strict=True):
        np.testing.assert_array_equal(found, array)
    assert byte_account(content).total == len(content)


def quantized(network: StreamingNetwork, values: int = 16) -> StreamingNetwork:
    """A copy whose larger tensors take few values, and all others fit float16; normalisation does nothing."""
    network = copy.deepcopy(network)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.zero_()
        elif name.endswith("running_var"):
            buffer.fill_(float(np.float32(1) - np.float32(1e-5)))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.fill_(1)
            elif name.endswith("expand_norm.bias"):  # behind a layer that has a bias of its own
                parameter.zero_()
            elif parameter.numel() > 150:
                step = float(parameter.abs().max() / (values // 2 - 1))
                parameter.copy_((step * (parameter / step).round()).half())
            else:
                parameter.copy_(parameter.half())
    return network


def optimized_operators(content: bytes, folder: Path, options: onnxruntime.SessionOptions) -> Counter:
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def test_a_packed_network_computes_what_torch_computes(network: StreamingNetwork) -> None:
    few = quantized(network)
    packed = to_onnx(few, "quantized").SerializeToString()
    assert check_against_torch(few, packed) < 1e-4
    plain = to_onnx(few, "original").SerializeToString()
    assert byte_account(packed).indices > 0
    assert len(packed) < len(plain)


@pytest.mark.parametrize("options", [session_options, onnxruntime.SessionOptions])
def test_a_session_runs_the_same_operators_as_with_plain_weights(network: StreamingNetwork, tmp_path: Path, options) -> None:
    few = quantized(network)
    packed, plain = (to_onnx(few, name).SerializeToString() for name in ("quantized", "original"))
    operators = optimized_operators(packed, tmp_path, options())
    assert operators == optimized_operators(plain, tmp_path, options())
    assert not {"Gather", "BitShift", "Mod", "MatMulInteger"} & set(operators)


def test_original_is_plain_float32(network: StreamingNetwork) -> None:
    model = to_onnx(quantized(network), "original")
    kinds = {constant.data_type for constant in model.graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    account = byte_account(model.SerializeToString())
    assert account.indices == account.tables == 0
    assert account.floats >= 4 * sum(p.numel() for name, p in network.named_parameters() if "norm" not in name) * 0.99


def test_weights_that_nothing_can_shrink_are_left_in_float32(network: StreamingNetwork) -> None:
    contents = [to_onnx(network, name).SerializeToString() for name in ("original", "pruned")]
    assert len(contents[1]) - len(contents[0]) <= len("pruned") - len("original") + 200
    assert byte_account(contents[1]).indices == 0


def test_equal_weights_are_stored_once() -> None:
    random = np.random.default_rng(1)
    array, other = (few_valued(random, 16, (40, 30)) for _ in range(2))
    assert byte_account(unpack([array, array.copy(), other])[1]).indices == 2 * 600


def test_joined_weights_keep_their_own_tables_where_that_is_smaller() -> None:
    random = np.random.default_rng(2)
    parts = [few_valued(random, 16, (900,)) for _ in range(2)]
    graph = PackedGraph()
    graph.add("Mul", "input", graph.joined_weights(*parts), name="output")
    model = graph.model({"input": [1]}, {"output": [1, 1800]}, {})
    found = session_of(model).run(None, {"input": np.ones(1, dtype=np.float32)})[0]
    np.testing.assert_array_equal(found, np.concatenate(parts)[None])
    assert byte_account(model.SerializeToString()).indices == 900


def test_the_metadata_tells_the_widest_index(network: StreamingNetwork, tmp_path: Path) -> None:
    entries = {}
    for variant in ("original", "quantized"):
        model = to_onnx(quantized(network), variant)
        entries[variant] = {entry.key: entry.value for entry in model.metadata_props}["codebook_bits"]
    assert entries == {"original": "0", "quantized": "4"}
    export(quantized(network), "original", tmp_path, {}, {})
    assert export(quantized(network), "quantized", tmp_path, {}, {}).size_ratio < 1


def test_a_plain_graph_keeps_weights_as_constants() -> None:
    graph = Graph()
    assert graph.weight([1.0, 2.0]) == graph.constant([1.0, 2.0])
    assert graph.codebook_bits == 0
