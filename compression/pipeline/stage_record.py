"""What ``stage.json`` says: what a stage was made from and with, its plan and, once it is finished, its figures."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from compression.errors import CompressionError
from compression.training.recipe import TrainingSettings
from models.network import StreamingNetwork
from quietwire.replacing import replacing

Record = dict[str, Any]
NETWORKS = {"parent": "network", "teacher": "original"}


def find_record(path: Path, inputs: Record) -> Record:
    """The record in a folder, or the inputs themselves where there is none.

    Raises:
        CompressionError: It was made from other networks or with other settings, or is damaged.
    """
    if not path.exists():
        return inputs
    try:
        record: Record = json.loads(path.read_text())
        former = {key: record[key] for key in inputs}
        former["settings"] = completed(former["settings"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CompressionError(f"{path} is damaged: remove the folder {path.parent}") from error
    for key in ("parent", "teacher"):
        if former[key] != inputs[key]:
            raise CompressionError(f"{path.parent} was made from another {NETWORKS[key]}: use another --run or remove it")
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


def save_record(path: Path, record: Record) -> None:
    """Write the record, or leave the former one.

    Raises:
        CompressionError: It cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(json.dumps(record, indent=1).encode() + b"\n")
    except OSError as error:
        raise CompressionError(f"{path} cannot be written ({error.strerror}): make room there or use another --run") from error


def fingerprint(network: StreamingNetwork) -> str:
    """SHA-256 of a network's family, widths and weights."""
    total = hashlib.sha256(json.dumps([network.family, network.hyperparameters()]).encode())
    for name, value in network.state_dict().items():
        total.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
