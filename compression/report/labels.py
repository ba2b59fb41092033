"""Where names go in a plot, so that they cover neither each other nor the points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Place = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top

DISTANCES = (8, 18, 30, 44)
DIRECTIONS = ((1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5), (0, 1), (0, -1))


def place_labels(anchors: Sequence[Place], sizes: Sequence[Place], points: Sequence[Place], inside: Box) -> list[Place]:
    """Lower left corners for labels, one after the other, each where it is least in the way and then nearest.

    Args:
        anchors: The points that have a label, in pixels.
        sizes: Width and height of each label.
        points: All points that should stay visible.
        inside: Where labels should stay.
    """
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    corners = []
    for anchor, size in zip(anchors, sizes, strict=True):
        boxes = [_box(anchor, size, *place) for place in itertools.product(DISTANCES, DIRECTIONS)]
        best = min(boxes, key=lambda found: _covered(found, taken, inside))  # the first, and so the nearest, of equals
        taken.append(best)
        corners.append(best[:2])
    return corners


def _box(anchor: Place, size: Place, distance: float, direction: Place) -> Box:
    """A label beside, above or below its point."""
    left = anchor[0] + direction[0] * distance - size[0] * (1 - direction[0]) / 2
    bottom = anchor[1] + direction[1] * distance - size[1] / 2
    return left, bottom, left + size[0], bottom + size[1]


def _covered(box: Box, taken: Sequence[Box], inside: Box) -> float:
    """Area of a label that covers others or leaves the plot, which is worse."""
    whole = (box[2] - box[0]) * (box[3] - box[1])
    return sum(_overlap(box, other) for other in taken) + 3 * (whole - _overlap(box, inside))


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0
