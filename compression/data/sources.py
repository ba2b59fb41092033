"""Where training and validation batches come from: folders of speech and noise, or folders of pairs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from compression.audio import SAMPLE_RATE
from compression.data.batches import Batches
from compression.data.corpus import Corpus
from compression.data.mixing import Mixer, MixingSettings
from compression.data.pair_mixing import PairCorpus, PairMixer
from compression.data.rooms import load_rooms
from compression.errors import CorpusError
from compression.training.progress import say

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

    def check(self, kind: str = "") -> None:
        """Refuse folders that are not to be used together, before any is read.

        Args:
            kind: What the options begin with that name them.

        Raises:
            CorpusError: A folder is missing, or too many are named.
        """
        alone = self.pairs and not (self.speech or self.noise or self.rooms)
        if not alone and (self.pairs or not self.speech or not self.noise):
            options = f"--{kind}speech and --{kind}noise, or --{kind}pairs alone"
            raise CorpusError(f"a folder is missing or too many are named: give {options}")

    def load(self, device: torch.device) -> Recordings:
        """Read the folders: speech and noise, or pairs.

        Raises:
            CorpusError: They are not to be used together, or cannot be used.
        """
        self.check()
        if self.pairs:
            return PairCorpus.load(*self.pairs, device, self.cache)
        assert self.speech and self.noise
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


def tell_unused(recordings: Recordings, settings: MixingSettings) -> None:
    """Say which entries of [mixing] mean nothing for pairs, which are mixed already."""
    if isinstance(recordings, PairCorpus):
        usual = dataclasses.asdict(MixingSettings())
        unused = [name for name, value in dataclasses.asdict(settings).items() if value != usual[name] and name != "level_dbfs"]
        if unused:
            say(f"[mixing] says {', '.join(unused)}: nothing of it is done to pairs, which are only brought to level_dbfs")


def _check_heard(recordings: Recordings, purpose: str) -> None:
    if isinstance(recordings, PairCorpus):
        parts = {"clean recordings": recordings.clean}
    else:
        parts = {"speech": recordings.speech, "noise": recordings.noise}
    for name, corpus in parts.items():
        if corpus.silent:
            raise CorpusError(f"the {name} to {purpose} on: nothing but silence: name other folders")


def open_recordings(training: Sources, validation: Sources, share: float, device: torch.device) -> tuple[Recordings, Batches]:
    """Recordings to train on, to be mixed, and validation batches that are the same for every recipe.

    Speech or noise that is silent throughout is refused.

    Args:
        training: What to train on.
        validation: What to validate on; where it names no folder, a share of the training material is kept for it.
        share: That share.
        device: Where the samples are kept.

    Raises:
        CorpusError: A folder is missing or cannot be used.
    """
    training.check()
    if validation.named:
        validation.check("valid-")
    recordings = training.load(device)
    if validation.named:
        held = validation.load(device)
    else:
        recordings, held = hold_out(recordings, share)
    for part, purpose in ((recordings, "train"), (held, "validate")):
        _check_heard(part, purpose)
    return recordings, mixer(held, MixingSettings(), VALIDATION_BATCH, VALIDATION_SECONDS)
