"""Points of a sweep: further variants in a folder, each named after the settings that its card says it was made with.

Any ``*.onnx`` with its card ``*.json`` beside it is a point, however deep it lies, so a zoo made by `quietwire compress
--zoo sweep/NAME` can be put there as it is beside what `quietwire sweep` makes; an ``original`` is no point.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compression.errors import EvaluationError
from models.card import VariantCard

SHARES = {"macs_ratio": "multiplications", "parameters_ratio": "parameters", "share": "bytes"}
AS_THE_PAPER = "as the paper counts"


def sweep_files(folder: Path) -> list[Path]:
    """All ONNX files with a card below a folder, in order of path.

    Raises:
        EvaluationError: There is no such folder, or nothing in it.
    """
    files = [path for path in sorted(folder.rglob("*.onnx")) if path.with_suffix(".json").exists()]
    if not files:
        raise EvaluationError(f"{folder} has no .onnx file with its card beside it: name a folder of variants for --sweep")
    return files


def series(card: VariantCard) -> str:
    """The line that a point belongs to: ``θ``, or ``θ and k``, for the paper's kernel pruning, else the variant."""
    settings = _settings(card)
    if "theta" in settings:
        return "θ and k" if "k" in settings else "θ"
    return card.variant


def label(card: VariantCard) -> str:
    """What a point was made with, in words, as ``pruned: multiplications ≤ 40 %, parameters ≤ 35 %``.

    Read from the card: ``theta`` (threshold of kernel pruning), ``k`` (centroids a tensor), the settings of the stages of
    `quietwire compress`, the bits that were chosen, and ``paper_ratio`` (size as the paper counts). What the card does not
    say, and a share of 100 %, is left out.
    """
    settings, parts = _settings(card), []
    if "theta" in settings:
        parts.append(f"θ = {settings['theta']:g}")
    if "k" in settings:
        parts.append(f"k = {settings['k']:g}")
    parts += [f"{word} ≤ {100 * settings[key]:.3g} %" for key, word in SHARES.items() if settings.get(key, 1) < 1]
    if bits := sorted(value for value in _table(card.compression.get("bits")).values() if isinstance(value, int)):
        parts.append(f"{bits[0]} bits" if bits[0] == bits[-1] else f"{bits[0]} to {bits[-1]} bits")
    if "paper_ratio" in settings:
        parts.append(f"{100 * settings['paper_ratio']:.2f} % {AS_THE_PAPER}")
    kind = "paper's rule" if "theta" in settings else card.variant
    return f"{kind}: {', '.join(parts)}" if parts else kind


def _settings(card: VariantCard) -> dict[str, float]:
    """Numbers of a card's compression, at the top and in its stages' tables of settings; later stages win."""
    stages = card.compression.get("stages")
    settings = [_table(_table(stage).get("settings")) for stage in stages] if isinstance(stages, list) else []
    inner = [_table(stage.get(kind)) for stage in settings for kind in ("pruning", "quantization")]
    tables = [card.compression, *settings, *inner]
    wanted = {"theta", "k", "paper_ratio", *SHARES}
    return {key: value for table in tables for key, value in table.items() if key in wanted and isinstance(value, int | float)}


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
