"""Pairs of a noisy and a clean file that belong together, on disk.

Two layouts are known: two folders with the same file names, as in VoiceBank-DEMAND, and one folder with
``*_noisy.*`` beside ``*_clean.*``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compression.audio import SUFFIXES, find_audio, read_mono
from compression.errors import CorpusError

Array = npt.NDArray[np.float32]
_SNR = re.compile(r"(?:^|_)([+-]?\d+(?:\.\d+)?)dB(?:_|$)")


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two files, and the name that they share."""

    name: str
    noisy: Path
    clean: Path

    @property
    def snr_db(self) -> float | None:
        """Input SNR in dB, where the name carries it as in ``003_+10dB_street``."""
        found = _SNR.search(self.name)
        return float(found[1]) if found else None

    def read(self) -> tuple[Array, Array]:
        """Noisy and clean ``[samples]``, mono at 16 kHz.

        Raises:
            CorpusError: A file cannot be decoded, or they are not equally long.
        """
        noisy, clean = read_mono(self.noisy), read_mono(self.clean)
        check_lengths(self, len(noisy), len(clean))
        return noisy, clean


def check_lengths(pair: Pair, noisy: int, clean: int) -> None:
    """Refuse a pair whose files have different numbers of samples.

    Raises:
        CorpusError: They have.
    """
    if noisy != clean:
        counts = f"{noisy} and {clean} samples at 16 kHz"
        raise CorpusError(f"{pair.noisy} and {pair.clean} are not equally long ({counts}): cut or remove the pair")


def match_folders(noisy: Path, clean: Path) -> list[Pair]:
    """Pairs of equal relative path in two folders, whatever the suffix, in order of name.

    Raises:
        CorpusError: A folder is missing or has no audio, a file has no partner, or two have the same name.
    """
    sides = ([(path.relative_to(side).with_suffix(""), path) for path in find_audio(side)] for side in (noisy, clean))
    return _match(*map(_by_name, sides))


def find_pairs(folder: Path) -> list[Pair]:
    """Pairs for an evaluation, in order of name.

    Args:
        folder: With ``noisy`` and ``clean`` in it (or ``noisy_testset_wav`` and ``clean_testset_wav``; a test set goes
            before a training set), or with files ``*_noisy.*`` and ``*_clean.*``.

    Raises:
        CorpusError: It has neither, or more than one choice, a file has no partner, or two have the same name.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder: name one with noisy and clean recordings")
    sides = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.startswith("noisy")]
    sides = [side for side in sides if _clean_side(side).is_dir()]
    if len(sides) > 1:
        sides = [side for side in sides if "test" in side.name] or sides
    if len(sides) > 1:
        raise CorpusError(f"{folder} has several folders of pairs ({', '.join(map(str, sides))}): leave one of them in it")
    if sides:
        return match_folders(sides[0], _clean_side(sides[0]))
    noisy, clean = (_by_name((Path(path.stem.removesuffix(end)), path) for path in _flat(folder, end)) for end in _ENDS)
    if not noisy and not clean:
        layouts = "the folders noisy/ and clean/, or files *_noisy.* and *_clean.*"
        raise CorpusError(f"no pairs in {folder}: it must hold {layouts}")
    return _match(noisy, clean)


_ENDS = ("_noisy", "_clean")


def _flat(folder: Path, end: str) -> Iterable[Path]:
    """Files whose names end so, in order."""
    for path in sorted(folder.iterdir()):
        if path.stem.endswith(end) and path.suffix.lower() in SUFFIXES:
            if path.stem == end:
                raise CorpusError(f"{path} has no name before its {end}: rename or remove it")
            yield path


def _by_name(files: Iterable[tuple[Path, Path]]) -> dict[Path, Path]:
    found: dict[Path, Path] = {}
    for name, path in files:
        if name in found:
            raise CorpusError(f"{found[name]} and {path} have the same name: remove one")
        found[name] = path
    return found


def _clean_side(noisy: Path) -> Path:
    return noisy.with_name("clean" + noisy.name.removeprefix("noisy"))


def _match(noisy: dict[Path, Path], clean: dict[Path, Path]) -> list[Pair]:
    if alone := sorted(noisy.keys() ^ clean.keys()):
        path, other = (noisy[alone[0]], "clean") if alone[0] in noisy else (clean[alone[0]], "noisy")
        raise CorpusError(f"{path} has no {other} partner ({len(alone)} without one): add it or remove the file")
    return [Pair(key.name, noisy[key], clean[key]) for key in sorted(noisy)]
