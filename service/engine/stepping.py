"""One step of a batch that no single row can spoil: a row that raises fails alone, one that is no longer finite begins anew."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.zoo import Variant

Array = npt.NDArray[np.float32]

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Stepped:
    """What became of a batch.

    Attributes:
        enhanced: ``[rows, samples]``, finite; silence where a row was reset or failed.
        states: ``[rows, state_size]``, finite; the initial state where a row was reset or failed.
        failed: By row, why it could not be stepped.
        reset: Rows whose output or state was not finite.
    """

    enhanced: Array
    states: Array
    failed: dict[int, Exception]
    reset: list[int]


def step(variant: Variant, audio: Array, states: Array, begin: Callable[[], None]) -> Stepped:
    """Step a batch; if that raises, step its rows one by one.

    Warnings of floating point are to be off in the calling thread, as one sum tells whether all is finite.

    Args:
        variant: The network.
        audio: ``[rows, samples]``.
        states: ``[rows, state_size]``.
        begin: Called before each further attempt, so that whoever watches the time can tell them apart.
    """
    failed: dict[int, Exception] = {}
    try:
        enhanced, following = variant.step(audio, states)
    except Exception as error:
        log.exception("a step of %s with %d rows failed", variant.name, len(audio))
        enhanced, following = np.zeros_like(audio), np.tile(variant.initial_state, (len(audio), 1))
        if len(audio) == 1:
            failed[0] = error
        else:
            failed = _one_by_one(variant, audio, states, begin, enhanced, following)
    reset: list[int] = []
    if not math.isfinite(following.sum() + enhanced.sum()):  # also where large values add up to too much
        finite = np.isfinite(following).all(axis=1) & np.isfinite(enhanced).all(axis=1)
        reset = np.flatnonzero(~finite).tolist()
        enhanced, following = enhanced.copy(), following.copy()  # those of the network may be read-only
        enhanced[reset], following[reset] = 0.0, variant.initial_state
    return Stepped(enhanced, following, failed, reset)


def _one_by_one(
    variant: Variant, audio: Array, states: Array, begin: Callable[[], None], enhanced: Array, following: Array
) -> dict[int, Exception]:
    """Fill in the rows that can be stepped; gives why the others cannot."""
    failed: dict[int, Exception] = {}
    for row in range(len(audio)):
        begin()
        try:
            enhanced[row : row + 1], following[row : row + 1] = variant.step(audio[row : row + 1], states[row : row + 1])
        except Exception as error:
            failed[row] = error
    log.error("%d of %d rows of %s cannot be stepped, the others go on", len(failed), len(audio), variant.name)
    return failed
