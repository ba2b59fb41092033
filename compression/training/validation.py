"""How good a network is in training, over mixtures that stay the same from one validation to the next."""

from __future__ import annotations

import torch
from torch import Tensor

from compression.data.batches import Batches
from compression.losses.enhancement import DEFAULT_WEIGHTS, LossWeights, enhancement_loss, si_sdr
from models.network import StreamingNetwork

SEED = 7
EXCERPT = 997  # samples from one that a checkpoint keeps to the next


def validate(
    network: StreamingNetwork, batches: Batches, count: int, weights: LossWeights = DEFAULT_WEIGHTS
) -> dict[str, float]:
    """Mean loss, SI-SDR and SI-SDR improvement in dB over fixed mixtures ``(noisy, clean)`` or ``(noisy, clean, wanted)``."""
    losses, ratios, gains = [], [], []
    network.eval()
    with torch.no_grad():
        for index in range(count):
            noisy, clean, *wanted = batches(SEED, index)
            estimate = network(noisy)
            losses.append(enhancement_loss(estimate, noisy, clean, weights, *wanted))
            audible = clean.square().mean(1) > 1e-10
            ratios.append(si_sdr(estimate, clean)[audible])
            gains.append((si_sdr(estimate, clean) - si_sdr(noisy, clean))[audible])
    mean = torch.stack(losses).mean().item()
    return {"loss": mean, "si_sdr": torch.cat(ratios).mean().item(), "si_sdr_gain": torch.cat(gains).mean().item()}


def excerpt(batches: Batches) -> Tensor:
    """A few samples of the first mixtures, of which other recordings have others."""
    noisy, clean, *_ = batches(SEED, 0)
    return torch.cat([noisy, clean])[:, ::EXCERPT].cpu().contiguous()  # or all of them would be saved with it


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether excerpts are of the same mixtures, which other machines round otherwise."""
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-3)
