"""Random filters for augmentation, applied in the frequency domain to a batch of signals ``[batch, samples]``."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from compression.audio import SAMPLE_RATE

RUMBLE_HZ = 20.0, 90.0  # corners, above which it falls by 24 dB an octave
SWELL_DB = 20.0
SWELL_SAMPLES = SAMPLE_RATE // 2  # in which a level may go from one end to the other


class Chance:
    """Random numbers per batch item, all drawn from one generator."""

    def __init__(self, generator: torch.Generator, batch: int) -> None:
        self.generator, self.batch, self.device = generator, batch, generator.device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """``[batch, *shape]`` values in [low, high)."""
        values = torch.rand(self.batch, *shape, generator=self.generator, device=self.device)
        return low + (high - low) * values

    def happens(self, probability: float) -> Tensor:
        """``[batch, 1]`` booleans."""
        return self.uniform(0, 1, 1) < probability

    def normal(self, *shape: int) -> Tensor:
        """``[batch, *shape]`` values of the standard normal distribution."""
        return torch.randn(self.batch, *shape, generator=self.generator, device=self.device)


def resample(x: Tensor, length: int) -> Tensor:
    """Band-limited change of speed (and so of pitch) by truncating or extending the spectrum."""
    if x.shape[-1] == length:
        return x
    spectrum = torch.fft.rfft(x)
    bins = length // 2 + 1
    spectrum = spectrum[..., :bins] if spectrum.shape[-1] >= bins else functional.pad(spectrum, (0, bins - spectrum.shape[-1]))
    changed: Tensor = torch.fft.irfft(spectrum, n=length)
    return changed * (length / x.shape[-1])


def apply(x: Tensor, response: Tensor) -> Tensor:
    """Filter with a frequency response ``[batch, bins]``; the tail past the end is cut, none wraps round."""
    size = 2 * (response.shape[-1] - 1)
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(x, n=size) * response, n=size)
    return filtered[..., : x.shape[-1]]


def equaliser(chance: Chance, size: int, spread_db: float) -> Tensor:
    """Zero-phase response ``[batch, size // 2 + 1]`` with random gains at eight points, smooth between them."""
    return _through(chance.normal(1, 8) * spread_db, size // 2 + 1)


def swell(chance: Chance, samples: int) -> Tensor:
    """Gains ``[batch, samples]`` that rise and fall within seconds, smoothly, by up to 20 dB below 1."""
    points = chance.uniform(-SWELL_DB, 0, 1, 1) * chance.uniform(0, 1, 1, max(2, 1 + samples // SWELL_SAMPLES))
    return _through(points, samples)


def _through(points_db: Tensor, size: int) -> Tensor:
    """Gains ``[batch, size]`` that go straight, in dB, from one of the points ``[batch, 1, points]`` to the next."""
    gains = functional.interpolate(points_db, size=size, mode="linear", align_corners=True)
    return 10 ** (gains.squeeze(1) / 20)


def band_limit(chance: Chance, size: int, low_hz: tuple[float, float], high_hz: tuple[float, float]) -> Tensor:
    """Zero-phase band-pass responses with random corners and slopes of 24 dB an octave or steeper."""
    frequency = torch.arange(size // 2 + 1, device=chance.device) * (SAMPLE_RATE / size) + 1.0
    order = chance.uniform(4, 16, 1)
    low = (chance.uniform(*low_hz, 1) / frequency) ** order
    high = (frequency / chance.uniform(*high_hz, 1)) ** order
    return 1 / (1 + low) / (1 + high)


def room(chance: Chance, size: int) -> Tensor:
    """Responses of simulated small rooms: the direct path, a few early reflections, a decaying diffuse tail."""
    length = min(size // 2, int(0.5 * SAMPLE_RATE))
    seconds = torch.arange(length, device=chance.device) / SAMPLE_RATE
    decay = math.log(1e3) / chance.uniform(0.08, 0.6, 1)
    onset = chance.uniform(0.001, 0.008, 1)
    tail = chance.normal(length) * torch.exp(-decay * seconds) * (seconds > onset)
    sparse = chance.uniform(0, 1, length) < 60 / length
    early = chance.normal(length) * sparse * torch.exp(-2 * decay * seconds) * (seconds > onset)
    tail = tail / tail.norm(dim=1, keepdim=True).clamp(min=1e-9) + early / early.norm(dim=1, keepdim=True).clamp(min=1e-9)
    impulse = tail * 10 ** (-chance.uniform(-2, 16, 1) / 20) / 1.5
    impulse[:, 0] = 1.0
    response: Tensor = torch.fft.rfft(impulse, n=size)
    return response


def coloured_noise(chance: Chance, length: int) -> Tensor:
    """White to brown noise with a random spectral slope, mains hum on some, ``[batch, length]``."""
    frequency = torch.arange(length // 2 + 1, device=chance.device) * (SAMPLE_RATE / length) + 20.0
    slope = chance.uniform(-0.1, 1.1, 1)
    spectrum = torch.fft.rfft(chance.normal(length)) * (frequency / 1000) ** -slope
    noise: Tensor = torch.fft.irfft(spectrum, n=length)
    noise = noise / noise.square().mean(1, keepdim=True).sqrt()
    seconds = torch.arange(length, device=chance.device) / SAMPLE_RATE
    mains = torch.where(chance.happens(0.5), 50.0, 60.0)
    harmonics = torch.arange(1, 13, device=chance.device)
    phases = 2 * math.pi * (harmonics[:, None] * seconds * mains[:, :, None] + chance.uniform(0, 1, 12, 1))
    hum = (torch.sin(phases) * chance.uniform(0, 1, 12, 1) / harmonics[:, None] ** 0.7).sum(1)
    return noise + chance.happens(0.3) * chance.uniform(0.3, 3, 1) * hum


def rumble(chance: Chance, length: int) -> Tensor:
    """Noise of wind and handling: below a random corner, it comes and goes, ``[batch, length]``, RMS 1 or less."""
    frequency = torch.arange(length // 2 + 1, device=chance.device) * (SAMPLE_RATE / length)
    spectrum = torch.fft.rfft(chance.normal(length)) / (1 + (frequency / chance.uniform(*RUMBLE_HZ, 1)) ** 4)
    noise: Tensor = torch.fft.irfft(spectrum, n=length)
    return noise / noise.square().mean(1, keepdim=True).sqrt() * swell(chance, length)
