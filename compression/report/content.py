"""What a report says: every network with its costs and its measures pair by pair, as one JSON file that can be read again.

A network's losses are computed of the pairs when they are asked for, so a report that was read from a file says the same.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from compression.errors import EvaluationError
from compression.evaluation.result import Measured, PairResult, Result, score
from compression.evaluation.statistics import RelativeLoss, relative_loss
from compression.report.peers import Reference
from models.card import FAMILIES, Family, Score, VariantName
from models.measures import MEASURES

LOST = ("pesq", "stoi")  # measures with a relative loss; a ratio of decibels would mean nothing


@dataclasses.dataclass(frozen=True)
class Input:
    """A pair before enhancement: its name, its SNR in dB where the name carries it, and the noisy side's measures."""

    name: str
    snr_db: float | None
    noisy: Measured


@dataclasses.dataclass(frozen=True)
class System:
    """One network.

    Attributes:
        family: Of the network.
        variant: As its card says.
        label: What tells it from the others of its family: the variant, or the settings of a point of a sweep.
        series: Which line of points in the plots it belongs to; None for a variant of the zoo.
        bytes: On disk.
        size_ratio: ``bytes`` over those of ``original``.
        parameters: Weights and biases, however they are stored.
        macs_per_second: Multiply-accumulate operations per second of audio.
        real_time_factor: Of one stream in chunks of 20 ms, or the nearest whole hop, on one thread.
        enhanced: Measures of the output, one a pair.
    """

    family: Family
    variant: VariantName
    label: str
    series: str | None
    bytes: int
    size_ratio: float
    parameters: int
    macs_per_second: int
    real_time_factor: float
    enhanced: tuple[Measured, ...]

    @property
    def name(self) -> str:
        """Family and label."""
        return f"{self.family} {self.label}"

    def score(self, measure: str) -> Score | None:
        """Mean over the pairs for which a measure is defined; None for fewer than two."""
        return _score([values[measure] for values in self.enhanced])


@dataclasses.dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        set_name: Over which pairs, in words.
        measured: Day, as YYYY-MM-DD.
        machine: On what the times were measured.
        pairs: The pairs, in the order of each system's measures.
        systems: The zoo's variants, then the points of a sweep.
        failures: Why a variant is not in the report, by name.
    """

    set_name: str
    measured: str
    machine: str
    pairs: tuple[Input, ...]
    systems: tuple[System, ...]
    failures: dict[str, str]

    def __post_init__(self) -> None:
        for system in self.systems:
            if len(system.enhanced) != len(self.pairs):
                raise ValueError(f"{system.name} has measures of {len(system.enhanced)} pairs, not of {len(self.pairs)}")
        for values in (*(pair.noisy for pair in self.pairs), *(row for system in self.systems for row in system.enhanced)):
            if missing := set(MEASURES) - set(values):
                raise ValueError(f"a pair lacks {min(missing)}")

    @property
    def families(self) -> list[Family]:
        """Those that have a system."""
        return [family for family in FAMILIES if any(system.family == family for system in self.systems)]

    def variants(self, family: Family) -> list[System]:
        """Of the zoo."""
        return [system for system in self.systems if system.family == family and system.series is None]

    def sweep(self, family: Family) -> list[System]:
        """Points of the sweep."""
        return [system for system in self.systems if system.family == family and system.series is not None]

    def original(self, system: System) -> System | None:
        """What a system is compared with."""
        return next((other for other in self.variants(system.family) if other.variant == "original"), None)

    def only(self, families: Collection[str]) -> Report:
        """The same of some families."""
        return dataclasses.replace(self, systems=tuple(system for system in self.systems if system.family in families))

    def noisy_score(self, measure: str) -> Score | None:
        """Of the unprocessed input."""
        return _score([pair.noisy[measure] for pair in self.pairs])

    def has_pairs_of(self, data: Reference) -> bool:
        """Whether the other systems were measured over the pairs of this report."""
        scores = {measure: self.noisy_score(measure) for measure in MEASURES}
        return data.same_pairs(len(self.pairs), {measure: found.mean if found else None for measure, found in scores.items()})

    def speed_up(self, system: System) -> float | None:
        """How many times faster than ``original``; None where there is none."""
        original = self.original(system)
        return None if original is None else original.real_time_factor / system.real_time_factor

    def loss(self, system: System, measure: str) -> RelativeLoss | None:
        """Against ``original``, over the pairs for which both have the measure; None where this is not defined."""
        original = self.original(system)
        if original is None:
            return None
        both = zip((row[measure] for row in original.enhanced), (row[measure] for row in system.enhanced), strict=True)
        whole = [(before, after) for before, after in both if before is not None and after is not None]
        return _loss(tuple(before for before, _ in whole), tuple(after for _, after in whole))

    def result(self, system: System) -> Result:
        """As `quietwire evaluate` gives it."""
        rows = zip(self.pairs, system.enhanced, strict=True)
        pairs = tuple(PairResult(pair.name, pair.snr_db, pair.noisy, after) for pair, after in rows)
        return Result(system.name, self.set_name, pairs)

    def save(self, path: Path) -> None:
        """Write as JSON, with the means and losses for other programs to read."""
        content = _ADAPTER.dump_python(self, mode="json")
        content["noisy"] = {measure: _plain(self.noisy_score(measure)) for measure in MEASURES}
        for system, row in zip(self.systems, content["systems"], strict=True):
            row["speed_up"] = self.speed_up(system)
            row["scores"] = {measure: _plain(system.score(measure)) for measure in MEASURES}
            losses = {measure: self.loss(system, measure) for measure in LOST}
            row["losses"] = {measure: loss and dataclasses.asdict(loss) for measure, loss in losses.items()}
            row["enhanced"] = row.pop("enhanced")  # the long part last
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


_ADAPTER = TypeAdapter(Report)


def load_report(path: Path) -> Report:
    """Read what ``Report.save`` wrote; means and losses are computed anew.

    Raises:
        EvaluationError: The file is missing or is not a report.
    """
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}): name a report.json") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise EvaluationError(f"{path} is not a report ({where}: {first['msg']}): measure again with --pairs") from error


def _score(values: list[float | None]) -> Score | None:
    known = [value for value in values if value is not None]
    return score(known) if len(known) > 1 else None


def _plain(found: Score | None) -> dict[str, Any] | None:
    return None if found is None else found.model_dump()


@functools.lru_cache(maxsize=256)  # tables and plots ask for the same again
def _loss(before: tuple[float, ...], after: tuple[float, ...]) -> RelativeLoss | None:
    try:
        return relative_loss(before, after)
    except EvaluationError:  # too few pairs, or a mean of 0
        return None
