"""One step of a compression in a folder of its own: a plan, a training, a network; skipped when done, resumed when half done.

``stage.json`` holds what the stage was made from and with, its plan and, once it is finished, its figures; beside it lies
the training run. A plan is JSON from which the untrained network can be made again of its parent, so a stopped stage
needs no second measurement and a parametrized network no pickle.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compression.data.batches import Aimed, Batches, Taught
from compression.data.mixing import MixingSettings
from compression.data.sources import Recordings, mixer
from compression.errors import CheckpointError
from compression.losses.enhancement import LossWeights
from compression.losses.residual import NONE, Residual
from compression.pipeline.stage_record import Record, find_record, fingerprint, save_record
from compression.training.checkpoint import load_checkpoint, validation_figures
from compression.training.progress import say
from compression.training.recipe import Recipe, TrainingSettings
from compression.training.train import Trainer
from compression.training.validation import validate
from models.network import StreamingNetwork

CPU = torch.device("cpu")


class StoppedError(Exception):
    """A stage was stopped half-way, by Ctrl-C or because the time is up; it can go on."""


@dataclasses.dataclass(frozen=True)
class Workshop:
    """What all stages share.

    Attributes:
        original: The trained network, in evaluation mode; also the teacher.
        recordings: To train on.
        valid: Validation batches.
        mixing: How to mix.
        folder: Of all stages.
        deadline: Time of ``time.monotonic`` at which to stop.
        mixers: Processes that make batches while a network is trained.
        pruned_from: Checkpoint of a pruned network whose training goes on, instead of a cut of ``original``.
        kept: Residual that ``original`` was trained to keep.
        losses: Of ``original`` over the validation batches, by what is measured; filled as needed.
    """

    original: StreamingNetwork
    recordings: Recordings
    valid: Batches
    mixing: MixingSettings
    folder: Path
    deadline: float = math.inf
    mixers: int = 0
    pruned_from: Path | None = None
    kept: Residual = NONE
    losses: dict[tuple[LossWeights, Residual, int], float] = dataclasses.field(default_factory=dict)

    def batches(self, training: TrainingSettings, seconds: float | None = None) -> Batches:
        """Training batches; of so many seconds altogether where these are given."""
        count, length = training.examples
        return mixer(self.recordings, self.mixing, count if seconds is None else max(1, round(seconds / length)), length)

    def lessons(self, training: TrainingSettings) -> Taught:
        """Training batches with the original's output as a second target, which keeps as much of the noise as is wanted."""
        return Taught(self.batches(training), self.original, training.bfloat16, training.kept, self.kept)

    def loss(self, network: StreamingNetwork, training: TrainingSettings) -> float:
        """Validation loss of a network."""
        batches = Aimed(self.valid, training.kept)
        return validate(network, batches, training.validation_batches, training.loss_weights)["loss"]

    def original_loss(self, training: TrainingSettings) -> float:
        """Validation loss of ``original``."""
        measured = training.loss_weights, training.kept, training.validation_batches
        if measured not in self.losses:
            self.losses[measured] = self.loss(self.original, training)
        return self.losses[measured]


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is to be done in one folder.

    Attributes:
        name: Of the folder, below the workshop's.
        parent: Network that it begins with; left as it is.
        settings: All that decides about the result beside the parent, as JSON values.
        training: Numbers of the training.
        plan: Measures and chooses; gives JSON values.
        apply: Makes the network to be trained of the plan, the same at every call, and not run by it.
        settle: Makes the plain network of the trained one.
        trained: Whether there is a training; where not, ``training`` only says what losses are measured with.
    """

    name: str
    parent: StreamingNetwork
    settings: dict[str, Any]
    training: TrainingSettings
    plan: Callable[[], Record]
    apply: Callable[[Record], StreamingNetwork]
    settle: Callable[[StreamingNetwork], StreamingNetwork] = lambda network: network
    trained: bool = True

    @property
    def steps(self) -> int:
        """Of the training."""
        return self.training.steps if self.trained else 0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished stage: the content of its ``stage.json``, and its network in evaluation mode."""

    path: Path
    record: Record
    network: StreamingNetwork


