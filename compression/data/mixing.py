"""Noisy and clean training pairs, mixed on the fly from two corpora.

Everything random comes from one seeded generator, and batch ``n`` of a seed is always the same batch, so a run can be
repeated and resumed. The same code runs on CPU and GPU.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from compression.audio import AUDIBLE, SAMPLE_RATE
from compression.data import filters, rooms
from compression.data.corpus import Corpus
from compression.data.filters import Chance
from compression.losses.enhancement import frame_powers

SAME_SPEED = 2  # examples of a batch that are played at one speed
TAIL = 16000  # room for reverberation when filtering


@dataclasses.dataclass(frozen=True)
class MixingSettings:
    """How often what happens, as probabilities per example, and in which ranges.

    Pairs are mixed already: of all this only ``level_dbfs`` is for them.

    Attributes:
        snr_db: Active speech level over noise level.
        level_dbfs: RMS level of the mixture; lower where its peak would pass full scale.
        speed: Of recordings, with their pitch: a few voices become many.
        second_noise: Another recording on top of the first.
        babble: Several other speakers instead of a recording.
        synthetic: White to brown noise and hum instead of a recording.
        rumble: Of wind or handling, below 90 Hz, on top of the noise: 20 dB below the speech to 15 above it.
        quiet: Almost no noise (SNR 30 to 50 dB).
        speechless: Noise alone; the target is silence.
        pause: Part of the speech is silenced.
        swell: The level of the speech changes by up to 20 dB within seconds.
        mute: The microphone is silent, or nearly so, at the beginning or for a while.
        reverb: Speech is put in a room; the target keeps the room.
        recorded: That room is a recorded one, where there are any, and not a simulated one.
        equalise: Speech and noise are coloured, each on its own.
        band_limit: Microphone or telephone band, on mixture and target alike.
        clip: The mixture's peaks are cut off; the target's are not.
    """

    snr_db: tuple[float, float] = (-6.0, 20.0)
    level_dbfs: tuple[float, float] = (-42.0, -8.0)
    speed: tuple[float, float] = (0.8, 1.25)
    second_noise: float = 0.3
    babble: float = 0.08
    synthetic: float = 0.08
    rumble: float = 0.0
    quiet: float = 0.05
    speechless: float = 0.03
    pause: float = 0.3
    swell: float = 0.0
    mute: float = 0.0
    reverb: float = 0.3
    recorded: float = 0.4
    equalise: float = 0.6
    band_limit: float = 0.12
    clip: float = 0.04

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, tuple):
                if value[0] > value[1]:
                    raise ValueError(f"{name} is {list(value)}, the lower value goes first")
                if name == "speed" and not 0.5 <= value[0] <= value[1] <= 2:
                    raise ValueError(f"speed is {list(value)}, it lies between 0.5 and 2")
            elif not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}, a probability lies between 0 and 1")


def active_level(speech: Tensor) -> Tensor:
    """RMS ``[batch, 1]`` over the 20 ms frames that are within 20 dB of the mean, so pauses do not count."""
    frames = frame_powers(speech)
    active = frames >= AUDIBLE * frames.mean(1, keepdim=True)
    return ((frames * active).sum(1, keepdim=True) / active.sum(1, keepdim=True).clamp(min=1)).sqrt()


def rms(x: Tensor) -> Tensor:
    """Root mean square ``[batch, 1]``."""
    return x.square().mean(1, keepdim=True).sqrt()


class Mixer:
    """Batches of ``(noisy, clean)``, each ``[batch, samples]``.

    Args:
        speech: Recordings of it.
        noise: Recordings of it.
        settings: How often what happens.
        batch: Examples.
        samples: Of each.
        impulses: Rooms from ``load_rooms``, or None.
    """

    def __init__(
        self,
        speech: Corpus,
        noise: Corpus,
        settings: MixingSettings,
        batch: int,
        samples: int,
        impulses: Tensor | None = None,
    ) -> None:
        self.speech, self.noise, self.settings, self.batch, self.samples = speech, noise, settings, batch, samples
        self.impulses = impulses
        self.device = speech.samples.device

    def __call__(self, seed: int, index: int) -> tuple[Tensor, Tensor]:
        """Batch ``index`` of the endless series of a seed."""
        generator = torch.Generator(self.device)
        generator.manual_seed((seed * 1_000_003 + index) % 2**63)
        chance, settings = Chance(generator, self.batch), self.settings
        size = self.samples + TAIL
        clean = self._speech(chance, size)
        noise = self._noise(chance, size)
        quiet = chance.happens(settings.quiet)
        snr = torch.where(quiet, chance.uniform(30, 50, 1), chance.uniform(*settings.snr_db, 1))
        level = active_level(clean).clamp(min=1e-5)
        noise = noise * (level / rms(noise).clamp(min=1e-7) * 10 ** (-snr / 20))
        if settings.rumble:  # nothing is drawn where none may be, so that series stay as they were
            rumble = filters.rumble(chance, self.samples) * level * 10 ** (chance.uniform(-20, 15, 1) / 20)
            noise = noise + chance.happens(settings.rumble) * rumble
        clean = clean * self._gate(chance)
        clean = clean * ~chance.happens(settings.speechless)
        return self._microphone(chance, clean + noise, clean, size)

    def _window(self, corpus: Corpus, chance: Chance) -> Tensor:
        low, high = self.settings.speed
        parts = []
        for start in range(0, self.batch, SAME_SPEED):
            speed = low * (high / low) ** float(torch.rand(1, generator=chance.generator, device=self.device))
            length = max(1, round(self.samples * speed / 160)) * 160  # a length of small factors, for the transform
            count = min(SAME_SPEED, self.batch - start)
            parts.append(filters.resample(corpus.windows(count, length, chance.generator), self.samples))
        return torch.cat(parts)

    def _speech(self, chance: Chance, size: int) -> Tensor:
        clean = self._window(self.speech, chance) * self._swell(chance)
        room = filters.room(chance, size)
        if self.impulses is not None:
            room = torch.where(chance.happens(self.settings.recorded), rooms.recorded(chance, self.impulses, size), room)
        clean = torch.where(chance.happens(self.settings.reverb), filters.apply(clean, room), clean)
        coloured = filters.apply(clean, filters.equaliser(chance, size, 4.0))
        return torch.where(chance.happens(self.settings.equalise), coloured, clean)

    def _noise(self, chance: Chance, size: int) -> Tensor:
        settings = self.settings
        noise = self._window(self.noise, chance)
        coloured = filters.apply(noise, filters.equaliser(chance, size, 6.0))
        noise = torch.where(chance.happens(settings.equalise), coloured, noise)
        second = self._window(self.noise, chance)
        second = second * (rms(noise) / rms(second).clamp(min=1e-7) * 10 ** (chance.uniform(-12, 6, 1) / 20))
        noise = noise + chance.happens(settings.second_noise) * second
        talkers = torch.stack([self.speech.windows(self.batch, self.samples, chance.generator) for _ in range(6)])
        talkers = talkers / talkers.square().mean(2, keepdim=True).sqrt().clamp(min=1e-4)
        number = chance.uniform(3, 7, 1).long()  # two would be a voice and another: which is meant, nobody knows
        talkers = talkers * (torch.arange(6, device=self.device)[:, None, None] < number)
        kind = chance.uniform(0, 1, 1)
        noise = torch.where(kind < settings.babble + settings.synthetic, filters.coloured_noise(chance, self.samples), noise)
        return torch.where(kind < settings.babble, talkers.sum(0), noise)

    def _swell(self, chance: Chance) -> Tensor:
        """Gains that change the level of some examples; nothing is drawn where none may, so that series stay as they were."""
        if not self.settings.swell:
            return torch.ones(1, device=self.device)
        return torch.where(chance.happens(self.settings.swell), filters.swell(chance, self.samples), 1.0)

    def _gate(self, chance: Chance) -> Tensor:
        """Gains that silence a stretch of the speech of some examples."""
        stretch = self._stretch(chance)
        return 1 - chance.happens(self.settings.pause) * stretch

    def _stretch(self, chance: Chance) -> Tensor:
        """1 within a stretch of each example, 0 elsewhere, with fades of 10 ms."""
        time = torch.arange(self.samples, device=self.device)
        start = chance.uniform(-0.3, 1.0, 1) * self.samples
        end = start + chance.uniform(0.1, 0.6, 1) * self.samples
        fade = 0.01 * SAMPLE_RATE
        return ((time - start) / fade).clamp(0, 1) * ((end - time) / fade).clamp(0, 1)

    def _microphone(self, chance: Chance, noisy: Tensor, clean: Tensor, size: int) -> tuple[Tensor, Tensor]:
        settings = self.settings
        telephone = filters.band_limit(chance, size, (150, 320), (3200, 3700))
        cheap = filters.band_limit(chance, size, (20, 200), (3500, 7800))
        response = torch.where(chance.happens(0.4), telephone, cheap)
        limited = chance.happens(settings.band_limit)
        noisy = torch.where(limited, filters.apply(noisy, response), noisy)
        clean = torch.where(limited, filters.apply(clean, response), clean)
        peak = torch.maximum(noisy.abs(), clean.abs()).amax(1, keepdim=True).clamp(min=1e-7)
        gain = 10 ** (chance.uniform(*settings.level_dbfs, 1) / 20) / rms(noisy).clamp(min=1e-7)
        gain = torch.minimum(gain, chance.uniform(0.5, 1, 1) / peak)
        ceiling = peak / chance.uniform(1.2, 4, 1)
        noisy = torch.where(chance.happens(settings.clip), noisy.clamp(-ceiling, ceiling), noisy)
        if settings.mute:  # nothing is drawn where none may be, so that series stay as they were
            gain = gain * self._muted(chance)
        return noisy * gain, clean * gain

    def _muted(self, chance: Chance) -> Tensor:
        """Gains of a microphone that is shut for a stretch of some examples: 30 to 90 dB lower, or digital silence."""
        left = 10 ** (chance.uniform(-90, -30, 1) / 20) * chance.happens(0.5)
        return 1 - chance.happens(self.settings.mute) * self._stretch(chance) * (1 - left)
