"""The speech that the microphones hear: files, made to loop in whole chunks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from loadtest.errors import LoadtestError

SHIPPED = Path(__file__).parent / "data"
SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
Samples = npt.NDArray[np.int16]


@dataclasses.dataclass(frozen=True)
class Recording:
    """Speech that is sent over and over.

    Attributes:
        name: Of the file.
        samples: One pass, mono, 16 bits ``[chunks * chunk]``.
        rate: Hz.
        chunk: Samples per message.
    """

    name: str
    samples: Samples
    rate: int
    chunk: int

    def messages(self) -> list[bytes]:
        """One pass, cut into messages of ``pcm_s16le``."""
        data, size = self.samples.astype("<i2").tobytes(), 2 * self.chunk
        return [data[start : start + size] for start in range(0, len(data), size)]


def load_recordings(paths: Sequence[Path], rate: int, chunk_ms: int, seconds: float, most: int) -> list[Recording]:
    """Read files and folders.

    Args:
        paths: Files or folders of them; the shipped speech where none is named.
        rate: Of the streams, in Hz; other rates are resampled.
        chunk_ms: Length of a message.
        seconds: Longer files are cut to this.
        most: Recordings wanted at most.

    Raises:
        LoadtestError: A file cannot be read, a folder holds none, or a chunk is not a whole number of samples.
    """
    if rate * chunk_ms % 1000:
        raise LoadtestError(f"{chunk_ms} ms at {rate} Hz is no whole number of samples: change --chunk-ms or --sample-rate")
    files: list[Path] = []
    for path in paths or [SHIPPED]:
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not found:
            raise LoadtestError(f"{path} holds no audio files ({', '.join(sorted(SUFFIXES))})")
        files += found
    return [_load(file, rate, chunk_ms, seconds) for file in files[:most]]


def _load(path: Path, rate: int, chunk_ms: int, seconds: float) -> Recording:
    try:
        with soundfile.SoundFile(path) as file:
            audio = file.read(round(seconds * file.samplerate), dtype="float32", always_2d=True).mean(1)
            audio = soxr.resample(audio, file.samplerate, rate)
    except (OSError, soundfile.SoundFileError) as error:
        raise LoadtestError(f"{path} cannot be read as audio ({error})") from error
    if not np.any(audio):
        raise LoadtestError(f"{path} is empty or silent: name a recording of speech")
    return make_recording(path.name, np.clip(np.rint(audio * 32768), -32768, 32767).astype(np.int16), rate, chunk_ms)


def make_recording(name: str, samples: Samples, rate: int, chunk_ms: int) -> Recording:
    """Pad ``[samples]`` with silence to a loop of whole chunks."""
    chunk = rate * chunk_ms // 1000
    return Recording(name, np.pad(samples, (0, -len(samples) % chunk)), rate, chunk)
