"""The figures of an evaluation: means and 95 % intervals, for the card, as JSON and as Markdown tables."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compression.errors import EvaluationError
from models.card import Evaluation, Score
from models.measures import MEASURES

Measured = dict[str, float | None]
TITLES = {"pesq": "PESQ", "stoi": "STOI", "estoi": "ESTOI", "si_sdr": "SI-SDR (dB)"}
DIGITS = {"pesq": 3, "stoi": 3, "estoi": 3, "si_sdr": 2}


@dataclasses.dataclass(frozen=True)
class PairResult:
    """Measures of one pair: of the unprocessed input and of the enhanced signal."""

    name: str
    snr_db: float | None
    noisy: Measured
    enhanced: Measured


@dataclasses.dataclass(frozen=True)
class Result:
    """An evaluation.

    A pair for which a measure is missing, before or after enhancement, is left out of that measure's figures and counted.

    Attributes:
        system: What was evaluated.
        set_name: Over which pairs, in words.
        pairs: One result a pair, in order of name.
    """

    system: str
    set_name: str
    pairs: tuple[PairResult, ...]

    def values(self, measure: str) -> tuple[list[float], list[float]]:
        """Noisy and enhanced values of the pairs that have both."""
        both = [(pair.noisy[measure], pair.enhanced[measure]) for pair in self.pairs]
        whole = [(noisy, enhanced) for noisy, enhanced in both if noisy is not None and enhanced is not None]
        return [noisy for noisy, _ in whole], [enhanced for _, enhanced in whole]

    @property
    def missing(self) -> dict[str, int]:
        """How many pairs each measure lacks; measures that lack none are left out."""
        lacking = {measure: len(self.pairs) - len(self.values(measure)[0]) for measure in MEASURES}
        return {measure: count for measure, count in lacking.items() if count}

    def by_snr(self) -> dict[float, Result]:
        """The pairs of each input SNR, where names carry it."""
        known = sorted({pair.snr_db for pair in self.pairs if pair.snr_db is not None})
        return {snr: dataclasses.replace(self, pairs=tuple(p for p in self.pairs if p.snr_db == snr)) for snr in known}

    def evaluation(self) -> Evaluation:
        """For the card.

        Raises:
            EvaluationError: A measure has fewer than two values, and so no interval.
        """
        values = {measure: self.values(measure) for measure in MEASURES}
        if min(len(noisy) for noisy, _ in values.values()) < 2:
            raise EvaluationError(f"{self.set_name}: every measure needs two pairs or more for figures in a card")
        return Evaluation(
            set_name=self.set_name,
            pairs=len(self.pairs),
            scores={measure: score(enhanced) for measure, (_, enhanced) in values.items()},
            noisy={measure: score(noisy) for measure, (noisy, _) in values.items()},
            missing=self.missing,
        )

    def save(self, path: Path) -> None:
        """Write as JSON: the figures, the same by input SNR, and a row per pair.

        Raises:
            EvaluationError: The file cannot be written.
        """
        content = {
            "system": self.system,
            "set_name": self.set_name,
            **figures(self),
            "by_snr": {f"{snr:g}": figures(part) for snr, part in self.by_snr().items()},
            "rows": [dataclasses.asdict(pair) for pair in self.pairs],
        }
        write_json(path, content)


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is measured for it.

    Raises:
        EvaluationError: It cannot.
    """
    if not path.parent.is_dir():
        raise EvaluationError(f"{path} cannot be written: {path.parent} is not a folder")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise EvaluationError(f"{path} cannot be written: name a file in a folder of yours")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write figures, all of them finite.

    Raises:
        EvaluationError: The file cannot be written.
    """
    try:
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror}") from error


def score(values: Sequence[float]) -> Score:
    """Mean of two or more values and half the width of its 95 % confidence interval, 1.96 s / √n."""
    return Score(mean=float(np.mean(values)), ci95=float(1.96 * np.std(values, ddof=1) / math.sqrt(len(values))))


def figures(result: Result) -> dict[str, Any]:
    """Scores of input and output by measure, and of the gain from pair to pair; None where there are fewer than two values."""
    rows: dict[str, Any] = {"pairs": len(result.pairs), "missing": result.missing, "noisy": {}, "scores": {}, "gain": {}}
    for name in MEASURES:
        noisy, enhanced = result.values(name)
        gain = [after - before for before, after in zip(noisy, enhanced, strict=True)]
        for key, values in (("noisy", noisy), ("scores", enhanced), ("gain", gain)):
            rows[key][name] = score(values).model_dump() if len(values) > 1 else None
    return rows


def markdown(result: Result) -> str:
    """Tables for people: input, output and gain with 95 % intervals, then the means by input SNR."""
    found = figures(result)
    lines = [_row("", "pairs", *TITLES.values()), _row("---", *["--:"] * (1 + len(TITLES)))]
    for title, key, sign in (("noisy input", "noisy", ""), (result.system, "scores", ""), ("gain", "gain", "+")):
        cells = (_cell(found[key][name], name, sign) for name in MEASURES)
        lines.append(_row(title, str(len(result.pairs)), *cells))
    if parts := result.by_snr():
        lines += ["", _row("input SNR", "pairs", *TITLES.values()), _row("--:", *["--:"] * (1 + len(TITLES)))]
        for snr, part in parts.items():
            lines.append(_row(f"{snr:+g} dB", str(len(part.pairs)), *(_change(part, name) for name in MEASURES)))
    if result.missing:
        counts = ", ".join(f"{TITLES[name]} for {count}" for name, count in result.missing.items())
        lines += ["", f"Not defined and left out: {counts} of {len(result.pairs)} pairs."]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(found: dict[str, float] | None, name: str, sign: str) -> str:
    if found is None:
        return "–"
    return f"{found['mean']:{sign}.{DIGITS[name]}f} ± {found['ci95']:.{DIGITS[name]}f}"


def _change(part: Result, name: str) -> str:
    noisy, enhanced = part.values(name)
    if not noisy:
        return "–"
    return f"{np.mean(noisy):.{DIGITS[name]}f} → {np.mean(enhanced):.{DIGITS[name]}f}"
