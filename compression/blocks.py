"""Whole recurrent blocks of a ``crn`` go: for a single stream, each costs more time than its multiplications say.

A block is residual, so the network without it is the network in which it adds nothing. Which one matters least is
measured: by the loss of the network without it, one block after the other.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from models.crn import Crn
from models.network import StreamingNetwork

BLOCK = re.compile(r"^(subband|fullband)\.(\d+)\.")


def without_block(network: Crn, block: int) -> Crn:
    """The network in which one block adds nothing, as a smaller network.

    Args:
        network: Left as it is.
        block: Index of the block.

    Raises:
        ValueError: It is the only one, or there is none of this index.
    """
    count = len(network.config.subband_units)
    if count == 1 or not 0 <= block < count:
        raise ValueError(f"block {block} cannot be removed from a crn of {count}")
    others = [index for index in range(count) if index != block]
    smaller = Crn(
        dataclasses.replace(
            network.config,
            subband_units=tuple(network.config.subband_units[index] for index in others),
            fullband_units=tuple(network.config.fullband_units[index] for index in others),
        )
    )
    names = {name: BLOCK.sub(lambda found: f"{found[1]}.{others[int(found[2])]}.", name) for name in smaller.state_dict()}
    state = network.state_dict()
    smaller.load_state_dict({name: state[former] for name, former in names.items()})
    return smaller.train(network.training)


def without_blocks(network: StreamingNetwork, blocks: list[int]) -> Crn:
    """The same for several, in turn; each index is of the network that the ones before have left."""
    assert isinstance(network, Crn)
    for block in blocks:
        network = without_block(network, block)
    return network


def least_important(network: Crn, loss: Callable[[Crn], float], stay: int) -> list[int]:
    """Blocks to remove so that ``stay`` are left, in the order and with the indices of ``without_blocks``."""
    removed = []
    while (count := len(network.config.subband_units)) > stay:
        trials = [without_block(network, block) for block in range(count)]
        losses = [loss(trial) for trial in trials]
        removed.append(losses.index(min(losses)))
        network = trials[removed[-1]]
    return removed
