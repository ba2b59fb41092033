"""`quietwire sweep` over small material, as its tests call it."""

from __future__ import annotations

from functools import partial

from . import compression_command

SETTINGS = """
[pruning]
importance_batches = 2
[pruning.training]
seed = 2
steps = 20
cooldown = 10
warmup = 10
batch = 2
seconds = 0.25
validate_every = 20
validation_batches = 1
[sweep]
centroids = [4, 2, 16]
macs_ratios = [0.6, 0.8]
steps = 2
thresholds = [0.6]
soft_rounds = 2
soft_steps = 2
combined_centroids = [8]
"""

succeed = partial(compression_command.succeed, "sweep")
