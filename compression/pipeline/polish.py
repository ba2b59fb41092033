"""The last training of an ordinary network: of what its file will store, each tensor over its size.

Normalisation is folded, and one learning rate suits large and small tensors alike, as it does for the centroids of
``quantized``: a network that thousands of ordinary steps leave where it is may learn more in a hundred of these.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import torch

from compression.data.batches import Aimed, Batches
from compression.export.folding import unfold_normalisation
from compression.pipeline.stage_record import fingerprint
from compression.quantization.sharing import fine_tunable, settled
from compression.training.checkpoint import load_checkpoint, load_network, save_checkpoint
from compression.training.optimizer import Optimizers
from compression.training.progress import say
from compression.training.recipe import Recipe, TrainingSettings
from compression.training.train import Trainer
from compression.training.validation import validate


def polish(
    recipe: Recipe,
    settings: TrainingSettings,
    trained: Path,
    batches: tuple[Batches, Batches],
    device: torch.device,
    mixers: int = 0,
    budget_seconds: float = float("inf"),
    teacher: str | None = None,
) -> Path | None:
    """Polish the averaged network of a checkpoint, in a folder beside it that is named by networks and settings.

    A run found in that folder is resumed; where the network was trained on meanwhile, or the numbers or the teacher are
    others, a new one begins.

    Args:
        recipe: That the network was trained by.
        settings: Numbers of this training.
        trained: The checkpoint.
        batches: To train and to validate on.
        device: Where to train.
        mixers: Processes that make batches ahead.
        budget_seconds: After which it stops, to be gone on with.
        teacher: Fingerprint of the network whose examples the batches to train on hold; None for none.

    Returns:
        The checkpoint ``polished.pt`` beside ``trained``, of an ordinary network that can be trained on; None where the
        training was stopped before its end, or made nothing better.

    Raises:
        CheckpointError: One of the checkpoints is damaged, or of another network.
    """
    network, content = load_network(trained), load_checkpoint(trained)
    ready = dataclasses.replace(recipe, training=settings)
    networks = [fingerprint(network), *([] if teacher is None else [teacher])]
    known = json.dumps([*networks, dataclasses.asdict(settings), dataclasses.asdict(recipe.mixing)])
    target = trained.with_name("polished.pt")
    target.unlink(missing_ok=True)  # until this one is done there is none; one of a former network would be taken for it
    folder = trained.parent / f"polish-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
    shaped = fine_tunable(network, {})
    trainer = Trainer(ready, *batches, folder, device, network=shaped, mixers=mixers, teacher=teacher)
    if not trainer.run(budget_seconds):
        return None
    before = validate(network.to(device), Aimed(batches[1], settings.kept), settings.validation_batches, settings.loss_weights)
    best = load_checkpoint(folder / "best.pt")
    losses = f"validation loss {before['loss']:.4f} → {best['best']:.4f}"
    if best["best"] >= before["loss"]:
        say(f"the polish made nothing better: {losses}; {trained} is to be exported")
        return None
    shaped.load_state_dict(best["average"])
    ordinary = unfold_normalisation(settled(shaped, half=False), network)
    content |= {
        "settings": {**content["settings"], "polish": dataclasses.asdict(settings)},
        "weights": None,
        "average": ordinary.state_dict(),
        "optimizer": Optimizers(ordinary, settings.learning_rate, settings.weight_decay, settings.soap).state_dict(),
        "step": content["step"] + best["step"],
        "hours": content["hours"] + best["hours"],
        "best": best["best"],
        "teacher": teacher or content.get("teacher"),
    }
    save_checkpoint(target, content)
    say(f"polished: {losses}; {target} is to be exported")
    return target
