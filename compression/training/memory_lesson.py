"""What the memory of an ``fcn`` is taught before the network is trained: to open its gate.

A step through eight layers of filters is slow, and two seconds of it teach a GRU next to nothing. Here the memory and its
gate stand alone, and the loss is that of the network itself. That learns ten times as many hours in the same time.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from compression.data.batches import Batches
from compression.training.recipe import Recipe, TrainingSettings
from compression.training.train import Trainer
from models.fcn import Fcn
from models.gate import Gate
from models.gru import Gru
from models.memory import BANDS, Memory
from models.network import StreamingNetwork

STEEPNESS = 8.0  # or units are driven to their bounds to lower what a bias is to lower
SHARE = 0.5  # of a gate in the output that was shut before
EXAMPLES = 6  # batches over which features are standardised
SETTLED = 20  # hops that are left out of each example there


class Lesson(nn.Module):
    """A denoiser of a network's memory and gate alone, ``[batch, samples]``.

    Features are standardised: their means are many times what they vary by, and would drive units to their bounds. Where the
    network's gate is open, it begins with what that network has learned.

    Args:
        network: Whose memory it is to be. It is not trained.
        batches: What features are standardised over.
        seed: Of these.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Fcn, batches: Batches, seed: int) -> None:
        super().__init__()
        self.network, self.sample_rate, self.hop = network.requires_grad_(False), network.sample_rate, network.hop
        features = torch.cat([self._features(batches(seed, index)[0])[SETTLED:].flatten(0, 1) for index in range(EXAMPLES)])
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("deviation", features.std(0).clamp(min=0.01))
        self.gru = Gru(features.shape[1], network.config.memory_units)
        self.head = nn.Linear(network.config.memory_units, BANDS)
        if self._gate.shares.any():
            self._go_on()
        else:
            nn.init.zeros_(self.head.weight)
            nn.init.constant_(self.head.bias, 1 / STEEPNESS)

    @property
    def _gate(self) -> Gate:
        assert self.network.gate is not None
        return self.network.gate

    @property
    def _memory(self) -> Memory:
        assert self.network.memory is not None
        return self.network.memory

    @torch.no_grad()
    def _go_on(self) -> None:
        """Begin with what the network has learned: ``remember`` the other way round."""
        self.gru.load_state_dict(self._memory.gru.state_dict())
        of_input, _, bias, _ = self.gru.weights
        bias.add_(of_input @ self.mean)
        of_input.mul_(self.deviation)
        self.head.weight.copy_(self._gate.gains.weight / STEEPNESS)
        self.head.bias.copy_(self._gate.gains.bias / STEEPNESS)

    def _features(self, audio: Tensor) -> Tensor:
        return self.network.overhear(audio[:, : audio.shape[1] // self.hop * self.hop])

    def train(self, mode: bool = True) -> Lesson:
        """As of any module, but the network's normalisation stays as it is."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, audio: Tensor) -> Tensor:
        delay, samples = self.network.delay, audio.shape[1]
        audio = functional.pad(audio, (0, delay + -(samples + delay) % self.hop))
        features = (self._features(audio) - self.mean) / self.deviation
        units, _ = self.gru(features, features.new_zeros(1, len(audio), self.head.in_features))
        gains = torch.sigmoid(STEEPNESS * self.head(units.transpose(0, 1)))
        state = {name: audio.new_zeros(len(audio), size) for name, size in self._gate.state_sizes.items()}
        passed, _ = self._gate.let_through(audio, gains, state)
        return passed[:, delay : delay + samples]

    @torch.no_grad()
    def remember(self) -> None:
        """Give the network what was learned, for features as they are.

        Where its gate was shut, its output is now half the gate's, half its filters'; else their shares stay as they were.
        """
        memory, gate = self._memory, self._gate
        memory.gru.load_state_dict(self.gru.state_dict())
        of_input, _, bias, _ = memory.gru.weights
        of_input.div_(self.deviation)
        bias.sub_(of_input @ self.mean)
        gate.gains.weight.copy_(STEEPNESS * self.head.weight)
        gate.gains.bias.copy_(STEEPNESS * self.head.bias)
        if gate.shares.any():
            return
        gate.shares.fill_(SHARE)
        for parameter in self.network.convs[-1].parameters():
            parameter.mul_(1 - SHARE)  # nearly a half: what is quiet passes tanh as it is


def teach_memory(
    recipe: Recipe,
    settings: TrainingSettings,
    trainer: Trainer,
    batches: tuple[Batches, Batches],
    device: torch.device,
    mixers: int = 0,
    budget_seconds: float = float("inf"),
) -> bool:
    """Teach the memory of an ``fcn`` that is to be trained.

    Args:
        recipe: Of the network.
        settings: Numbers of this training.
        trainer: Of the network, which has not begun. The lesson is kept in the folder ``memory`` of its run, and gone on
            with where it was stopped.
        batches: To train and to validate on.
        device: Where to train.
        mixers: Processes that make batches ahead.
        budget_seconds: After which it stops, to be gone on with.

    Returns:
        Whether all is done and nobody asked to stop.

    Raises:
        CheckpointError: As for ``Trainer``.
    """
    numbers, folder = dataclasses.replace(recipe, training=settings), trainer.folder / "memory"
    torch.manual_seed(settings.seed)
    begun = Lesson(cast("Fcn", copy.deepcopy(trainer.average)).eval(), batches[0], settings.seed + 1)
    network = cast("StreamingNetwork", begun)  # it hears whole examples and is never streamed
    teacher = Trainer(numbers, *batches, folder, device, network=network, mixers=mixers, teacher=trainer.teacher)
    if not teacher.run(budget_seconds):
        return False
    lesson = cast("Lesson", teacher.average)
    lesson.remember()
    for learner in (trainer.network, trainer.average):
        learner.load_state_dict(lesson.network.state_dict())
    return True
