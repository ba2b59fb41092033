"""What the two network families have in common: the streaming contract.

A network is a function of whole hops and a state. ``step`` turns hops into hops, ``delay`` samples late, and
carries everything it must remember in one flat row per stream. ``forward`` enhances whole signals by running the
same computation once over all hops, so streaming and offline output are equal by construction.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from models.card import Family  # not at run time: training needs no pydantic

Layer = TypeVar("Layer", bound=nn.Module)


class StreamingNetwork(nn.Module, abc.ABC):
    """A causal enhancement network with an explicit state.

    Attributes:
        family: Name of the architecture, ``crn`` or ``fcn``.
        sample_rate: Of input and output, in Hz.
        hop: Samples taken and given by one step.
        window: Samples of one analysis frame; equal to ``hop`` for networks without a transform.
        delay: Samples by which the output of ``step`` lags behind its input.
    """

    family: Family
    sample_rate: int = 16000
    hop: int
    window: int
    delay: int

    @property
    @abc.abstractmethod
    def state_sizes(self) -> dict[str, int]:
        """Number of floats of each part of a state row, in the order in which they are laid out."""

    @property
    def state_size(self) -> int:
        """Number of floats of one stream's state row."""
        return sum(self.state_sizes.values())

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency: a hop must be complete before it is processed, then comes the delay."""
        return self.hop + self.delay

    @abc.abstractmethod
    def hyperparameters(self) -> dict[str, Any]:
        """Arguments that rebuild this network, as plain JSON values."""

    @abc.abstractmethod
    def macs_per_second(self) -> int:
        """Multiply-accumulate operations for one second of audio in the streaming form, transforms included."""

    @abc.abstractmethod
    def step(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Enhance one or more hops of several streams.

        Args:
            audio: ``[batch, hops * hop]`` samples, full scale ±1.
            state: ``[batch, state_size]``, from ``initial_state`` or the previous step.

        Returns:
            The enhanced audio of the same shape, ``delay`` samples late, and the next state.
        """

    def initial_state(self, batch: int) -> Tensor:
        """State of streams that have heard nothing but digital silence, ``[batch, state_size]``."""
        reference = next(self.parameters())
        return torch.zeros(batch, self.state_size, device=reference.device)

    def forward(self, audio: Tensor) -> Tensor:
        """Enhance whole signals ``[batch, samples]``; the output is aligned and of the same shape."""
        samples = audio.shape[-1]
        padding = self.delay + -(samples + self.delay) % self.hop
        enhanced, _ = self.step(functional.pad(audio, (0, padding)), self.initial_state(len(audio)))
        return enhanced[:, self.delay : self.delay + samples]

    def parameter_count(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


def layers(modules: Iterable[Layer]) -> Sequence[Layer]:
    """An ``nn.ModuleList``, typed by what it holds."""
    return cast("Sequence[Layer]", nn.ModuleList(modules))


def named_layers(modules: dict[str, Layer]) -> Mapping[str, Layer]:
    """An ``nn.ModuleDict``, likewise."""
    return cast("Mapping[str, Layer]", nn.ModuleDict(modules))


def split_state(state: Tensor, sizes: dict[str, int]) -> dict[str, Tensor]:
    """Views of the named parts of state rows ``[batch, n]``."""
    return dict(zip(sizes, torch.split(state, list(sizes.values()), dim=1), strict=True))
