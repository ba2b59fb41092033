"""Long examples in short steps: truncated backpropagation through time (Williams and Peng, 1990).

What a recurrent network does to noise after some seconds it must have heard in training, or it lets it through. A step over
whole long examples is slow, as frames follow each other, and hears few of them. Here an example goes on over
several steps: each hears a stretch of it, and the network's state goes from one to the next, gradients do not. The rows of
a step are at different places of their examples: of four stretches a fourth of the rows is in each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from compression.data.batches import Batch
from models.network import StreamingNetwork


def stretched(whole: Iterator[Batch], first: int, stretches: int, hop: int, delay: int) -> Iterator[Batch]:
    """Batches of stretches, made of batches of whole examples.

    A row also holds the ``delay`` samples before its stretch, so that what the network hears, its last samples, and what the
    output is compared with, its first ones, can both be cut out of it.

    Args:
        whole: Batches of the examples that begin at each step, from ``stretches - 1`` steps before the first one on.
        first: Step of the first batch of stretches.
        stretches: Of an example, and so groups of rows of a step.
        hop: Samples of the network's step. A stretch is a whole number of them; what is over is left out at the example's end.
        delay: Samples by which the network's output lags behind its input.
    """
    recent: deque[Batch] = deque(maxlen=stretches)
    for step, examples in enumerate(whole, first - stretches + 1):
        recent.append(examples)
        if step < first:
            continue
        length = examples[0].shape[1] // (stretches * hop) * hop
        groups = []
        for group in range(stretches):
            behind = (step - group) % stretches
            place = slice(behind * length, (behind + 1) * length + delay)
            groups.append(tuple(functional.pad(audio, (delay, 0))[:, place] for audio in recent[-1 - behind]))
        yield tuple(torch.cat(rows) for rows in zip(*groups, strict=True))


class Listener:
    """A network in training that hears batch after batch; of stretches, it remembers what came before.

    Args:
        stretches: Of an example; 1 where batches hold whole examples.
    """

    def __init__(self, stretches: int) -> None:
        self.stretches = stretches
        self.state: Tensor | None = None  # [rows, state_size] after the newest step

    def __call__(self, network: StreamingNetwork, batch: Batch, step: int) -> tuple[Tensor, Batch]:
        """What the network makes of a batch, and the batch as it is to be compared with that.

        Args:
            network: It.
            batch: Of the recipe's examples, or from ``stretched``.
            step: Index of the batch, one more than at the call before.
        """
        if self.stretches == 1:
            return network(batch[0]), batch
        heard, rows = batch[0][:, network.delay :], len(batch[0])
        begins = torch.arange(rows, device=heard.device) // (rows // self.stretches) == step % self.stretches
        state = network.initial_state(rows)
        if self.state is not None and self.state.shape == state.shape:
            state = torch.where(begins.unsqueeze(1), state, self.state)
        estimate, state = network.step(heard, state)
        self.state = state.detach()
        return estimate, tuple(audio[:, : heard.shape[1]] for audio in batch)
