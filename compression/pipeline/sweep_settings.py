"""The table ``[sweep]`` of a settings file: which points `quietwire sweep` makes of a network, and how long each is trained."""

from __future__ import annotations

import dataclasses

from compression.tables import ANY_LENGTH
from compression.training.recipe import TrainingSettings


@dataclasses.dataclass(frozen=True)
class SweepSettings:
    """Points of a sweep; an empty list leaves a kind of them out.

    Attributes:
        centroids: k of every tensor, a point each, without training; powers of 2.
        macs_ratios: Of the multiplications of ``original`` that stay when whole units go, a point each.
        steps: Of training after each of these removals; 0 for none.
        thresholds: θ of the paper's rule for single kernels, a point each; ``fcn`` only.
        soft_rounds: How often kernels are zeroed and the network is trained again, before they are zeroed for good.
        soft_steps: Of training in each such round.
        combined_centroids: k for every threshold, a further point each; powers of 2.
    """

    centroids: tuple[int, ...] = dataclasses.field(default=(2, 4, 8, 16, 32, 64, 128, 256), metadata=ANY_LENGTH)
    macs_ratios: tuple[float, ...] = dataclasses.field(default=(0.75, 0.5, 0.35, 0.25), metadata=ANY_LENGTH)
    steps: int = 250
    thresholds: tuple[float, ...] = dataclasses.field(default=(0.65, 0.7), metadata=ANY_LENGTH)
    soft_rounds: int = 3
    soft_steps: int = 100
    combined_centroids: tuple[int, ...] = dataclasses.field(default=(16,), metadata=ANY_LENGTH)

    def __post_init__(self) -> None:
        for name, most in (("centroids", 256), ("combined_centroids", 128)):  # zeroed kernels take a value of their own
            if not all(2 <= k <= most and k.bit_count() == 1 for k in getattr(self, name)):
                raise ValueError(f"{name} must be powers of 2, from 2 to {most}")
        for name in ("macs_ratios", "thresholds"):
            if not all(0 < value < 1 for value in getattr(self, name)):
                raise ValueError(f"{name} must lie between 0 and 1")
        for name in ("centroids", "macs_ratios", "thresholds", "combined_centroids"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} has a value twice")
        if min(self.steps, self.soft_steps) < 0 or self.soft_rounds < 1:
            raise ValueError("steps and soft_steps must be at least 0, soft_rounds at least 1")
        if not (self.centroids or self.macs_ratios or self.thresholds):
            raise ValueError("there is no point: name centroids, macs_ratios or thresholds")


def shortened(training: TrainingSettings, steps: int) -> TrainingSettings:
    """The same training in so many steps, rise, fall and validations in proportion; as it is for 0, which means none."""
    if not steps:
        return training
    share = steps / training.steps
    return dataclasses.replace(
        training,
        steps=steps,
        cooldown=round(share * training.cooldown),
        warmup=round(share * training.warmup),
        validate_every=max(1, round(share * training.validate_every)),
    )
