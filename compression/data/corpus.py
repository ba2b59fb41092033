"""Audio folders held in memory as 16-bit samples, and random windows of them.

Files of one folder lie next to each other, so that a window may run on from one clip of a speaker into the next.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import sys
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compression.audio import SAMPLE_RATE, find_audio, read_mono
from compression.errors import CorpusError
from quietwire.replacing import replacing


def _read_int16(path: Path) -> npt.NDArray[np.int16]:
    return np.round(read_mono(path).clip(-1, 1) * 32767).astype(np.int16)


def read_folder(
    folder: Path, files: list[Path], cache: Path | None = None
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
    """Samples ``[total]`` of files end to end at 16 kHz, and how many each has, ``[files]``.

    Args:
        folder: Holds the files.
        files: Which ones, in order.
        cache: An ``.npz`` file with the decoded samples; made anew when it is missing or the files have changed.

    Raises:
        CorpusError: A file cannot be decoded, or the cache cannot be written.
    """
    names = np.array([_identity(path) for path in files])
    if cache is not None and (stored := _stored(cache, names)) is not None:
        return stored
    print(f"reading {len(files)} files below {folder}", file=sys.stderr)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        clips = list(pool.map(_read_int16, files))
    samples, counts = np.concatenate(clips), np.array([len(clip) for clip in clips], dtype=np.int64)
    if cache is not None:
        try:
            with replacing(cache) as file:
                np.savez(file, samples=samples, counts=counts, names=names)
        except OSError as error:
            raise CorpusError(f"{cache} cannot be written ({error.strerror}): use another --cache, or none") from error
    return samples, counts


def _identity(path: Path) -> str:
    """What changes when a file does."""
    facts = path.stat()
    return f"{path.resolve().as_posix()} {facts.st_size} {facts.st_mtime_ns}"


def _stored(cache: Path, names: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]] | None:
    try:
        with np.load(cache) as content:
            if np.array_equal(content["names"], names):
                return content["samples"], content["counts"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        pass
    return None


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
    def of_groups(cls, samples: Tensor, starts: Tensor, lengths: Tensor) -> Corpus:
        """Groups by first sample and length, empty ones left out.

        Raises:
            CorpusError: No group has a sample.
        """
        keep = lengths > 0
        if not bool(keep.any()):
            raise CorpusError("the recordings hold no samples: name folders with longer audio")
        starts, lengths, device = starts[keep], lengths[keep], samples.device
        return cls(samples, starts.to(device), lengths.to(device), lengths.double().sqrt().to(device))

    @classmethod
    def load(cls, folder: Path, device: torch.device, *, by_folder: bool, cache: Path | None = None) -> Corpus:
        """Read a folder.

        Args:
            folder: Searched recursively.
            device: Where the samples are kept.
            by_folder: One group a subfolder (a speaker) rather than one a file (a noise).
            cache: See ``read_folder``.

        Raises:
            CorpusError: There is no audio in it, or a file cannot be decoded.
        """
        files = sorted(find_audio(folder), key=lambda path: (path.parent, path.name))  # a folder's own before its subfolders'
        samples, counts = read_folder(folder, files, cache)
        groups: dict[Path, int] = {}
        for path, count in zip(files, counts, strict=True):
            key = path.parent if by_folder else path
            groups[key] = groups.get(key, 0) + int(count)
        lengths = torch.tensor(list(groups.values()), dtype=torch.int64)
        return cls.of_groups(torch.from_numpy(samples).to(device), lengths.cumsum(0) - lengths, lengths)

    @property
    def hours(self) -> float:
        """Total length."""
        return int(self.lengths.sum()) / SAMPLE_RATE / 3600

    @property
    def silent(self) -> bool:
        """Whether nothing can be heard in any group."""
        spans = zip(self.starts.tolist(), self.lengths.tolist(), strict=True)
        return not any(bool(self.samples[start : start + length].any()) for start, length in spans)

    def hold_out(self, share: float) -> tuple[Corpus, Corpus]:
        """Two parts that share no sample: the first ``1 - share`` of all audio, and the rest.

        Raises:
            CorpusError: A part would be empty.
        """
        cut = round((1 - share) * int(self.lengths.sum()))
        before = self.lengths.cumsum(0) - self.lengths
        first = (cut - before).clamp(min=0).minimum(self.lengths)
        return (
            Corpus.of_groups(self.samples, self.starts, first),
            Corpus.of_groups(self.samples, self.starts + first, self.lengths - first),
        )

    def places(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Positions in ``samples`` of random windows, ``[count, length]``; a group shorter than a window is repeated."""
        device = self.samples.device
        group = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        offset = (torch.rand(count, generator=generator, device=device) * self.lengths[group]).long()
        index = offset[:, None] + torch.arange(length, device=device)
        return self.starts[group, None] + index % self.lengths[group, None]

    def cut(self, places: Tensor) -> Tensor:
        """The samples at these positions, float32, full scale ±1."""
        return self.samples[places].float() / 32768

    def windows(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Random windows ``[count, length]``, float32."""
        return self.cut(self.places(count, length, generator))
