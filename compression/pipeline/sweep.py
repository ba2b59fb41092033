"""A sweep: many variants of one network in one folder, for the lines in the plots of `quietwire report --sweep`.

``<folder>/<family>/<point>.onnx`` with its card. A point whose card names the same original and settings is not made again.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from compression.errors import CompressionError
from compression.export.variant import to_onnx, write_variant
from compression.pipeline.compress import how_made
from compression.pipeline.stage_record import completed, fingerprint
from compression.pipeline.stages import Outcome, StoppedError, Workshop
from compression.pipeline.sweep_points import Point
from compression.training.progress import say
from models.card import CardError, VariantCard, load_card


def make_sweep(shop: Workshop, points: list[Point], folder: Path, training: dict[str, Any]) -> list[VariantCard]:
    """Make the points that are left and give the cards of all.

    Args:
        shop: What the stages share.
        points: From ``sweep_points``.
        folder: Where the variants go.
        training: How ``original`` was trained, for the cards.

    Raises:
        CompressionError: The folder has a point of another network or of other settings; nothing is made then.
        CheckpointError: A file of the run is damaged.
        StoppedError: Ctrl-C, or the time is up; all finished points are in the folder.
    """
    targets = {point.name: folder / shop.original.family / f"{point.name}.onnx" for point in points}
    cards = {point.name: find_point(targets[point.name], point, fingerprint(shop.original)) for point in points}
    left = [point for point in points if cards[point.name] is None]
    say(f"sweep: {len(points)} points, {len(points) - len(left)} of them made before")
    whole = len(to_onnx(shop.original, "original").SerializeToString())
    start, done, total = time.monotonic(), 0, sum(point.cost for point in left)
    for index, point in enumerate(left, 1):
        try:
            stages = point.make()
            cards[point.name] = _write(shop, point, stages, targets[point.name], whole, training)
        except KeyboardInterrupt as stop:  # between two steps of training the trainer sees to it
            raise StoppedError(f"stopped in {point.name}") from stop
        done += point.cost
        minutes = (time.monotonic() - start) / done * (total - done) / 60
        say(f"sweep: {index} of {len(left)} points, about {minutes:.1f} min left")
    return [card for card in cards.values() if card is not None]


def find_point(target: Path, point: Point, original: str) -> VariantCard | None:
    """The card of a point that is there already and whole; None where it is to be made.

    Args:
        target: Its file.
        point: What it should be.
        original: Fingerprint of the network it should be made of.

    Raises:
        CompressionError: It was made of another network, or with other settings.
    """
    path = target.with_suffix(".json")
    if not path.exists():
        return None
    try:
        card = load_card(path)
    except CardError:
        return None
    remedy = f"use another --out or remove {target.parent}"
    if card.compression.get("original") != original:
        raise CompressionError(f"{path} was made of another network: {remedy}")
    if completed(card.compression.get("sweep", {})) != json.loads(json.dumps(point.settings)):
        raise CompressionError(f"{path} was made with other settings: {remedy}")
    whole = target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == card.sha256
    return card if whole else None


def _write(
    shop: Workshop, point: Point, stages: tuple[Outcome, ...], target: Path, whole: int, training: dict[str, Any]
) -> VariantCard:
    network = stages[-1].network
    content = to_onnx(network, point.variant).SerializeToString()
    made = how_made(shop.original, stages, content) | point.facts(network) | {"sweep": point.settings}
    card = write_variant(network, point.variant, target, whole, training, made)
    say(f"{point.name}: {card.bytes:,} bytes, {card.size_ratio:.2%} of original")
    return card
