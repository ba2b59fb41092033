"""Two terms of the training loss that follow the ear: loudness as PESQ weighs it, and intelligibility as STOI does.

Both read one power spectrum (32 ms frames, half overlapped) and can be differentiated. Neither computes the measure
it is named after: alignment in time, level and filtering, which PESQ begins with, is left out, so that a delay, a
wrong level or a missing band costs what it should.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from compression.losses.residual import FAINTEST

SAMPLE_RATE = 16000
FRAME = 512
BARK_BANDS = 49
SPEECH_LEVEL_DB = 79.0  # sound pressure level at which PESQ has its speech played
LOUDNESS_SCALE, LOUDNESS_POWER = 0.1866, 0.23  # Zwicker's law as in ITU-T P.862.2
THIRD_OCTAVES, LOWEST_THIRD = 15, 150.0  # of STOI
SEGMENT, SEGMENT_STEP = 24, 6  # 384 ms, as in STOI, every 96 ms
SHORTEST_EXAMPLE = 0.4  # seconds, for one segment
LARGEST_EXCESS = 10 ** (15 / 20)  # STOI's clipping at -15 dB


def perceptual_losses(estimate: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Loudness disturbance and loss of intelligibility of each example.

    Args:
        estimate: Enhanced speech ``[batch, samples]`` at 16 kHz.
        clean: The speech it should be; not silent, at least 0.4 s.

    Returns:
        Disturbance ``[batch]``, 0 for a perfect estimate, in units of PESQ before its mapping to opinion scores
        (4.5 less this is the raw score); and 1 less the mean correlation of the third-octave envelopes, ``[batch]``.
    """
    gain = clean.square().mean(1, keepdim=True).clamp(min=1e-10).rsqrt()
    powers = [_powers(x * gain) for x in (estimate, clean)]
    return _disturbance(*powers), 1 - _correlation(*powers)


def _powers(x: Tensor) -> Tensor:
    """Power spectrum ``[batch, bins, frames]``, which adds up to the signal's power in each frame."""
    window = torch.hann_window(FRAME, device=x.device)
    spectrum = torch.view_as_real(torch.stft(x, FRAME, FRAME // 2, window=window, center=False, return_complex=True))
    return spectrum.square().sum(-1) * (2 / (FRAME * window.square().sum()))


def _disturbance(estimate: Tensor, clean: Tensor) -> Tensor:
    """Symmetric and asymmetric disturbance of ITU-T P.862, averaged over time, in its units of raw score."""
    bands, threshold = _bark_bands(estimate.device)
    scale = 10 ** (SPEECH_LEVEL_DB / 10)
    estimate, clean = scale * (bands @ estimate), scale * (bands @ clean)
    louder, reference = _loudness(estimate, threshold), _loudness(clean, threshold)
    masked = 0.25 * torch.minimum(louder, reference).detach()
    difference = louder - reference
    audible = (difference.abs() - masked).clamp(min=0)
    added = ((estimate + 50) / (clean + 50)) ** 1.2
    asymmetry = torch.where(added < 3, 0.0, added.clamp(max=12.0)).detach()
    width = 24 / BARK_BANDS
    symmetric = (audible.square().mean(1) + 1e-8).sqrt() * (BARK_BANDS * width)
    asymmetric = (audible * asymmetry).sum(1) * width
    weight = ((clean.sum(1) + 1e5) / 1e7) ** 0.04  # loud frames are told to count a little less
    return (0.1 * _over_time(symmetric / weight) + 0.0309 * _over_time(asymmetric / weight)).clamp(max=20.0)


def _over_time(frames: Tensor) -> Tensor:
    return (frames.clamp(max=45.0).square().mean(1) + 1e-8).sqrt()


def _loudness(power: Tensor, threshold: Tensor) -> Tensor:
    """Loudness densities in sone per Bark; 0 below the threshold of hearing."""
    law = (threshold / 0.5) ** LOUDNESS_POWER * ((0.5 + 0.5 * power / threshold) ** LOUDNESS_POWER - 1)
    return LOUDNESS_SCALE * law.clamp(min=0)


def _correlation(estimate: Tensor, clean: Tensor) -> Tensor:
    """Mean correlation of band envelopes over the segments in which there is speech (Taal et al., 2011)."""
    bands = _third_octaves(estimate.device)
    envelopes = [(bands @ x + 1e-9).sqrt().unfold(2, SEGMENT, SEGMENT_STEP) for x in (estimate, clean)]
    processed, reference = envelopes
    level = reference.norm(dim=3, keepdim=True) / processed.norm(dim=3, keepdim=True).clamp(min=1e-6)
    processed = torch.minimum(processed * level, reference * (1 + LARGEST_EXCESS))
    processed = processed - processed.mean(3, keepdim=True)
    reference = reference - reference.mean(3, keepdim=True)
    product = (processed * reference).sum(3)
    correlation = product / (processed.norm(dim=3) * reference.norm(dim=3)).clamp(min=1e-6)
    power = clean.sum(1).unfold(1, SEGMENT, SEGMENT_STEP).mean(2)
    speech = (power > FAINTEST * power.amax(1, keepdim=True)).float()
    mean: Tensor = (correlation.mean(1) * speech).sum(1) / speech.sum(1).clamp(min=1)
    return torch.where(speech.any(1), mean, 1.0)  # nothing to be understood where all speech lies past the last segment


@functools.cache
def _bark_bands(device: torch.device) -> tuple[Tensor, Tensor]:
    """Matrix ``[bands, bins]`` of bands equally wide in Bark (Traunmueller), thresholds of hearing (Terhardt)."""
    frequency = torch.linspace(0, SAMPLE_RATE / 2, FRAME // 2 + 1)
    bark = 26.81 * frequency / (1960 + frequency) - 0.53
    lowest, highest = bark[2].item(), bark[-1].item()
    position = (bark - lowest) / (highest - lowest) * (BARK_BANDS - 1)
    triangles = (1 - (position - torch.arange(BARK_BANDS).unsqueeze(1)).abs()).clamp(min=0)
    centre = torch.linspace(lowest, highest, BARK_BANDS)
    kilohertz = (1.96 * (centre + 0.53) / (26.28 - centre)).unsqueeze(1)
    decibel = 3.64 * kilohertz**-0.8 - 6.5 * torch.exp(-0.6 * (kilohertz - 3.3) ** 2) + 1e-3 * kilohertz**4
    return triangles.to(device), (10 ** (decibel / 10)).to(device)


@functools.cache
def _third_octaves(device: torch.device) -> Tensor:
    """Matrix ``[15, bins]`` that sums power in third-octave bands from 150 Hz up."""
    frequency = torch.linspace(0, SAMPLE_RATE / 2, FRAME // 2 + 1)
    centre = LOWEST_THIRD * 2 ** (torch.arange(THIRD_OCTAVES).unsqueeze(1) / 3)
    return ((frequency >= centre * 2 ** (-1 / 6)) & (frequency < centre * 2 ** (1 / 6))).float().to(device)
