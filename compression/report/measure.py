"""Measuring a report: which networks there are, how long a chunk takes each, and what each makes of the pairs."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import platform
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

from compression.data.pairs import Pair
from compression.evaluation.evaluate import evaluate, load_system
from compression.evaluation.result import Measured
from compression.report.content import Input, Report, System
from compression.report.sweep import label, series, sweep_files
from models.card import FAMILIES, VARIANTS
from models.timing import real_time_factor
from models.zoo import Variant, ZooError, load_variant, load_zoo

ROUNDS = 45


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network to be measured.

    Attributes:
        path: Its ONNX file.
        variant: Loaded.
        label: As in ``System``.
        series: As in ``System``.
    """

    path: Path
    variant: Variant
    label: str
    series: str | None = None


@dataclasses.dataclass(frozen=True)
class Subjects:
    """All networks to be measured, and why others cannot be, by name."""

    found: tuple[Subject, ...]
    failures: dict[str, str]


def find_subjects(zoo: Path, families: Collection[str], sweep: Path | None = None) -> Subjects:
    """Load what is in the zoo and below the folder of a sweep; what is missing is no failure, what is damaged is.

    Raises:
        ZooError: The zoo has nothing that can be loaded.
        EvaluationError: The folder of the sweep has no variant.
    """
    names = [f"{family}/{variant}" for family in FAMILIES if family in families for variant in VARIANTS]
    there = [name for name in names if any((zoo / f"{name}{end}").exists() for end in (".onnx", ".json"))]
    loaded = load_zoo(zoo, there)
    originals = {v.card.model: v.card for v in loaded.variants.values() if v.card.variant == "original"}
    found, failures, parents = list[Subject](), dict(loaded.failures), collections.defaultdict[str, set[str]](set)
    for variant in loaded.variants.values():
        card = variant.card
        if card.of_another(originals):
            failures[variant.name] = f"made of another original than the {card.model}/original in {zoo}: compress that one"
            continue
        found.append(Subject(zoo / f"{variant.name}.onnx", variant, card.variant))
        if parent := card.compression.get("original"):
            parents[card.model].add(parent)
    known = {subject.variant.card.sha256 for subject in found}
    for path in sweep_files(sweep) if sweep else ():
        try:
            variant = load_variant(path)
        except ZooError as error:
            failures[str(path)] = str(error)
            continue
        card = variant.card
        parent, others = card.compression.get("original"), parents[card.model]
        if card.of_another(originals) or (card.variant != "original" and parent and others and parent not in others):
            failures[str(path)] = f"made of another {card.model}/original than the variants in {zoo}: sweep again"
            continue
        if card.model in families and card.variant != "original" and card.sha256 not in known:
            known.add(card.sha256)
            found.append(Subject(path, variant, label(card), series(card)))
    return Subjects(tuple(_distinct(found, sweep)), failures)


def measure_times(subjects: Subjects, seconds: float, progress: Callable[[], None] = lambda: None) -> list[float]:
    """Real-time factor of each, one stream on one thread, measured for so long in chunks of 20 ms or the nearest whole hop.

    They take turns, and of each a fast one counts, the first decile: what else the machine does can only add to a turn.
    """
    turns = []
    for _ in range(ROUNDS):
        for subject in subjects.found:
            turns.append(real_time_factor(subject.variant, seconds / ROUNDS))
            progress()
    return [float(factor) for factor in np.percentile(np.reshape(turns, (ROUNDS, -1)), 10, axis=0)]


def measure_report(
    subjects: Subjects,
    factors: Sequence[float],
    pairs: Sequence[Pair],
    set_name: str,
    jobs: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> Report:
    """Run every network over the pairs.

    Args:
        subjects: The networks.
        factors: Their real-time factors.
        pairs: What to measure over.
        set_name: Name of the pairs.
        jobs: Processes.
        progress: Called after each pair of each network.

    Raises:
        CorpusError: A pair cannot be read.
    """
    originals = {s.variant.card.model: s.path.stat().st_size for s in subjects.found if s.label == "original"}
    noisy: list[Measured] | None = None
    systems = []
    for subject, factor in zip(subjects.found, factors, strict=True):
        load, card, size = partial(load_system, subject.path), subject.variant.card, subject.path.stat().st_size
        result = evaluate(
            load,
            pairs,
            system=subject.label,
            set_name=set_name,
            jobs=min(jobs, len(pairs)),
            noisy=noisy,
            progress=progress,
        )
        noisy = [pair.noisy for pair in result.pairs]
        systems.append(
            System(
                family=card.model,
                variant=card.variant,
                label=subject.label,
                series=subject.series,
                bytes=size,
                size_ratio=size / originals[card.model] if card.model in originals else card.size_ratio,
                parameters=card.parameters,
                macs_per_second=card.macs_per_second,
                real_time_factor=factor,
                enhanced=tuple(pair.enhanced for pair in result.pairs),
            )
        )
    inputs = tuple(Input(pair.name, pair.snr_db, pair.noisy) for pair in result.pairs)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Report(set_name, today, machine(), inputs, tuple(systems), subjects.failures)


def machine() -> str:
    """What the times are measured on, in words."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()  # Linux names the model nowhere else
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{processor}, ONNX Runtime {onnxruntime.__version__}"


def _distinct(subjects: list[Subject], sweep: Path | None) -> list[Subject]:
    """Where two have the same label, points of the sweep get their path below its folder added."""
    counts = collections.Counter((subject.variant.card.model, subject.label) for subject in subjects)
    return [
        dataclasses.replace(subject, label=f"{subject.label} ({subject.path.relative_to(sweep).with_suffix('')})")
        if sweep and subject.series and counts[subject.variant.card.model, subject.label] > 1
        else subject
        for subject in subjects
    ]
