"""A training run's state on disk, complete enough that stopping and resuming changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compression.recipe import build_network
from models.network import StreamingNetwork


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message names the file."""


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write in one move, so that a stop half-way leaves the former file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Content of a checkpoint.

    Raises:
        CheckpointError: The file is missing or is not a checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds
        raise CheckpointError(f"{path} cannot be read as a checkpoint ({error}): name one made by `quietwire train`") from error
    if not isinstance(content, dict) or not {"network", "average"} <= set(content):
        raise CheckpointError(f"{path} is not a checkpoint made by `quietwire train`")
    return content


def load_network(path: Path) -> StreamingNetwork:
    """The averaged network of a checkpoint, in evaluation mode."""
    content = load_checkpoint(path)
    network = build_network(content["network"])
    network.load_state_dict(content["average"])
    return network.eval()


def compact(content: dict[str, Any]) -> dict[str, Any]:
    """The same run in less than half the bytes, for keeping: averaged weights, optimiser moments in bfloat16."""

    def shrink(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shrink(item) for key, item in value.items()}
        if isinstance(value, Tensor) and value.ndim:
            return value.to(torch.bfloat16)
        return value

    return {**content, "weights": None, "optimizer": shrink(content["optimizer"])}