def run_stage(shop: Workshop, stage: Stage) -> Outcome:
    """Do what is left of a stage.

    Raises:
        CompressionError: The folder holds a stage that was made from another network or with other settings.
        CheckpointError: A file in the folder is damaged.
        StoppedError: It was stopped half-way.
    """
    path = shop.folder / stage.name / "stage.json"
    training = {**dataclasses.asdict(stage.training), "steps": stage.steps}
    settings = {**stage.settings, "training": training, "mixing": dataclasses.asdict(shop.mixing)}
    networks = {"parent": fingerprint(stage.parent), "teacher": fingerprint(shop.original)}
    inputs = json.loads(json.dumps({"stage": stage.name, **networks, "settings": settings}))
    record = find_record(path, inputs)
    if "figures" not in record and time.monotonic() >= shop.deadline:
        raise StoppedError(f"stopped before {stage.name}")
    if record is inputs:
        record = {**inputs, "plan": json.loads(json.dumps(stage.plan()))}
    network = stage.apply(record["plan"])
    if "figures" in record:
        say(f"{stage.name}: finished before, {_losses(record['losses'])}")
    else:
        if "losses" not in record:
            start = stage.settle(network)
            record["losses"] = {"original": shop.original_loss(stage.training), "before": shop.loss(start, stage.training)}
            record["sizes"] = _sizes(start, shop.original)
            save_record(path, record)
        say(f"{stage.name}: {_shown(record['sizes'])}, {_losses(record['losses'])}, {stage.steps} steps to train")
        record["figures"] = _train(shop, stage, network, path.parent) if stage.trained else {"steps": 0}
    if stage.trained:
        load_trained(network, path.parent, record["losses"]["before"])
    network = stage.settle(network).eval()
    if "after" not in record["losses"]:
        record["losses"]["after"] = shop.loss(network, stage.training) if stage.trained else record["losses"]["before"]
        save_record(path, record)
        say(f"{stage.name}: done, {_shown(record['sizes'])}, {_losses(record['losses'])}")
    return Outcome(path, record, network)


def _train(shop: Workshop, stage: Stage, network: StreamingNetwork, folder: Path) -> Record:
    """Train to the end, and say how much that was."""
    recipe = Recipe({"family": network.family, **network.hyperparameters()}, stage.training, shop.mixing)
    batches = shop.lessons(stage.training)
    trainer = Trainer(recipe, batches, shop.valid, folder, CPU, network=network, mixers=shop.mixers)
    if not trainer.run(shop.deadline - time.monotonic()):
        raise StoppedError(f"stopped in {stage.name} after {trainer.step} of {stage.training.steps} steps")
    return {"steps": trainer.step, "hours_of_mixtures": round(trainer.hours, 2)}


def load_trained(network: nn.Module, folder: Path, before: float) -> None:
    """Give a network the weights of the end of its training; where its own are better, the best on the way, if those are not.

    Validation is too short to tell which of two good ones is better: once the rate has fallen to 0, the end mostly is.
    """
    own = {name: value.clone() for name, value in network.state_dict().items()}
    for path in (folder / "checkpoint.pt", folder / "best.pt"):
        content = load_checkpoint(path)
        try:
            network.load_state_dict(content["average"])
        except RuntimeError as error:
            raise CheckpointError(f"{path} does not fit the plan beside it: remove the folder {folder}") from error
        if (validation_figures(path, content) or {"loss": content["best"]})["loss"] <= before:
            return
    say(f"{folder}: no better for the training ({content['best']:.4f} at best), so what it began with stays")
    network.load_state_dict(own)


def _sizes(network: StreamingNetwork, original: StreamingNetwork) -> dict[str, float]:
    parameters, macs = network.parameter_count(), network.macs_per_second()
    ratios = parameters / original.parameter_count(), macs / original.macs_per_second()
    return {"parameters": parameters, "parameters_ratio": ratios[0], "macs_per_second": macs, "macs_ratio": ratios[1]}


def _shown(sizes: dict[str, float]) -> str:
    return (
        f"{sizes['parameters']:,} parameters ({sizes['parameters_ratio']:.1%}), "
        f"{sizes['macs_per_second'] / 1e6:.1f} M MACs/s ({sizes['macs_ratio']:.1%})"
    )


def _losses(losses: dict[str, float]) -> str:
    after = f" → {losses['after']:.4f}" if "after" in losses else ""
    return f"validation loss {losses['before']:.4f}{after} (original {losses['original']:.4f})"
