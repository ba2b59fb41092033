"""What a network does where it should do one thing only: take noise away where nobody speaks, and leave clean speech as it is.

Means over pairs do not show either. Recordings are taken at several levels, since a microphone may be set to any.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from compression.audio import AUDIBLE, FRAME, SAMPLE_RATE, find_audio, read_mono
from compression.errors import CorpusError, EvaluationError
from compression.evaluation.evaluate import Enhance
from compression.evaluation.result import write_json
from models.measures import Array, wide_band_pesq

LEVELS_DBFS = (-45.0, -28.0, -10.0)  # RMS of a recording; lower where its peak would pass full scale
SECONDS = 6.0  # of a recording
SHORTEST = 2.0
BEGINNING = 0.5  # seconds that a network needs to get to know a noise
LOST_DB = 10.0  # speech that is lowered by more than this is lost
FLOOR = 1e-10  # power; what is below -100 dBFS counts as -100 dBFS


@dataclasses.dataclass(frozen=True)
class NoiseAlone:
    """How far noise is lowered where nobody speaks, in dB.

    Attributes:
        level_dbfs: Of the input.
        beginning: Mean over the recordings, in the first half second.
        later: Mean over the recordings, after it.
        least: Of the recording that is lowered least, after it.
    """

    level_dbfs: float
    beginning: float
    later: float
    least: float


@dataclasses.dataclass(frozen=True)
class CleanSpeech:
    """What becomes of speech without noise.

    Attributes:
        level_dbfs: Of the input.
        pesq: Mean wide-band PESQ against the input.
        worst: Lowest PESQ of a recording.
        level_change: Mean, in dB.
        lost: Percent of the 20 ms frames with speech (within 20 dB of a recording's mean) that go out more than 10 dB lower.
        most_lost: Of the recording that loses most.
        muted: Recordings for which PESQ is not defined, as nothing is left of them.
    """

    level_dbfs: float
    pesq: float
    worst: float
    level_change: float
    lost: float
    most_lost: float
    muted: int = 0


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What was measured, a row a level."""

    system: str
    recordings: dict[str, int]
    noise_alone: tuple[NoiseAlone, ...] = ()
    clean_speech: tuple[CleanSpeech, ...] = ()

    def save(self, path: Path) -> None:
        """Write as JSON.

        Raises:
            EvaluationError: The file cannot be written.
        """
        write_json(path, dataclasses.asdict(self))


def choose_recordings(folder: Path, count: int) -> list[Array]:
    """So many recordings of two seconds or more, spread evenly over a folder in order of name, six seconds of each at most.

    Raises:
        CorpusError: The folder has none, or one of them cannot be decoded.
    """
    longest, shortest = round(SECONDS * SAMPLE_RATE), SHORTEST * SAMPLE_RATE
    files, found = find_audio(folder), dict[int, Array]()
    untried = set(range(len(files)))
    for wanted in np.linspace(0, len(files) - 1, min(count, len(files))).tolist():
        for place in sorted(untried, key=lambda place: abs(place - wanted)):
            untried.remove(place)
            audio = read_mono(files[place])[:longest]
            if len(audio) >= shortest and audio.any():
                found[place] = audio
                break
    if not found:
        raise CorpusError(
            f"no recording below {folder} has {SHORTEST:g} seconds in which something is heard: name a folder of others"
        )
    return [found[place] for place in sorted(found)]


def at_level(audio: Array, level_dbfs: float) -> Array:
    """Brought to an RMS level, or to a peak of full scale where that is lower."""
    gain = min(10 ** (level_dbfs / 20) / np.sqrt(np.mean(audio**2)), 1 / np.abs(audio).max())
    return audio * np.float32(gain)


def _through(system: Enhance, heard: Array) -> Array:
    left = system(heard)
    if not np.isfinite(left).all():
        raise EvaluationError("the system gives samples that are no finite numbers: train it again or restore its file")
    return left


def _noise_alone(system: Enhance, noises: Sequence[Array], level_dbfs: float, progress: Callable[[], None]) -> NoiseAlone:
    """Noise through a system, at one level."""
    start, first, later = round(BEGINNING * SAMPLE_RATE), [], []
    for noise in noises:
        heard = at_level(noise, level_dbfs)
        left = _through(system, heard)
        first.append(_lowered(heard[:start], left[:start]))
        later.append(_lowered(heard[start:], left[start:]))
        progress()
    return NoiseAlone(level_dbfs, float(np.mean(first)), float(np.mean(later)), min(later))


def _clean_speech(system: Enhance, voices: Sequence[Array], level_dbfs: float, progress: Callable[[], None]) -> CleanSpeech:
    """Clean speech through a system, at one level.

    Raises:
        CorpusError: PESQ is not defined for any of the recordings.
    """
    scores, changes, lost = [], [], []
    for voice in voices:
        heard = at_level(voice, level_dbfs)
        left = _through(system, heard)
        if (score := wide_band_pesq(heard, left)) is not None:
            scores.append(score)
        changes.append(-_lowered(heard, left))
        lost.append(_lost(heard, left))
        progress()
    if not scores:
        raise CorpusError(
            "PESQ is not defined for any of the recordings: name a folder of clean speech, and a system that leaves some of it"
        )
    means = float(np.mean(scores)), min(scores), float(np.mean(changes)), float(np.mean(lost)), max(lost)
    return CleanSpeech(level_dbfs, *means, len(voices) - len(scores))


def measure_conditions(
    system: Enhance, noises: Sequence[Array], voices: Sequence[Array], name: str, progress: Callable[[], None] = lambda: None
) -> Conditions:
    """Noise and speech through a system, at all levels.

    Args:
        system: Enhances whole signals.
        noises: Without speech; may be none.
        voices: Without noise; may be none.
        name: Of the system.
        progress: Called after each recording of each level.

    Raises:
        CorpusError: PESQ is not defined for any of the voices.
        EvaluationError: The system gives samples that are not finite.
    """
    alone = [_noise_alone(system, noises, level, progress) for level in LEVELS_DBFS if noises]
    clean = [_clean_speech(system, voices, level, progress) for level in LEVELS_DBFS if voices]
    return Conditions(name, {"noise": len(noises), "speech": len(voices)}, tuple(alone), tuple(clean))


def _lowered(before: Array, after: Array) -> float:
    """By how many dB."""
    power, left = (max(float(np.mean(part.astype(np.float64) ** 2)), FLOOR) for part in (before, after))
    return 10 * math.log10(power / left)


def _lost(before: Array, after: Array) -> float:
    """Percent of the frames with speech."""
    count = len(before) // FRAME * FRAME
    power, left = (np.mean(part[:count].astype(np.float64).reshape(-1, FRAME) ** 2, axis=1) for part in (before, after))
    speech = power >= AUDIBLE * power.mean()
    return 100 * float(np.mean(left[speech] < 10 ** (-LOST_DB / 10) * power[speech]))


def markdown(found: Conditions) -> str:
    """Tables for people."""
    lines = []
    if found.noise_alone:
        lines += [f"Noise alone through {found.system} ({found.recordings['noise']} recordings), lowered by (dB):", ""]
        lines += ["| input | first half second | later | the recording lowered least |", "|--:|--:|--:|--:|"]
        for noise in found.noise_alone:
            lines.append(f"| {noise.level_dbfs:g} dBFS | {noise.beginning:.1f} | {noise.later:.1f} | {noise.least:.1f} |")
        lines.append("")
    if found.clean_speech:
        lines += [f"Clean speech through {found.system} ({found.recordings['speech']} recordings):", ""]
        lines += ["| input | PESQ | the lowest | level | speech lost | the most | muted |", "|--:|--:|--:|--:|--:|--:|--:|"]
        for speech in found.clean_speech:
            values = f"{speech.pesq:.2f} | {speech.worst:.2f} | {speech.level_change:+.1f} dB"
            values += f" | {speech.lost:.1f} % | {speech.most_lost:.1f} %"
            lines.append(f"| {speech.level_dbfs:g} dBFS | {values} | {speech.muted} |")
        lines.append("")
    return "\n".join([*lines, "Levels are RMS, or lower where a peak would pass full scale."]) + "\n"
