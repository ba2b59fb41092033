"""One recording through several variants: what each costs, and how good each is where the clean signal is known.

Every variant enhances the file as ``POST /enhance`` does, at the file's own rate and channels. For the measures, which
are defined at 16 kHz and one channel, the reference, the input and each result are mixed to mono (the mean of the
channels) and resampled to 16 kHz.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

import numpy as np
import soxr

from models.measures import SAMPLE_RATE, Array
from models.measuring import Scores, measure_apart
from models.zoo import Variant
from service.errors import ServiceError
from service.files.decoding import Opener, open_here
from service.files.enhancing import FileReport, blocks, enhance_file

SLACK_SECONDS = 0.1  # by which a reference may be longer or shorter: encoders pad
Progress = Callable[[str, float], None]


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant: what enhancing took, and its measures, None without a reference."""

    variant: Variant
    report: FileReport
    scores: Scores | None

    @property
    def latency_ms(self) -> float:
        """Time from the whole file to the whole result: decoding, enhancing and encoding, as ``X-Latency-Ms``."""
        return (self.report.decode + self.report.enhance + self.report.encode) * 1000


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A recording's variants side by side.

    Attributes:
        rows: One a variant, in the order asked for.
        unprocessed: Measures of the input; None without a reference.
        notes: Sentences on what could not be measured.
    """

    audio_seconds: float
    sample_rate: int
    channels: int
    rows: tuple[Row, ...]
    unprocessed: Scores | None
    notes: tuple[str, ...]

    def as_json(self, describe: Callable[[Variant], dict[str, Any]]) -> dict[str, Any]:
        """The answer of ``POST /compare``; ``describe`` gives the facts about a variant."""
        nothing: Scores = {"pesq": None, "stoi": None, "si_sdr": None}
        rows = [
            {
                **describe(row.variant),
                "algorithmic_latency_ms": row.variant.card.algorithmic_latency_ms,
                "latency_ms": round(row.latency_ms, 3),
                "real_time_factor": round(row.report.real_time_factor, 6),
                **_rounded(row.scores or nothing),
            }
            for row in self.rows
        ]
        return {
            "audio_seconds": round(self.audio_seconds, 6),
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "variants": rows,
            "unprocessed": None if self.unprocessed is None else _rounded(self.unprocessed),
            "notes": list(self.notes),
        }


def compare(
    source: BinaryIO,
    variants: Sequence[Variant],
    reference: BinaryIO | None = None,
    *,
    open_target: Callable[[Variant], AbstractContextManager[BinaryIO]],
    max_seconds: float = float("inf"),
    progress: Progress = lambda stage, seconds: None,
    open_: Opener = open_here,
) -> Comparison:
    """Enhance a recording with every variant, and measure the results.

    Args:
        source: What ``enhance_file`` takes; seekable.
        variants: At least one.
        reference: The clean signal, aligned with the recording; any supported rate and channels.
        open_target: Gives the seekable file, readable and writable, that a variant's result (WAV) is written to.
        max_seconds: Longest recording.
        progress: Called with a stage, a variant's name or "measures", and the seconds of audio done in it; what
            it raises ends the work.
        open_: Decodes the two; files that are not trusted need a process of their own for that.

    Raises:
        ServiceError: A file is not supported, too long, empty or damaged, or the two differ in length.
    """
    clean = noisy = None
    if reference is not None:  # before anything is enhanced: a wrong reference should not cost a minute
        clean = _read_reference(reference, max_seconds, open_)
        noisy = read_mono(source, max_seconds, open_)
        if abs(len(clean) - len(noisy)) > SLACK_SECONDS * SAMPLE_RATE:
            lengths = f"{len(clean) / SAMPLE_RATE:.2f} s, the recording {len(noisy) / SAMPLE_RATE:.2f} s"
            raise ServiceError("unprocessable", f"The reference lasts {lengths}: send the clean signal of this recording.")
    reports, results = [], []
    for variant in variants:
        with open_target(variant) as target:

            def show(seconds: float, name: str = variant.name) -> None:
                progress(name, seconds)

            reports.append(enhance_file(source, target, variant, max_seconds=max_seconds, progress=show, open_=open_))
            if clean is not None:
                results.append(read_mono(target, float("inf")))
    scores: list[Scores | None] = [None] * (1 + len(variants))
    notes: list[str] = []
    if clean is not None and noisy is not None:
        progress("measures", 0.0)
        length = min(map(len, (clean, noisy, *results)))
        measured, notes = measure_apart(clean[:length], [one[:length] for one in (noisy, *results)])
        scores = [*measured]
        progress("measures", length / SAMPLE_RATE)
    rows = (Row(*items) for items in zip(variants, reports, scores[1:], strict=True))
    first = reports[0]
    return Comparison(first.audio_seconds, first.sample_rate, first.channels, tuple(rows), scores[0], tuple(notes))


def read_mono(source: BinaryIO, max_seconds: float, open_: Opener = open_here) -> Array:
    """A whole file as the measures take it, ``[samples]`` at 16 kHz.

    Raises:
        ServiceError: Not a supported file, too long, empty or damaged.
    """
    with open_(source) as audio:
        mono = (block.mean(axis=0) for block in blocks(audio, max_seconds))
        if audio.rate == SAMPLE_RATE:
            return np.concatenate(list(mono))
        resampler = soxr.ResampleStream(audio.rate, SAMPLE_RATE, 1, dtype="float32")
        pieces = [resampler.resample_chunk(piece) for piece in mono]
        pieces.append(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
    return np.concatenate(pieces)


def _read_reference(reference: BinaryIO, max_seconds: float, open_: Opener) -> Array:
    try:
        return read_mono(reference, max_seconds, open_)
    except ServiceError as error:
        message = f"The reference cannot be used: {error.message[0].lower()}{error.message[1:]}"
        raise ServiceError(error.code, message) from error


def _rounded(scores: Scores) -> Scores:
    return {name: None if value is None else round(value, 4) for name, value in scores.items()}
