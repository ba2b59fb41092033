"""Finding and reading recordings of any rate and format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from compression.errors import CorpusError

SUFFIXES = (".flac", ".mp3", ".ogg", ".opus", ".wav")
SAMPLE_RATE = 16000
FRAME = 320  # 20 ms, in which speech is there or not
AUDIBLE = 0.01  # a frame with so much of the mean power, or more, is speech


def find_audio(folder: Path) -> list[Path]:
    """Audio files anywhere below a folder, also behind symbolic links, in a fixed order.

    Raises:
        CorpusError: There is no such folder, or no audio in it.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder: name a folder of {', '.join(SUFFIXES)} files")
    files = sorted(path for path in _files(folder) if path.suffix.lower() in SUFFIXES)
    if not files:
        raise CorpusError(f"no audio below {folder}: it must hold {', '.join(SUFFIXES)} files")
    return files


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, each real folder once: links may lead back, or twice to the same place."""
    seen = {folder.resolve()}
    for place, folders, names in os.walk(folder, followlinks=True):
        real = {name: Path(place, name).resolve() for name in sorted(folders)}
        folders.clear()
        for name, target in real.items():
            if target not in seen:
                seen.add(target)
                folders.append(name)
        yield from (Path(place, name) for name in names)


def read_mono(path: Path) -> npt.NDArray[np.float32]:
    """A file as mono float32 ``[samples]`` at 16 kHz, whatever its rate and channels.

    Raises:
        CorpusError: The file cannot be decoded, or holds samples that are not finite.
    """
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"{path} cannot be decoded ({error}): remove or convert it") from error
    if not np.isfinite(audio).all():
        raise CorpusError(f"{path} holds samples that are no finite numbers: remove or repair it")
    mono: npt.NDArray[np.float32] = audio.mean(axis=1)
    if rate != SAMPLE_RATE:
        import soxr  # only here, so that training on 16 kHz material needs torch, numpy and soundfile alone

        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return mono
