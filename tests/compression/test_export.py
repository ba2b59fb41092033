"""The exported file: complete, checked, and refused when it computes something else."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from compression.errors import ExportError
from compression.export.variant import check_against_torch, export, to_onnx
from compression.training.checkpoint import load_network
from models.card import load_card
from models.fcn import Fcn, FcnConfig
from models.network import StreamingNetwork
from models.zoo import SHIPPED, load_variant

from .untrained import checkpoint

CHECKPOINTS = Path(__file__).parents[2] / "compression/checkpoints"


def test_a_right_graph_passes_over_200_frames(network: StreamingNetwork) -> None:
    assert check_against_torch(network, to_onnx(network, "original").SerializeToString()) < 1e-4


@pytest.mark.parametrize("family", ["crn", "fcn"])
def test_the_shipped_original_is_what_its_checkpoint_gives_so_that_it_can_be_compressed_again(family: str) -> None:
    shipped = onnx.load(SHIPPED / f"{family}/original.onnx")
    assert shipped.graph == to_onnx(load_network(CHECKPOINTS / f"{family}.pt"), "original").graph


def test_filters_that_are_nearly_a_block_are_made_one_and_cost_no_bytes() -> None:
    torch.manual_seed(1)
    sizes = {}
    for widths in ((15, 30, 16), (14, 15, 14)):
        network = Fcn(FcnConfig(widths, control_units=3))
        model = to_onnx(network, "original")
        content = model.SerializeToString()
        assert check_against_torch(network, content) < 1e-4
        assert any(node.op_type == "Pad" for node in model.graph.node)
        sizes[widths] = len(content) - 4 * network.parameter_count()
    assert max(sizes.values()) < 10_000  # all that is not a weight


def test_one_wrong_constant_is_noticed(network: StreamingNetwork) -> None:
    model = to_onnx(network, "original")
    weights = [c for c in model.graph.initializer if c.data_type == onnx.TensorProto.FLOAT and np.prod(c.dims) > 8]
    for constant in (weights[0], weights[-1]):
        kept = constant.SerializeToString()
        values = numpy_helper.to_array(constant).copy()
        values.flat[values.size // 2] += 0.1
        constant.CopyFrom(numpy_helper.from_array(values, constant.name))
        with pytest.raises(ExportError, match="differ by"):
            check_against_torch(network, model.SerializeToString())
        constant.ParseFromString(kept)


def test_a_graph_that_gives_no_number_is_noticed(network: StreamingNetwork) -> None:
    model = to_onnx(network, "original")
    constant = next(c for c in model.graph.initializer if c.data_type == onnx.TensorProto.FLOAT and np.prod(c.dims) > 8)
    values = np.full_like(numpy_helper.to_array(constant), np.nan)
    constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    with pytest.raises(ExportError, match="differ by nan"):
        check_against_torch(network, model.SerializeToString())


def test_the_same_network_gives_the_same_bytes(network: StreamingNetwork) -> None:
    contents = {to_onnx(network, "original").SerializeToString() for _ in range(2)}
    assert len(contents) == 1


def test_a_card_has_the_licence_that_was_named_and_keeps_it_for_the_same_file(tmp_path: Path) -> None:
    first, second = (load_network(checkpoint(tmp_path, "fcn", seed)) for seed in (1, 2))
    assert export(first, "original", tmp_path, {}, {}).licence == ""
    assert export(first, "original", tmp_path, {}, {}, "mine").licence == "mine"
    assert export(first, "original", tmp_path, {}, {}).licence == "mine"
    assert export(first, "pruned", tmp_path, {}, {}).licence == "mine"
    assert export(first, "pruned", tmp_path, {}, {}, "yours").licence == "yours"
    assert export(second, "original", tmp_path, {}, {}).licence == ""


@pytest.mark.parametrize("family", ["crn", "fcn"])
def test_the_shipped_original_made_anew_keeps_its_licence(family: str, tmp_path: Path) -> None:
    (tmp_path / family).mkdir()
    shutil.copy(SHIPPED / family / "original.json", tmp_path / family)
    shipped = load_card(SHIPPED / family / "original.json")
    made = export(load_network(CHECKPOINTS / f"{family}.pt"), "original", tmp_path, {}, {})
    assert (made.sha256, made.licence) == (shipped.sha256, shipped.licence)
    assert "LICENSES.md" in made.licence


def test_the_card_counts_every_byte_and_sizes_are_over_the_original(network: StreamingNetwork, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"original\.onnx is missing"):
        export(network, "pruned", tmp_path, {}, {})
    original = export(network, "original", tmp_path, {"steps": 3}, {})
    pruned = export(network, "pruned", tmp_path, {}, {"method": "none"})
    folder = tmp_path / network.family
    assert original.size_ratio == 1
    assert pruned.bytes == (folder / "pruned.onnx").stat().st_size
    assert pruned.size_ratio == pruned.bytes / original.bytes
    loaded = load_variant(folder / "pruned.onnx")
    assert loaded.card == pruned
    assert loaded.card.algorithmic_latency_ms == network.latency_samples / 16
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{kind}" for name in ("original", "pruned") for kind in ("onnx", "json")
    }
