"""`quietwire sweep` over small networks: its points, their known sizes, skipping and stopping, and their rows in a report."""

import math
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch

from compression.data import sources
from compression.data.batches import Batch
from compression.data.pairs import find_pairs
from compression.errors import CompressionError, RecipeError
from compression.export.variant import export
from compression.pipeline import stages
from compression.pruning.kernels import sparsity
from compression.report.measure import find_subjects, measure_report
from compression.report.table import markdown
from compression.training.checkpoint import load_network
from compression.training.train import Trainer
from models.card import VariantCard, load_card

from .compression_command import write
from .sweep_command import SETTINGS, succeed
from .untrained import checkpoint

NAMES = {
    *("quantized-k2", "quantized-k4", "quantized-k16", "pruned-macs0.8", "pruned-macs0.6"),
    *("pruned-theta0.6", "combined-theta0.6-k8"),
}
TAPS = 55


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sweep of an `fcn` is made once."""
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module", autouse=True)
def short_validation():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "VALIDATION_BATCH", 2)
        patch.setattr(sources, "VALIDATION_SECONDS", 1)
        yield


@pytest.fixture(scope="module")
def made(folder: Path, recordings: Path) -> dict[str, VariantCard]:
    """Cards of all points of the sweep in ``folder``, by name."""
    write(folder, SETTINGS)
    said = succeed(recordings, folder, random_fcn(folder))
    found = sorted((folder / "out").rglob("*.json"))
    assert said.stdout.startswith(f"{folder / 'out'}: {len(found)} points, ")
    return {path.stem: load_card(path) for path in found}


def random_fcn(folder: Path) -> Path:
    """A checkpoint whose kernels differ in sparsity: half of each kernel's taps are small, a little more or less."""
    path = checkpoint(folder, "fcn")
    content = torch.load(path, weights_only=True)
    generator = torch.Generator().manual_seed(3)
    for name, value in content["average"].items():
        if name.startswith("convs") and value.ndim == 3:
            value.copy_(0.02 * torch.randn(value.shape, generator=generator))
    torch.save(content, path)
    return path


def weights(path: Path) -> list[np.ndarray]:
    """Of the convolutions of a variant that stores them as they are, in order: ``[outputs, inputs, taps]``."""
    graph = onnx.load(path).graph
    constants = {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}
    return [constants[node.input[1]].squeeze(2) for node in graph.node if node.op_type == "Conv"]


def test_every_setting_is_a_point_with_an_honest_card(made: dict[str, VariantCard], folder: Path) -> None:
    assert set(made) == NAMES
    for name, card in made.items():
        path = folder / f"out/fcn/{name}.onnx"
        assert card.bytes == path.stat().st_size == sum(card.compression["bytes"].values())
        assert card.variant == name.split("-")[0]
        assert card.compression["stages"][-1]["losses"].keys() == {"original", "before", "after"}
    assert {name: card.compression["k"] for name, card in made.items() if "k" in card.compression} == {
        "quantized-k2": 2,
        "quantized-k4": 4,
        "quantized-k16": 16,
        "combined-theta0.6-k8": 8,
    }


def test_bytes_fall_with_the_centroids_by_the_bits_of_an_index(made: dict[str, VariantCard]) -> None:
    sizes = {k: made[f"quantized-k{k}"].bytes for k in (2, 4, 16)}
    indices = {k: made[f"quantized-k{k}"].compression["bytes"]["indices"] for k in (2, 4, 16)}
    assert sizes[2] < sizes[4] < sizes[16]
    shared = 10 * TAPS + 10 * 10 * TAPS + 10 * TAPS
    assert indices == {k: math.ceil(shared * math.log2(k) / 8) for k in (2, 4, 16)}


