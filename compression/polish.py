"""The last training of an ordinary network: of what its file will store, each tensor over its size.

Normalisation is folded, and one learning rate suits large and small tensors alike, as it does for the centroids of
``quantized``: a network that thousands of ordinary steps leave where it is may learn more in a hundred of these.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from compression.batches import Batches
from compression.checkpoint import load_checkpoint, load_network, save_checkpoint
from compression.optimizer import Optimizers
from compression.recipe import Recipe, TrainingSettings
from compression.sharing import fine_tunable, settled
from compression.train import Trainer


def polish(
    recipe: Recipe,
    settings: TrainingSettings,
    trained: Path,
    batches: tuple[Batches, Batches],
    device: torch.device,
    mixers: int = 0,
    budget_seconds: float = float("inf"),
) -> Path | None:
    """Polish the averaged network of a checkpoint in the folder ``polish`` beside it; a run found there is resumed.

    Args:
        recipe: That the network was trained by.
        settings: Numbers of this training.
        trained: The checkpoint.
        batches: To train and to validate on.
        device: Where to train.
        mixers: Processes that make batches ahead.
        budget_seconds: After which it stops, to be gone on with.

    Returns:
        The checkpoint ``polished.pt`` beside ``trained``, an ordinary one of an equal network whose normalisations do
        nothing; None where the training was stopped before its end.

    Raises:
        CheckpointError: One of the checkpoints is damaged, or of another network.
    """
    network, content = load_network(trained), load_checkpoint(trained)
    ready, folder = dataclasses.replace(recipe, training=settings), trained.parent / "polish"
    trainer = Trainer(ready, *batches, folder, device, network=fine_tunable(network, {}), mixers=mixers)
    trainer.run(budget_seconds=budget_seconds)
    if trainer.step < settings.steps:
        return None
    best, shaped = load_checkpoint(folder / "best.pt"), fine_tunable(network, {})
    shaped.load_state_dict(best["average"])
    plain = settled(shaped, half=False)
    content |= {
        "settings": {**content["settings"], "polish": dataclasses.asdict(settings)},
        "weights": None,
        "average": plain.state_dict(),
        "optimizer": Optimizers(plain, settings.learning_rate, settings.weight_decay, settings.muon).state_dict(),
        "step": content["step"] + best["step"],
        "hours": content["hours"] + best["hours"],
        "best": best["best"],
    }
    target = trained.with_name("polished.pt")
    save_checkpoint(target, content)
    return target
