"""Checkpoints of small networks that have seen nothing, for what is done with trained ones."""

from __future__ import annotations

from pathlib import Path

import torch

from compression.data.mixing import MixingSettings
from compression.training.checkpoint import save_checkpoint
from compression.training.recipe import Recipe, TrainingSettings
from compression.training.train import Trainer

NETWORKS = {
    "crn": {"channels": 16, "subband_channels": 16, "subband_units": [16], "fullband_units": [16], "depth": 1},
    "fcn": {"filters": [10, 10]},
}


def checkpoint(folder: Path, family: str, seed: int = 1, **widths: list[int]) -> Path:
    """Write one, with some other widths; gives its path."""
    recipe = Recipe({"family": family, **NETWORKS[family], **widths}, TrainingSettings(seed=seed), MixingSettings())
    path = folder / f"{family}-{seed}.pt"
    save_checkpoint(path, Trainer(recipe, None, None, folder / "none", torch.device("cpu")).content())
    return path
