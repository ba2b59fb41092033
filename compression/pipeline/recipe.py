"""One TOML file says how a trained network is compressed; mistakes in it are refused before hours are spent."""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compression.data.mixing import MixingSettings
from compression.errors import RecipeError
from compression.pipeline.sweep_settings import SweepSettings
from compression.pruning.choosing import schedule
from compression.tables import read_tables, refuse_idle, settings_from
from compression.training.recipe import FOLDED, TrainingSettings, fine_settings_from

INNER = ("training", "final", "polish", "smallest")  # tables in [pruning]
TABLES = ("pruning", "quantization", "mixing", "sweep")


@dataclasses.dataclass(frozen=True)
class SmallestWidths:
    """What no width becomes smaller than; those of a family that it does not have mean nothing.

    Attributes:
        channels: Of the convolutions of a ``crn``.
        subband_channels: Of its recurrent blocks.
        subband_units: Of each block's GRU that the sub-bands share.
        fullband_units: Of each block's GRU that sees all sub-bands.
        filters: Of each layer of an ``fcn``.
        memory_units: Of its GRU.
    """

    channels: int = 4
    subband_channels: int = 4
    subband_units: int = 4
    fullband_units: int = 4
    filters: int = 4
    memory_units: int = 4

    def __post_init__(self) -> None:
        if min(dataclasses.astuple(self)) < 1:
            raise ValueError("every width must be at least 1")

    def of(self, width: str) -> int:
        """For a width of a network, such as ``subband_units.1``."""
        smallest: int = getattr(self, width.split(".")[0])
        return smallest


@dataclasses.dataclass(frozen=True)
class PruningSettings:
    """How much goes, and how.

    Attributes:
        rounds: Of pruning and training; every round takes the same share of what is left.
        macs_ratio: Of the multiplications of ``original`` that stay, at most.
        parameters_ratio: Of its parameters that stay, at most.
        multiple: Widths end as multiples of this.
        importance_batches: Training batches over which what each layer reads is averaged.
        layers: Recurrent layers of a ``crn`` that stay, before anything else goes; 0 for all.
        smallest: What no width becomes smaller than.
    """

    rounds: int = 4
    macs_ratio: float = 0.4
    parameters_ratio: float = 0.4
    multiple: int = 1
    importance_batches: int = 64
    layers: int = 0
    smallest: SmallestWidths = SmallestWidths()

    def __post_init__(self) -> None:
        for name in ("rounds", "multiple", "importance_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("macs_ratio", "parameters_ratio"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1")
        if self.layers < 0:
            raise ValueError("layers must be at least 1, or 0 for all")

    def targets(self) -> Iterator[tuple[float, float]]:
        """Shares of the multiplications and parameters of ``original`` after each round."""
        ratios = (schedule(ratio, self.rounds) for ratio in (self.macs_ratio, self.parameters_ratio))
        return zip(*(itertools.accumulate(shares, operator.mul) for shares in ratios), strict=True)


@dataclasses.dataclass(frozen=True)
class QuantizationSettings:
    """How many bytes a variant may have.

    Attributes:
        budget: Of ``quantized``, as a share of the bytes of ``original``.
        combined_budget: Of ``combined``, likewise.
        sensitivity_seconds: Of training mixtures on which the damage to each tensor is measured.
    """

    budget: float = 0.16
    combined_budget: float = 0.06
    sensitivity_seconds: float = 16.0

    def __post_init__(self) -> None:
        for name in ("budget", "combined_budget"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1")
        if not 0.25 <= self.sensitivity_seconds <= 600:
            raise ValueError("sensitivity_seconds must lie between 0.25 and 600")


@dataclasses.dataclass(frozen=True)
class CompressRecipe:
    """A parsed settings file of `quietwire compress` and `quietwire sweep`.

    Attributes:
        pruning: What goes.
        round_training: Training after each round.
        final_training: Training after the last round's.
        polish_training: After that, of all that is stored, each tensor over its size, as centroids are; None for none.
        quantization: Budgets.
        centroid_training: Training of the centroids.
        mixing: Of speech and noise, everywhere.
        sweep: What `quietwire sweep` makes; None where the file does not say.
    """

    pruning: PruningSettings
    round_training: TrainingSettings
    final_training: TrainingSettings
    quantization: QuantizationSettings
    centroid_training: TrainingSettings
    mixing: MixingSettings
    sweep: SweepSettings | None = None
    polish_training: TrainingSettings | None = None


def load_compress_recipe(path: Path) -> CompressRecipe:
    """Read and check a settings file.

    Raises:
        RecipeError: It is missing, is not TOML, or has an entry that is unknown or out of range.
    """
    tables = read_tables(path)
    try:
        if unknown := set(tables) - set(TABLES):
            raise ValueError(f"unknown table [{min(unknown)}]; use [pruning], [quantization], [mixing] and [sweep]")
        pruning, (rounds, final, polish, smallest) = _split(tables, "pruning", *INNER)
        quantization, (centroids,) = _split(tables, "quantization", "training")
        refuse_idle(TrainingSettings, polish, "pruning.polish", FOLDED)
        refuse_idle(TrainingSettings, centroids, "quantization.training", {"soap": "tables of centroids are no matrices"})
        recipe = CompressRecipe(
            dataclasses.replace(
                settings_from(PruningSettings, pruning, "pruning", INNER),
                smallest=settings_from(SmallestWidths, smallest, "pruning.smallest"),
            ),
            settings_from(TrainingSettings, rounds, "pruning.training"),
            settings_from(TrainingSettings, final, "pruning.final"),
            settings_from(QuantizationSettings, quantization, "quantization", ("training",)),
            fine_settings_from(centroids, "quantization.training"),
            settings_from(MixingSettings, tables.get("mixing", {}), "mixing"),
            settings_from(SweepSettings, tables["sweep"], "sweep") if "sweep" in tables else None,
            fine_settings_from(polish, "pruning.polish") if "polish" in tables.get("pruning", {}) else None,
        )
        if recipe.centroid_training.weight_decay:
            raise ValueError("weight_decay in [quantization.training] must be 0: it would pull centroids towards zero")
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error
    return recipe


def _split(tables: dict[str, Any], name: str, *inner: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A table without the tables in it, and these."""
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise TypeError(f"{name} must be a table: write [{name}]")
    parts = [table.get(key, {}) for key in inner]
    for key, part in zip(inner, parts, strict=True):
        if not isinstance(part, dict):
            raise TypeError(f"{key} in [{name}] must be a table: write [{name}.{key}]")
    return {key: value for key, value in table.items() if key not in inner}, parts
