"""What a point of a sweep is called, from what its card says."""

from pathlib import Path
from typing import Any

import pytest

from compression.errors import EvaluationError
from compression.report.sweep import label, series, sweep_files
from models.card import VariantCard


def card(variant: str, compression: dict[str, Any]) -> VariantCard:
    facts = {"bytes": 1, "size_ratio": 1, "parameters": 1, "macs_per_second": 1, "algorithmic_latency_ms": 20}
    return VariantCard(model="crn", variant=variant, sha256="0" * 64, **facts, compression=compression)


ROUND = {"stage": "pruned/round-1", "settings": {"pruning": {"rounds": 1, "macs_ratio": 0.4, "parameters_ratio": 0.355}}}
FINAL = {"stage": "pruned/final", "settings": {"training": {"steps": 3}}}
QUANTIZED = {"stage": "quantized", "settings": {"quantization": {"share": 0.055, "original_bytes": 10}}}


@pytest.mark.parametrize(
    ("variant", "compression", "words", "line"),
    [
        (
            "pruned",
            {"stages": [ROUND, FINAL]},
            "pruned: multiplications ≤ 40 %, parameters ≤ 35.5 %",
            "pruned",
        ),
        (
            "quantized",
            {"stages": [QUANTIZED], "bits": {"a": 2, "b": 6, "c": 4}},
            "quantized: bytes ≤ 5.5 %, 2 to 6 bits",
            "quantized",
        ),
        (
            "combined",
            {"stages": [ROUND, FINAL, QUANTIZED], "bits": {"a": 4}},
            "combined: multiplications ≤ 40 %, parameters ≤ 35.5 %, bytes ≤ 5.5 %, 4 bits",
            "combined",
        ),
        ("pruned", {"theta": 0.65}, "paper's rule: θ = 0.65", "θ"),
        ("pruned", {"stages": [{"settings": {"pruning": {"theta": 0.7}}}]}, "paper's rule: θ = 0.7", "θ"),
        (
            "combined",
            {"theta": 0.65, "k": 16, "kept_ratio": 0.8024, "paper_ratio": 0.1003},
            "paper's rule: θ = 0.65, k = 16, 10.03 % as the paper counts",
            "θ and k",
        ),
        ("pruned", {"macs_ratio": 0.5, "parameters_ratio": 1.0}, "pruned: multiplications ≤ 50 %", "pruned"),
        ("quantized", {"k": 16}, "quantized: k = 16", "quantized"),
        ("pruned", {}, "pruned", "pruned"),
        ("pruned", {"stages": "none", "bits": [3], "theta": "high", "k": None}, "pruned", "pruned"),
    ],
)
def test_a_point_is_called_after_the_settings_in_its_card(
    variant: str, compression: dict[str, Any], words: str, line: str
) -> None:
    assert label(card(variant, compression)) == words
    assert series(card(variant, compression)) == line


def test_points_are_all_files_with_a_card_however_deep(tmp_path: Path) -> None:
    for name in ("b/crn/pruned", "a", "b/none"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.onnx").write_bytes(b"")
    for name in ("b/crn/pruned", "a", "c"):
        (tmp_path / f"{name}.json").write_text("")
    assert sweep_files(tmp_path) == [tmp_path / "a.onnx", tmp_path / "b/crn/pruned.onnx"]


def test_a_folder_without_points_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(EvaluationError, match="name a folder of variants for --sweep"):
            sweep_files(folder)
