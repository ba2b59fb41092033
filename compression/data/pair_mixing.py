"""Training batches from recordings that are noisy already: pairs in the layout of VoiceBank-DEMAND."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from compression.data.corpus import Corpus, read_folder
from compression.data.filters import Chance
from compression.data.mixing import rms
from compression.data.pairs import check_lengths, match_folders


@dataclasses.dataclass(frozen=True)
class PairCorpus:
    """Noisy and clean recordings, sample for sample beside each other; one group a file."""

    noisy: Corpus
    clean: Corpus

    @classmethod
    def load(cls, noisy: Path, clean: Path, device: torch.device, cache: Path | None = None) -> PairCorpus:
        """Read two folders with the same file names, at any rate.

        Args:
            noisy: Folder of noisy files, searched recursively.
            clean: Folder of clean files.
            device: Where the samples are kept.
            cache: A folder for the decoded samples.

        Raises:
            CorpusError: Names or lengths do not match, or a file cannot be decoded.
        """
        pairs = match_folders(noisy, clean)
        caches = (None, None) if cache is None else (cache / "noisy.npz", cache / "clean.npz")
        noisy_samples, noisy_counts = read_folder(noisy, [pair.noisy for pair in pairs], caches[0])
        clean_samples, clean_counts = read_folder(clean, [pair.clean for pair in pairs], caches[1])
        for pair, one, other in zip(pairs, noisy_counts, clean_counts, strict=True):
            check_lengths(pair, int(one), int(other))
        lengths = torch.from_numpy(noisy_counts)
        starts = lengths.cumsum(0) - lengths
        return cls(
            Corpus.of_groups(torch.from_numpy(noisy_samples).to(device), starts, lengths),
            Corpus.of_groups(torch.from_numpy(clean_samples).to(device), starts, lengths),
        )

    def hold_out(self, share: float) -> tuple[PairCorpus, PairCorpus]:
        """Two parts that share no sample; VoiceBank's names begin with the speaker, so hardly a speaker is in both.

        Raises:
            CorpusError: A part would be empty.
        """
        (noisy, held_noisy), (clean, held_clean) = self.noisy.hold_out(share), self.clean.hold_out(share)
        return PairCorpus(noisy, clean), PairCorpus(held_noisy, held_clean)


class PairMixer:
    """Batches of ``(noisy, clean)``, each ``[batch, samples]``: random windows of the pairs, at random levels.

    Batch ``n`` of a seed is always the same batch.
    """

    def __init__(self, pairs: PairCorpus, level_dbfs: tuple[float, float], batch: int, samples: int) -> None:
        self.pairs, self.level_dbfs, self.batch, self.samples = pairs, level_dbfs, batch, samples
        self.device = pairs.noisy.samples.device

    def __call__(self, seed: int, index: int) -> tuple[Tensor, Tensor]:
        """Batch ``index`` of the endless series of a seed."""
        generator = torch.Generator(self.device)
        generator.manual_seed((seed * 1_000_003 + index) % 2**63)
        chance = Chance(generator, self.batch)
        places = self.pairs.noisy.places(self.batch, self.samples, generator)
        noisy, clean = self.pairs.noisy.cut(places), self.pairs.clean.cut(places)
        gain = 10 ** (chance.uniform(*self.level_dbfs, 1) / 20) / rms(noisy).clamp(min=1e-7)
        gain = gain.minimum(0.99 / noisy.abs().amax(1, keepdim=True).clamp(min=1e-7))
        return noisy * gain, clean * gain
