"""What a training step is fed: mixtures, a teacher's examples beside them, and both made ahead by other processes."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from compression.losses.residual import NONE, Residual
from models.network import StreamingNetwork

Batch = tuple[Tensor, ...]  # noisy, clean and, where there is a teacher, its output; each [batch, samples]
Batches = Callable[[int, int], Batch]  # of a seed and an index, the same batch at every call


@dataclasses.dataclass(frozen=True)
class Aimed:
    """Batches with what is wanted of the network, speech and a residual of the noise, in the third place.

    Attributes:
        batches: Of whole examples ``(noisy, clean)`` and, where there is a teacher, its output.
        residual: It.
    """

    batches: Batches
    residual: Residual

    def __call__(self, seed: int, index: int) -> Batch:
        noisy, clean, *example = self.batches(seed, index)
        return noisy, clean, clean.lerp(noisy, self.residual.shares(noisy, clean)), *example


@dataclasses.dataclass(frozen=True)
class Taught:
    """Batches with what a trained network makes of the noisy input, as a second target (distillation).

    Attributes:
        batches: Of ``(noisy, clean)``.
        teacher: On their device, in evaluation mode.
        bfloat16: Its matrix products and convolutions in bfloat16.
        wanted: Residual that its output is to have.
        kept: Residual that it was trained to keep; what is missing of it is let through beside its output.
    """

    batches: Batches
    teacher: StreamingNetwork
    bfloat16: bool
    wanted: Residual = NONE
    kept: Residual = NONE

    def __call__(self, seed: int, index: int) -> Batch:
        noisy, clean = self.batches(seed, index)
        with torch.no_grad(), torch.autocast(noisy.device.type, torch.bfloat16, enabled=self.bfloat16):
            output = self.teacher(noisy).float()
        kept = self.kept.shares(noisy, clean)
        missing = (self.wanted.shares(noisy, clean) - kept).clamp(min=0) / (1 - kept)
        return noisy, clean, output.lerp(noisy, missing)


@dataclasses.dataclass(frozen=True)
class _Series(Dataset[Batch]):
    batches: Batches
    seed: int

    def __getitem__(self, index: int) -> Batch:
        return self.batches(self.seed, index)


def series(batches: Batches, seed: int, indices: range, processes: int) -> Iterator[Batch]:
    """Batches in order.

    Args:
        batches: Makes one.
        seed: Of all of them.
        indices: Which ones.
        processes: That make them ahead, forked, with one thread each; 0 makes each when it is asked for. The batches are
            the same, but must be on the CPU.
    """
    made: DataLoader[Batch] = DataLoader(
        _Series(batches, seed),
        batch_size=None,
        sampler=indices,
        num_workers=processes,
        worker_init_fn=_ignore_signals,
        generator=torch.Generator(),  # or the start of an iteration would draw from the global one
        multiprocessing_context="fork" if processes else None,  # the recordings are shared, not copied
    )
    return iter(made)


def _ignore_signals(worker: int) -> None:
    """They are for the process that trains, which ends the others when it has saved."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
