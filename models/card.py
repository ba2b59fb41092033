"""The card that lies beside every variant's ONNX file: what it is, what it costs, how good it is, how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Family = Literal["crn", "fcn"]
VariantName = Literal["original", "pruned", "quantized", "combined"]
FAMILIES: tuple[Family, ...] = ("crn", "fcn")
VARIANTS: tuple[VariantName, ...] = ("original", "pruned", "quantized", "combined")


class CardError(Exception):
    """A card that cannot be used; the message names the file and the remedy."""


class Score(BaseModel):
    """Mean of a measure over a set of pairs, and half the width of its 95 % confidence interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    ci95: float


class Evaluation(BaseModel):
    """What `quietwire evaluate` measured.

    Attributes:
        set_name: Which pairs, in words.
        pairs: How many.
        scores: Of the variant, by measure: ``pesq`` (wide band), ``stoi``, ``estoi``, ``si_sdr`` (dB).
        noisy: The same for the unprocessed input.
        missing: For how many pairs a measure is not defined; they are left out of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    set_name: str
    pairs: int
    scores: dict[str, Score]
    noisy: dict[str, Score]
    missing: dict[str, int] = {}


class VariantCard(BaseModel):
    """Facts about one ONNX file.

    Attributes:
        sha256: Of the ONNX file.
        bytes: Size of the ONNX file on disk, everything included.
        size_ratio: ``bytes`` over the bytes of the family's ``original``.
        parameters: Weights and biases that the network has, however they are stored.
        macs_per_second: Multiply-accumulate operations per second of audio.
        algorithmic_latency_ms: From a sample's arrival to the earliest moment its output can leave.
        compression: How it was made of ``original``; ``network`` and ``original`` in it are fingerprints of what is trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Family
    variant: VariantName
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(gt=0)
    size_ratio: float = Field(gt=0)
    parameters: int = Field(gt=0)
    macs_per_second: int = Field(gt=0)
    algorithmic_latency_ms: float = Field(gt=0)
    evaluation: Evaluation | None = None
    training: dict[str, Any] = {}
    compression: dict[str, Any] = {}
    licence: str = ""

    def made_of(self, original: VariantCard) -> bool:
        """Whether this variant was made of that ``original``, by its fingerprint or, where a card has none, by its bytes."""
        parent, network = self.compression.get("original"), original.compression.get("network")
        if parent is not None and network is not None:
            return bool(parent == network)
        return round(self.bytes / self.size_ratio) == original.bytes

    def of_another(self, originals: Mapping[Family, VariantCard]) -> bool:
        """Whether this is a variant made of another ``original`` than its family's here."""
        return self.variant != "original" and self.model in originals and not self.made_of(originals[self.model])

    def save(self, path: Path) -> None:
        """Write as indented JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n")


def load_card(path: Path) -> VariantCard:
    """Read a card.

    Raises:
        CardError: Missing, not JSON, or with a field that is missing, unknown or of the wrong kind.
    """
    try:
        return VariantCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CardError(f"{path}: the card cannot be read ({error.strerror}); restore it from the release") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CardError(f"{path}: the card is not valid ({where}: {first['msg']}); restore it from the release") from error
