"""One step of a compression in a folder of its own: a plan, a training, a network; skipped when done, resumed when half done.

``stage.json`` holds what the stage was made from and with, its plan and, once it is finished, its figures; beside it lies
the training run. A plan is JSON from which the untrained network can be made again of its parent, so a stopped stage
needs no second measurement and a parametrized network no pickle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from compression.batches import Batches, Taught
from compression.checkpoint import load_checkpoint
from compression.errors import CheckpointError, CompressionError
from compression.losses import LossWeights
from compression.mixing import MixingSettings
from compression.recipe import Recipe, TrainingSettings
from compression.sources import Recordings, mixer
from compression.telling import say
from compression.train import Trainer, validate
from models.network import StreamingNetwork

CPU = torch.device("cpu")
VALIDATION_BATCHES = 16
Record = dict[str, Any]


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
        residual: Share of the noise that ``original`` was trained to keep.
        losses: Of ``original`` over the validation batches, by weights of the loss; filled as needed.
    """

    original: StreamingNetwork
    recordings: Recordings
    valid: Batches
    mixing: MixingSettings
    folder: Path
    deadline: float = math.inf
    mixers: int = 0
    pruned_from: Path | None = None
    residual: float = 0.0
    losses: dict[LossWeights, float] = dataclasses.field(default_factory=dict)

    def batches(self, training: TrainingSettings, seconds: float | None = None) -> Batches:
        """Training batches; of so many seconds altogether where these are given."""
        count, length = training.examples
        return mixer(self.recordings, self.mixing, count if seconds is None else max(1, round(seconds / length)), length)

    def lessons(self, training: TrainingSettings) -> Taught:
        """Training batches with the original's output as a second target, which keeps as much of the noise as is wanted."""
        added = max(0.0, (training.residual - self.residual) / (1 - self.residual))
        return Taught(self.batches(training), self.original, training.bfloat16, added, training.residual_hold)

    def loss(self, network: StreamingNetwork, training: TrainingSettings) -> float:
        """Validation loss of a network."""
        return validate(network, self.valid, VALIDATION_BATCHES, training.loss_weights)["loss"]

    def original_loss(self, training: TrainingSettings) -> float:
        """Validation loss of ``original``."""
        weights = training.loss_weights
        if weights not in self.losses:
            self.losses[weights] = self.loss(self.original, training)
        return self.losses[weights]


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
    inputs = json.loads(json.dumps({"stage": stage.name, "parent": fingerprint(stage.parent), "settings": settings}))
    record = _found(path, inputs)
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
        _load_best(network, path.with_name("best.pt"), record["losses"]["before"])
    network = stage.settle(network).eval()
    if "after" not in record["losses"]:
        record["losses"]["after"] = shop.loss(network, stage.training) if stage.trained else record["losses"]["before"]
        save_record(path, record)
        say(f"{stage.name}: done, {_shown(record['sizes'])}, {_losses(record['losses'])}")
    return Outcome(path, record, network)


def _found(path: Path, inputs: Record) -> Record:
    """The record in a folder, or the inputs themselves where there is none."""
    if not path.exists():
        return inputs
    try:
        record: Record = json.loads(path.read_text())
        former = {key: record[key] for key in inputs}
        former["settings"] = completed(former["settings"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CompressionError(f"{path} is damaged: remove the folder {path.parent}") from error
    if former["parent"] != inputs["parent"]:
        raise CompressionError(f"{path.parent} was made from another network: use another --run or remove it")
    if former["settings"] != inputs["settings"]:
        changed = _difference(former["settings"], inputs["settings"])
        raise CompressionError(f"{path.parent} was made with another {changed}: use another --run or remove it")
    return record


def completed(settings: Record) -> Record:
    """Settings that were written down before some entry of their training was known, with its default."""
    training = settings.get("training", {})
    return settings | {"training": dataclasses.asdict(TrainingSettings()) | training} if training else settings


def _difference(former: Any, now: Any) -> str:
    """Path of the first entry that differs."""
    for key in {**former, **now}:
        if former.get(key) != now.get(key):
            nested = isinstance(former.get(key), dict) and isinstance(now.get(key), dict)
            return f"{key}.{_difference(former[key], now[key])}" if nested else str(key)
    raise AssertionError("the same")


def _train(shop: Workshop, stage: Stage, network: StreamingNetwork, folder: Path) -> Record:
    """Train to the end, and say how much that was."""
    recipe = Recipe({"family": network.family, **network.hyperparameters()}, stage.training, shop.mixing)
    batches = shop.lessons(stage.training)
    trainer = Trainer(recipe, batches, shop.valid, folder, CPU, network=network, mixers=shop.mixers)
    trainer.run(VALIDATION_BATCHES, shop.deadline - time.monotonic())
    if trainer.step < stage.training.steps:
        raise StoppedError(f"stopped in {stage.name} after {trainer.step} of {stage.training.steps} steps")
    return {"steps": trainer.step, "hours_of_mixtures": round(trainer.hours, 2)}


def _load_best(network: StreamingNetwork, path: Path, before: float) -> None:
    """Give a network the weights that validated best, unless its own are better."""
    content, own = load_checkpoint(path), {name: value.clone() for name, value in network.state_dict().items()}
    try:
        network.load_state_dict(content["average"])
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the plan beside it: remove the folder {path.parent}") from error
    if content["best"] > before:
        say(f"{path.parent}: no better for the training ({content['best']:.4f} at best), so what it began with stays")
        network.load_state_dict(own)


def save_record(path: Path, record: Record) -> None:
    """Write in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    temporary.replace(path)


def fingerprint(network: StreamingNetwork) -> str:
    """SHA-256 of a network's family, widths and weights."""
    total = hashlib.sha256(json.dumps([network.family, network.hyperparameters()]).encode())
    for name, value in network.state_dict().items():
        total.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


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