def test_each_removal_of_units_goes_on_from_the_one_before(made: dict[str, VariantCard]) -> None:
    ratios = {name: card.compression["ratios"]["macs_ratio"] for name, card in made.items() if "macs" in name}
    assert ratios["pruned-macs0.6"] <= 0.6 < ratios["pruned-macs0.8"] <= 0.8
    done = [stage["stage"] for stage in made["pruned-macs0.6"].compression["stages"]]
    assert done == ["sweep/pruned-macs0.8", "sweep/pruned-macs0.6"]
    assert [stage["figures"]["steps"] for stage in made["pruned-macs0.6"].compression["stages"]] == [2, 2]


def test_zeroed_kernels_are_those_of_the_rule_applied_to_the_last_round(made: dict[str, VariantCard], folder: Path) -> None:
    found = [stage["stage"].rpartition("/")[2] for stage in made["pruned-theta0.6"].compression["stages"]]
    assert found == ["round-1", "round-2", "final"]
    trained = torch.load(folder / "run/sweep/pruned-theta0.6/round-2/best.pt", weights_only=True)["average"]
    sparse = sparsity(trained["convs.1.weight"]) > 0.6
    sparse &= ~sparse.all(1, keepdim=True)  # no filter of these loses all
    first, middle, last = weights(folder / "out/fcn/pruned-theta0.6.onnx")
    assert 0 < sparse.sum() < 100
    assert np.array_equal(~middle.any(axis=2), sparse.numpy())
    assert first.any(axis=2).all() and last.any(axis=2).all()


def test_the_papers_count_is_the_share_of_kept_weights_times_the_bits_of_an_index(
    made: dict[str, VariantCard], folder: Path
) -> None:
    zeroed = int((~weights(folder / "out/fcn/pruned-theta0.6.onnx")[1].any(axis=2)).sum())
    kept = (10 + 100 - zeroed + 10) / 120
    facts = made["pruned-theta0.6"].compression
    assert facts["kept_ratio"] == facts["paper_ratio"] == pytest.approx(kept)
    assert made["combined-theta0.6-k8"].compression["paper_ratio"] == pytest.approx(kept * 3 / 32)
    assert made["quantized-k16"].compression["paper_ratio"] == 0.125
    assert made["pruned-theta0.6"].size_ratio > 0.99  # zeros in a dense tensor save nothing


def test_points_that_are_there_are_skipped_and_a_missing_one_is_made_again(
    made: dict[str, VariantCard], folder: Path, recordings: Path
) -> None:
    source, missing = folder / "fcn-1.pt", folder / "out/fcn/combined-theta0.6-k8.onnx"
    kept = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.*") if path.stem != missing.stem}
    content = missing.read_bytes()
    missing.write_bytes(content[:-1])  # as if the writing had been cut off
    said = succeed(recordings, folder, source).stderr
    assert "7 points, 6 of them made before" in said
    assert missing.read_bytes() == content
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    write(folder, SETTINGS.replace("centroids = [4, 2, 16]", "centroids = []"))
    assert "4 points, 4 of them made before" in succeed(recordings, folder, source).stderr


def test_a_folder_of_another_network_or_of_other_settings_is_refused(
    made: dict[str, VariantCard], folder: Path, recordings: Path
) -> None:
    write(folder, SETTINGS)
    with pytest.raises(CompressionError, match=r"quantized-k4\.json was made of another network: use another --out"):
        succeed(recordings, folder, checkpoint(folder, "fcn", 2))
    write(folder, SETTINGS.replace("soft_rounds = 2", "soft_rounds = 3"))
    with pytest.raises(CompressionError, match=r"pruned-theta0\.6\.json was made with other settings: use another --out"):
        succeed(recordings, folder, folder / "fcn-1.pt")


