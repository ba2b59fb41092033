"""Training losses on waveforms ``[batch, samples]``."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from compression.audio import AUDIBLE, FRAME
from compression.losses.perceptual import perceptual_losses

COMPRESSION = 0.3
HALVED = 0.5  # power: speech that is lowered by less is not lost
SILENCED = 0.01  # all the same below
SILENT = 1e-6  # power, where the input's is .01, of a target that counts as silence
MOST_SDR = 3.0  # bel; more is not asked for
QUIETEST = 1e-3  # noise alone that is lowered further is not told to be
EMPHASIS = 0.95
RESOLUTIONS = ((512, 256), (256, 128))  # window and hop


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, ``[batch]`` (Le Roux et al., ICASSP 2019)."""
    estimate = estimate - estimate.mean(1, keepdim=True)
    target = target - target.mean(1, keepdim=True)
    energy = target.square().sum(1, keepdim=True) + 1e-9
    projection = (estimate * target).sum(1, keepdim=True) / energy * target
    noise = (estimate - projection).square().sum(1)
    return 10 * torch.log10((projection.square().sum(1) + 1e-9) / (noise + 1e-9))


def sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Signal-to-distortion ratio in dB, ``[batch]``; a wrong level is a distortion."""
    noise = (estimate - target).square().sum(1)
    return 10 * torch.log10((target.square().sum(1) + 1e-9) / (noise + 1e-9))


def emphasised(x: Tensor) -> Tensor:
    """A signal whose high frequencies are as strong as speech has its low ones: ``[batch, samples - 1]``."""
    return x[:, 1:] - EMPHASIS * x[:, :-1]


def attenuation(estimate: Tensor, noisy: Tensor, clean: Tensor) -> Tensor:
    """By how many bel more than 3 dB speech is lowered where it is louder than the noise: mean over these frames, ``[batch]``.

    Where noise prevails nothing is asked, since lowering what is not certain is right there.
    """
    spoken, left, noise = (frame_powers(x) for x in (clean, estimate, noisy - clean))
    counted = (spoken >= AUDIBLE * spoken.mean(1, keepdim=True)) & (spoken > noise) & (spoken > 0)
    share = left / spoken.clamp(min=1e-12)
    lowered = -torch.log10(share.clamp(max=HALVED) / HALVED + SILENCED)
    return (lowered.clamp(min=0) * counted).sum(1) / counted.sum(1).clamp(min=1)


def loudness_left(estimate: Tensor, noisy: Tensor) -> Tensor:
    """Level of noise alone after, over that before, in bel above the lowest that is asked for (-30 dB): ``[batch]``."""
    after, before = (x.square().mean(1) + 1e-10 for x in (estimate, noisy))
    return torch.log10(after / before + QUIETEST) - math.log10(QUIETEST)


def frame_powers(x: Tensor) -> Tensor:
    """Power ``[batch, frames]`` of each 20 ms."""
    return x.unfold(1, FRAME, FRAME).square().mean(2)


def compressed_spectrum(x: Tensor, size: int, hop: int) -> tuple[Tensor, Tensor]:
    """Magnitude and complex spectrum (as pairs of reals), magnitudes to the power 0.3."""
    window = torch.hann_window(size, device=x.device)
    spectrum = torch.view_as_real(torch.stft(x, size, hop, window=window, return_complex=True))
    power = spectrum.square().sum(-1) + 1e-8
    return power ** (COMPRESSION / 2), spectrum * (power ** ((COMPRESSION - 1) / 2)).unsqueeze(-1)


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """What counts beside the spectral loss.

    Attributes:
        sdr: Of the signal-to-distortion ratio, in bel.
        disturbance: Of the loudness disturbance, in units of raw PESQ.
        intelligibility: Of 1 less the correlation of envelopes.
        attenuation: Of speech that stands out of the noise and is lowered, in bel.
        speechless: Of what is left of noise where nobody speaks, in bel.
        emphasised_sdr: Of the signal-to-distortion ratio after pre-emphasis, in bel.
    """

    sdr: float = 1.0
    disturbance: float = 0.0
    intelligibility: float = 0.0
    attenuation: float = 0.0
    speechless: float = 0.0
    emphasised_sdr: float = 0.0


DEFAULT_WEIGHTS = LossWeights()


def enhancement_loss(
    estimate: Tensor,
    noisy: Tensor,
    clean: Tensor,
    weights: LossWeights = DEFAULT_WEIGHTS,
    wanted: Tensor | None = None,
    example: Tensor | None = None,
    *,
    share: float = 0.5,
) -> Tensor:
    """Mean over the batch of a spectral loss, the signal-to-distortion ratio and, where weighted, perceptual terms.

    The spectral part is the squared error of the compressed magnitude and of the compressed complex spectrum, weighted
    as in GTCRN (ICASSP 2024), at a level normalised by the noisy input so that quiet recordings count as much as loud
    ones. Where the target is silence, what is left of the noise takes the place of the other terms. The ratio is not the
    scale-invariant one: a network trained on that lowers the level of all it hears, and no measure that ignores levels says so.

    Args:
        estimate: Output of the network that learns.
        noisy: Its input.
        clean: Speech alone.
        weights: Of the parts.
        wanted: Target of the spectral loss and of the ratio, such as speech with a residual of the noise; None for ``clean``.
        example: What its teacher gives: a second such target (distillation).
        share: Of the second target in these.
    """
    gain = 0.1 / noisy.square().mean(1, keepdim=True).sqrt().clamp(min=1e-5)
    estimate, clean = estimate * gain, clean * gain
    first = clean if wanted is None else wanted * gain
    targets = [(1 - share, first), (share, example * gain)] if example is not None else [(1.0, first)]
    total = estimate.new_zeros(())
    for size, hop in RESOLUTIONS:
        magnitude, spectrum = compressed_spectrum(estimate, size, hop)
        for part, target in targets:
            target_magnitude, target_spectrum = compressed_spectrum(target, size, hop)
            total = total + part * 35 * (magnitude - target_magnitude).square().mean()
            total = total + part * 30 * (spectrum - target_spectrum).square().mean()
    return total + _heard(estimate, noisy * gain, clean, targets, weights)


def _heard(estimate: Tensor, noisy: Tensor, clean: Tensor, targets: list[tuple[float, Tensor]], weights: LossWeights) -> Tensor:
    """The terms that need speech, and the one for noise alone: sums over the examples that have it, over the number of all."""
    audible = clean.square().mean(1) > SILENT
    total = estimate.new_zeros(())
    if weights.speechless and not audible.all():
        total = total + weights.speechless * loudness_left(estimate[~audible], noisy[~audible]).sum() / len(estimate)
    if not audible.any():
        return total
    # cut out, not masked afterwards: what is not defined for silence would still have a gradient that is none
    rows = estimate[audible]
    heard = torch.zeros(len(rows), device=rows.device)
    for part, target in targets:
        heard = heard - weights.sdr * part * (sdr(rows, target[audible]) / 10).clamp(max=MOST_SDR)
        if weights.emphasised_sdr:
            ratio = sdr(emphasised(rows), emphasised(target[audible])) / 10
            heard = heard - weights.emphasised_sdr * part * ratio.clamp(max=MOST_SDR)
    if weights.disturbance or weights.intelligibility:
        disturbance, unintelligible = perceptual_losses(rows, clean[audible])
        heard = heard + weights.disturbance * disturbance + weights.intelligibility * unintelligible
    if weights.attenuation:
        heard = heard + weights.attenuation * attenuation(rows, noisy[audible], clean[audible])
    return total + heard.sum() / len(estimate)
