"""Where training and validation batches come from: folders of speech and noise, or folders of pairs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from compression.audio import SAMPLE_RATE
from compression.batches import Batches
from compression.corpus import Corpus
from compression.errors import CorpusError
from compression.mixing import Mixer, MixingSettings
from compression.pair_mixing import PairCorpus, PairMixer
from compression.rooms import load_rooms

VALIDATION_BATCH = 8
VALIDATION_SECONDS = 3


@dataclasses.dataclass(frozen=True)
class Material:
    """Recordings to be mixed: speech and noise and, where there are any, rooms from ``load_rooms``."""

    speech: Corpus
    noise: Corpus
    rooms: Tensor | None = None


Recordings = Material | PairCorpus


@dataclasses.dataclass(frozen=True)
class Sources:
    """Folders that a user named.

    Attributes:
        speech: Clean speech, a subfolder per speaker.
        noise: Noise.
        pairs: Noisy and clean recordings with the same file names, instead of the two.
        rooms: Impulse responses, for speech and noise.
        cache: Folder for decoded audio.
    """

    speech: Path | None = None
    noise: Path | None = None
    pairs: tuple[Path, Path] | None = None
    cache: Path | None = None
    rooms: Path | None = None

    @property
    def named(self) -> bool:
        """Whether there is a folder to take speech from."""
        return bool(self.speech or self.noise or self.pairs)

    def load(self, device: torch.device) -> Recordings:
        """Read the folders: speech and noise, or pairs.

        Raises:
            CorpusError: They are not to be used together, or cannot be used.
        """
        if self.pairs and not (self.speech or self.noise or self.rooms):
            return PairCorpus.load(*self.pairs, device, self.cache)
        if self.pairs or not self.speech or not self.noise:
            raise CorpusError("a folder is missing or too many are named: give speech and noise, or pairs alone")
        speech_cache, noise_cache = (self.cache and self.cache / f"{kind}.npz" for kind in ("speech", "noise"))
        return Material(
            Corpus.load(self.speech, device, by_folder=True, cache=speech_cache),
            Corpus.load(self.noise, device, by_folder=False, cache=noise_cache),
            load_rooms(self.rooms, device) if self.rooms else None,
        )


def hold_out(recordings: Recordings, share: float) -> tuple[Recordings, Recordings]:
    """Recordings to train on, and the last ``share`` of them to validate on.

    Raises:
        CorpusError: There is too little audio for two parts.
    """
    if isinstance(recordings, PairCorpus):
        return recordings.hold_out(share)
    (speech, held_speech), (noise, held_noise) = recordings.speech.hold_out(share), recordings.noise.hold_out(share)
    return Material(speech, noise, recordings.rooms), Material(held_speech, held_noise)


def mixer(recordings: Recordings, settings: MixingSettings, batch: int, seconds: float) -> Batches:
    """Batches of ``(noisy, clean)``, each ``[batch, samples]``."""
    samples = round(seconds * SAMPLE_RATE)
    if isinstance(recordings, PairCorpus):
        return PairMixer(recordings, settings.level_dbfs, batch, samples)
    return Mixer(recordings.speech, recordings.noise, settings, batch, samples, recordings.rooms)


def open_recordings(training: Sources, validation: Sources, share: float, device: torch.device) -> tuple[Recordings, Batches]:
    """Recordings to train on, to be mixed, and validation batches that are the same for every recipe.

    Args:
        training: What to train on.
        validation: What to validate on; where it names no folder, a share of the training material is kept for it.
        share: That share.
        device: Where the samples are kept.

    Raises:
        CorpusError: A folder is missing or cannot be used.
    """
    recordings = training.load(device)
    if validation.named:
        held = validation.load(device)
    else:
        recordings, held = hold_out(recordings, share)
    return recordings, mixer(held, MixingSettings(), VALIDATION_BATCH, VALIDATION_SECONDS)