def test_a_report_lists_the_points_with_both_ways_of_counting(
    made: dict[str, VariantCard], folder: Path, tmp_path: Path, voice
) -> None:
    export(load_network(folder / "fcn-1.pt"), "original", tmp_path / "zoo", {}, {})
    for index in range(2):
        clean = 0.3 * voice(1, index)
        noise = 0.05 * np.random.default_rng(index).standard_normal(len(clean))
        for kind, audio in (("clean", clean), ("noisy", clean + noise)):
            soundfile.write(tmp_path / f"{index}_{kind}.wav", audio, 16000)
    subjects = find_subjects(tmp_path / "zoo", ["fcn"], folder / "out")
    found = measure_report(subjects, [0.01] * len(subjects.found), find_pairs(tmp_path), "two voices")
    rows = markdown(found).split("## fcn: sweep")[1].split("##")[0]
    card = made["combined-theta0.6-k8"]
    name = f"paper's rule: θ = 0.6, k = 8, {100 * card.compression['paper_ratio']:.2f} % as the paper counts"
    assert f"| {name} | {card.bytes:,} | {100 * card.size_ratio:.2f} |" in rows
    assert "| quantized: k = 16, 12.50 % as the paper counts |" in rows
    assert "| pruned: multiplications ≤ 60 % |" in rows
    assert "A size as the paper counts is log2(k)/32 of the share of weights that are kept" in rows
    assert rows.count("\n| ") == 2 + len(NAMES)


def test_ctrl_c_keeps_what_is_done_and_ends_as_if_it_had_not_come(
    made: dict[str, VariantCard], folder: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, SETTINGS.replace("macs_ratios = [0.6, 0.8]", "macs_ratios = [0.8]").replace("[0.6]", "[]"))
    source, step = folder / "fcn-1.pt", Trainer._step

    def interrupted(trainer: Trainer, batch: Batch) -> float:
        signal.raise_signal(signal.SIGINT)
        return step(trainer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        said = succeed(recordings, tmp_path, source).stdout
    assert said == "stopped in sweep/pruned-macs0.8 after 1 of 2 steps; the same command goes on\n"
    assert {path.stem for path in tmp_path.glob("out/fcn/*.onnx")} == {"quantized-k2", "quantized-k4", "quantized-k16"}
    succeed(recordings, tmp_path, source)
    for path in tmp_path.glob("out/fcn/*.onnx"):
        assert path.read_bytes() == (folder / "out/fcn" / path.name).read_bytes()
    assert (tmp_path / "out/fcn/pruned-macs0.8.onnx").exists()


def test_ctrl_c_between_trainings_is_no_error(
    folder: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, SETTINGS)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "validate", interrupted)
    said = succeed(recordings, tmp_path, checkpoint(tmp_path, "fcn")).stdout
    assert said == "stopped in quantized-k4; the same command goes on\n"


def test_no_steps_means_no_training(recordings: Path, tmp_path: Path) -> None:
    text = SETTINGS.replace("steps = 2\nthresholds", "steps = 0\nthresholds").replace("soft_steps = 2", "soft_steps = 0")
    write(tmp_path, text.replace("[4, 2, 16]", "[]").replace("[8]", "[]").replace("[0.6, 0.8]", "[0.8]"))
    succeed(recordings, tmp_path, random_fcn(tmp_path))
    made = {path.stem: load_card(path).compression for path in tmp_path.glob("out/fcn/*.json")}
    assert set(made) == {"pruned-macs0.8", "pruned-theta0.6"}
    for compression in made.values():
        (stage,) = compression["stages"]
        assert (stage["settings"]["training"]["steps"], stage["figures"]) == (0, {"steps": 0})
        assert stage["losses"]["before"] == stage["losses"]["after"]
    assert not list(tmp_path.glob("run/**/*.pt"))


def test_a_crn_has_a_sweep_without_thresholds(recordings: Path, tmp_path: Path) -> None:
    few = SETTINGS.replace("[4, 2, 16]", "[16]").replace("[0.6, 0.8]", "[0.85]")
    write(tmp_path, few)
    source = checkpoint(tmp_path, "crn")
    with pytest.raises(RecipeError, match=r"thresholds in \[sweep\] are for fcn, and this is crn"):
        succeed(recordings, tmp_path, source)
    write(tmp_path, few.replace("[0.6]", "[]"))
    succeed(recordings, tmp_path, source)
    assert {path.stem for path in tmp_path.glob("out/crn/*.json")} == {"quantized-k16", "pruned-macs0.85"}
