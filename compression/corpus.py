"""Audio folders held in memory as 16-bit samples, and random windows of them.

Files of one folder lie next to each other, so that a window may run on from one clip of a speaker into the next.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
SAMPLE_RATE = 16000


class CorpusError(Exception):
    """A folder that cannot be used; the message says what to change."""


def find_audio(folder: Path) -> list[Path]:
    """Audio files anywhere below a folder, in a fixed order.

    Raises:
        CorpusError: There is no such folder, or no audio in it.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder: name a folder of {', '.join(sorted(SUFFIXES))} files")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise CorpusError(f"no audio below {folder}: it must hold {', '.join(sorted(SUFFIXES))} files")
    return files


def read_mono(path: Path) -> npt.NDArray[np.float32]:
    """A file as mono float32 ``[samples]`` at 16 kHz, whatever its rate and channels.

    Raises:
        CorpusError: The file cannot be decoded.
    """
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"{path} cannot be decoded ({error}): remove or convert it") from error
    mono: npt.NDArray[np.float32] = audio.mean(axis=1)
    if rate != SAMPLE_RATE:
        import soxr  # only here, so that training on 16 kHz material needs torch, numpy and soundfile alone

        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return mono


def _read_int16(path: Path) -> npt.NDArray[np.int16]:
    return np.round(read_mono(path).clip(-1, 1) * 32767).astype(np.int16)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Recordings in one tensor, in groups of consecutive samples.

    Attributes:
        samples: ``[total]`` int16, on the device on which windows are cut.
        starts: ``[groups]`` first sample of each group.
        lengths: ``[groups]`` samples of each group.
        weights: ``[groups]`` chance of each group: the square root of its length, so that neither a long
            recording nor a talkative speaker rules.
    """

    samples: Tensor
    starts: Tensor
    lengths: Tensor
    weights: Tensor

    @classmethod
    def load(cls, folder: Path, device: torch.device, *, by_folder: bool, cache: Path | None = None) -> Corpus:
        """Read a folder.

        Args:
            folder: Searched recursively.
            device: Where the samples are kept.
            by_folder: One group a subfolder (a speaker) rather than one a file (a noise).
            cache: An ``.npz`` file with the decoded samples, made when missing.
        """
        files = find_audio(folder)
        if cache is not None and cache.exists():
            stored = np.load(cache)
            samples, counts = stored["samples"], stored["counts"]
        else:
            print(f"reading {len(files)} files below {folder}", file=sys.stderr)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                clips = list(pool.map(_read_int16, files))
            samples, counts = np.concatenate(clips), np.array([len(clip) for clip in clips])
            if cache is not None:
                cache.parent.mkdir(parents=True, exist_ok=True)
                np.savez(cache, samples=samples, counts=counts)
        keys: Iterable[Path] = (path.parent for path in files) if by_folder else files
        groups: dict[Path, int] = {}
        for key, count in zip(keys, counts, strict=True):
            groups[key] = groups.get(key, 0) + int(count)
        lengths = torch.tensor([count for count in groups.values()], dtype=torch.int64)
        starts = lengths.cumsum(0) - lengths
        keep = lengths > 0
        lengths, starts = lengths[keep], starts[keep]
        return cls(
            torch.from_numpy(samples).to(device), starts.to(device), lengths.to(device), lengths.double().sqrt().to(device)
        )

    @property
    def hours(self) -> float:
        """Total length."""
        return len(self.samples) / SAMPLE_RATE / 3600

    def windows(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Random windows ``[count, length]``, float32; a group shorter than a window is repeated."""
        device = self.samples.device
        group = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        offset = (torch.rand(count, generator=generator, device=device) * self.lengths[group]).long()
        index = offset[:, None] + torch.arange(length, device=device)
        index = self.starts[group, None] + index % self.lengths[group, None]
        return self.samples[index].float() / 32768
