"""A training run's state on disk, complete enough that stopping and resuming changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compression.errors import CheckpointError
from compression.losses.residual import NONE, Residual
from compression.training.recipe import build_network
from models.network import StreamingNetwork
from quietwire.replacing import replacing

Array = npt.NDArray[np.float32]
ENTRIES = {"network", "settings", "weights", "average", "optimizer", "step", "hours", "best"}
TABLES = ("network", "settings", "average", "optimizer")
WITHIN = "is of a training within a run: name the run's own polished.pt, best.pt or checkpoint.pt, or a variant's .onnx"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write the file, or leave the former one.

    Raises:
        CheckpointError: It cannot be written.
    """
    try:
        with replacing(path) as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:  # the latter is how torch says that a disk is full
        raise CheckpointError(f"{path} cannot be written ({error}): make room there or use another folder") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Content of a checkpoint.

    Raises:
        CheckpointError: The file is missing or is not a checkpoint.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file: name a checkpoint made by `quietwire train`")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds
        raise CheckpointError(f"{path} is damaged or not a checkpoint: name one made by `quietwire train`") from error
    if not isinstance(content, dict) or not set(content) >= ENTRIES:
        raise CheckpointError(f"{path} is not a checkpoint made by `quietwire train`")
    if not all(isinstance(content[name], dict) for name in TABLES):
        raise CheckpointError(f"{path} is damaged: name a whole checkpoint made by `quietwire train`")
    return content


def is_within(content: dict[str, Any]) -> bool:
    """Whether a checkpoint is of a polish, of centroids or of a memory's lesson, whose tensors only their training knows."""
    return any(".parametrizations." in name or name.startswith("network.") for name in content["average"])


def load_network(path: Path) -> StreamingNetwork:
    """The averaged network of a checkpoint, in evaluation mode.

    Raises:
        CheckpointError: The file is missing or is not a checkpoint, or its weights do not fit its network.
    """
    content = load_checkpoint(path)
    if is_within(content):
        raise CheckpointError(f"{path} {WITHIN}")
    try:
        network = build_network(content["network"])
        network.load_state_dict(content["average"])
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds another network than this program builds: train it again") from error
    return network.eval()


def enhancer(path: Path) -> Callable[[Array], Array]:
    """A function that enhances whole signals ``[samples]`` with a checkpoint's averaged network, on one thread.

    Raises:
        CheckpointError: As for ``load_network``.
    """
    network = load_network(path)
    torch.set_num_threads(1)

    def enhance(audio: Array) -> Array:
        with torch.no_grad():
            enhanced: Array = network(torch.from_numpy(audio)[None])[0].numpy()
        return enhanced

    return enhance


def compact(content: dict[str, Any]) -> dict[str, Any]:
    """The same run in less than half the bytes, for keeping: averaged weights, optimiser moments in bfloat16."""

    def shrink(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shrink(item) for key, item in value.items()}
        if isinstance(value, Tensor) and value.ndim:
            return value.to(torch.bfloat16)
        return value

    return {**content, "weights": None, "state": None, "optimizer": shrink(content["optimizer"])}


def mean(one: dict[str, Any], other: dict[str, Any], share: float) -> dict[str, Any]:
    """The first checkpoint with the mean of both averaged networks: of two ends of trainings that began alike, often the best.

    How it validates nobody has measured, so that it has no figures.

    Args:
        one: Gives everything else.
        other: Of a network of the same widths.
        share: Of the second in the mean, from 0 to 1.

    Raises:
        CheckpointError: The networks have other widths, or one is of a training within a run.
    """
    if is_within(one) or is_within(other):
        raise CheckpointError(f"one of the two checkpoints {WITHIN}")
    if one["network"] != other["network"] or one["average"].keys() != other["average"].keys():
        raise CheckpointError("the two checkpoints are of networks of other widths: only alike ones have a mean")
    pairs = {name: (value, other["average"][name]) for name, value in one["average"].items()}
    average = {name: a.lerp(b, share) if a.is_floating_point() else a for name, (a, b) in pairs.items()}
    merged = {"average": average, "weights": None, "state": None, "hours": max(one["hours"], other["hours"])}
    return {**one, **merged, "best": math.inf, "mean": True}


def trained_residual(facts: dict[str, Any]) -> Residual:
    """What a network of ``training_facts`` was trained to keep of the noise: the last training decides."""
    last = facts["settings"].get("polish", facts["settings"])
    return Residual(last.get("residual", NONE.share), last.get("residual_hold", NONE.hold))


def load_teacher(path: Path, device: torch.device) -> tuple[StreamingNetwork, Residual]:
    """A network that others are to learn from, on its device, and what it was trained to keep of the noise.

    Raises:
        CheckpointError: As for ``load_network``.
    """
    return load_network(path).requires_grad_(False).to(device), trained_residual(training_facts(path))


def training_facts(path: Path) -> dict[str, Any]:
    """How a checkpoint's network was trained, for its card; validation figures come from the ``log.jsonl`` beside it.

    Raises:
        CheckpointError: The file is missing or is not a checkpoint.
    """
    content = load_checkpoint(path)
    facts = {"network": content["network"], "settings": content["settings"], "steps": content["step"]}
    facts |= {"hours_of_mixtures": round(content["hours"], 1)}
    if content.get("teacher") is not None:
        facts["teacher"] = content["teacher"]
    validation = validation_figures(path, content)
    return facts if validation is None else facts | {"validation": validation}


def log_row(path: Path, row: dict[str, float]) -> None:
    """Append a validation to a run's ``log.jsonl``.

    Raises:
        CheckpointError: It cannot be written.
    """
    try:
        with path.open("a") as log:
            log.write(json.dumps(row) + "\n")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error.strerror}): make room or use another --run") from error


def validation_figures(path: Path, content: dict[str, Any]) -> dict[str, float] | None:
    """How the averaged network of a checkpoint validated, from the ``log.jsonl`` beside it; None where that does not say."""
    if content.get("mean"):
        return None  # the rows are of the networks that it is the mean of
    log = path.with_name("log.jsonl")
    found = None
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        try:
            row = json.loads(line)
            if (row["step"], row["hours"]) == (content["step"], round(content["hours"], 6)):  # not so of a polished one
                found = {name: row[name] for name in ("loss", "si_sdr", "si_sdr_gain")}
        except (KeyError, TypeError, ValueError):  # cut off when the machine went down, or not of a run
            continue
    return found
