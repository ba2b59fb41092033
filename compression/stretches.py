"""Long examples in short steps: truncated backpropagation through time (Williams and Peng, 1990).

What a recurrent network does to noise after some seconds it must have heard in training, or it lets it through. A step over
whole long examples is slow, as frames follow each other, and hears few of them. Here an example goes on over
several steps: each hears a stretch of it, and the network's state goes from one to the next, gradients do not. The rows of
a step are at different places of their examples: of four stretches a fourth of the rows is in each.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from compression.batches import Batch, Batches
from models.network import StreamingNetwork


@dataclasses.dataclass(frozen=True)
class Stretched:
    """Batches of stretches, made of batches of whole examples.

    A row also holds the ``delay`` samples before its stretch, so that what the network hears, its last samples, and what the
    output is compared with, its first ones, can both be cut out of it.

    Attributes:
        whole: Batches of the examples that begin at one step.
        stretches: Of an example, and so groups of rows of a step.
        hop: Samples of the network's step. A stretch is a whole number of them; what is over is left out at the example's end.
        delay: Samples by which the network's output lags behind its input.
    """

    whole: Batches
    stretches: int
    hop: int
    delay: int
    recent: dict[tuple[int, int], Batch] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def __call__(self, seed: int, index: int) -> Batch:
        over = [key for key in self.recent if key[0] != seed or not index - self.stretches < key[1] <= index]
        for key in over:
            del self.recent[key]
        groups = []
        for group in range(self.stretches):
            behind = (index - group) % self.stretches
            groups.append(self._cut(self._examples(seed, index - behind), behind))
        return tuple(torch.cat(rows) for rows in zip(*groups, strict=True))

    def _examples(self, seed: int, begun: int) -> Batch:
        """Those that began at a step."""
        if (seed, begun) not in self.recent:
            self.recent[seed, begun] = self.whole(seed, begun)
        return self.recent[seed, begun]

    def _cut(self, examples: Batch, behind: int) -> Batch:
        length = examples[0].shape[1] // (self.stretches * self.hop) * self.hop
        place = slice(behind * length, (behind + 1) * length + self.delay)
        return tuple(functional.pad(audio, (self.delay, 0))[:, place] for audio in examples)


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
            batch: Of the recipe's examples, or from ``Stretched``.
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
