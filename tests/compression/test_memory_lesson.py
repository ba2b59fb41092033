"""The memory's lesson: it learns to open its gate, and the network goes on from there."""

import copy
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from compression.data.mixing import MixingSettings
from compression.training.memory_lesson import Lesson, teach_memory
from compression.training.recipe import Recipe, TrainingSettings
from compression.training.train import Trainer
from models.fcn import Fcn, FcnConfig
from models.network import split_state

CPU = torch.device("cpu")
WIDTHS = (4, 3, 3, 3, 3)
NETWORK = {"family": "fcn", "filters": list(WIDTHS), "control_units": 4, "memory_units": 12}
SAMPLES = 12000


def batches(seed: int, index: int) -> tuple[Tensor, Tensor]:
    """Low tones that come and go, in white noise."""
    generator = torch.Generator().manual_seed(1000 * seed + index)
    time = torch.arange(SAMPLES) / 16000
    pitch, pace = 200 + 300 * torch.rand(4, 1, generator=generator), 1 + 3 * torch.rand(4, 1, generator=generator)
    clean = 0.1 * torch.sin(2 * torch.pi * pitch * time) * (torch.sin(2 * torch.pi * pace * time) > 0)
    return clean + 0.1 * torch.randn(4, SAMPLES, generator=generator), clean


def network() -> Fcn:
    torch.manual_seed(3)
    return Fcn(FcnConfig(WIDTHS, control_units=4, memory_units=12)).eval()


def recipe(**training: object) -> Recipe:
    numbers = {"batch": 4, "seconds": 0.75, "warmup": 1, "validate_every": 100, "validation_batches": 2, "residual": 0.1}
    return Recipe(NETWORK, TrainingSettings(**(numbers | training)), MixingSettings())


LESSON = recipe(steps=120, cooldown=60, learning_rate=3e-3, average=0.9).training


def test_what_is_overheard_in_whole_signals_is_what_a_stream_remembers() -> None:
    remembering, audio = network(), 0.1 * torch.randn(2, 4800)
    assert remembering.memory is not None
    silence = split_state(remembering.initial_state(2), remembering.state_sizes)["memory"]
    heard = remembering.overhear(audio)
    for hops in (20, 30):
        with torch.no_grad():
            _, last = remembering.memory.gru(heard[:hops], silence.unsqueeze(0))
            _, state = remembering.step(audio[:, : hops * 160], remembering.initial_state(2))
        torch.testing.assert_close(last[0], split_state(state, remembering.state_sizes)["memory"])


def test_a_network_without_a_memory_overhears_nothing() -> None:
    with pytest.raises(ValueError, match="memory_units"):
        Fcn(FcnConfig((4, 4), control_units=4)).overhear(torch.zeros(1, 1600))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A trainer whose network's memory is taught, and nothing else."""
    torch.set_num_threads(1)
    numbers = recipe(steps=1, cooldown=0)
    trainer = Trainer(numbers, batches, batches, tmp_path_factory.mktemp("run"), CPU, network=network())
    assert teach_memory(numbers, LESSON, trainer, (batches, batches), CPU)
    return trainer


def lesson(trainer: Trainer) -> Lesson:
    """As it was at the end."""
    found = Lesson(network(), batches, 1)
    found.load_state_dict(torch.load(trainer.folder / "memory/checkpoint.pt", weights_only=True)["average"])
    return found.eval()


def test_the_lesson_teaches_what_is_noise_and_changes_no_filter(taught: Trainer) -> None:
    noisy, clean = batches(99, 0)
    with torch.no_grad():
        before, after = (learner(noisy) for learner in (Lesson(network(), batches, 1), lesson(taught)))
    assert (after - clean).square().mean() < 0.3 * (before - clean).square().mean()
    pauses = clean[:, 3200:].unfold(1, 160, 160).abs().amax(2) == 0
    left, noise = (x[:, 3200:].unfold(1, 160, 160).square().mean(2)[pauses].mean() for x in (after, noisy))
    assert left < 0.05 * noise
    taught_weights = taught.average.state_dict()
    changed = {name for name, weight in network().state_dict().items() if not torch.equal(weight, taught_weights[name])}
    last = {"convs.5.weight", "convs.5.bias"}  # of which half is left
    assert all(name.startswith(("memory.gru", "gate.")) for name in changed - last)


def test_afterwards_half_of_the_output_is_the_gates_and_half_the_filters(taught: Trainer) -> None:
    noisy, _ = batches(99, 1)
    noisy = 0.1 * noisy.repeat(1, 2)  # tanh passes it as it is
    with torch.no_grad():
        alone, filters = lesson(taught)(noisy), network()(noisy)
        difference = taught.network.eval()(noisy) - (alone + filters) / 2
    settled = difference[:, SAMPLES:]  # a lesson begins with nothing remembered, a stream with silence
    assert settled.square().mean() < 1e-4 * noisy.square().mean()


@torch.no_grad()
def test_a_second_lesson_goes_on_from_the_first_and_leaves_shares_as_they_are(taught: Trainer) -> None:
    network, (noisy, _) = cast("Fcn", taught.average), batches(99, 3)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    again = Lesson(copy.deepcopy(network), batches, 2)
    difference = again(noisy) - lesson(taught)(noisy)
    assert difference.square().mean() < 1e-6 * noisy.square().mean()
    again.remember()
    for name, weight in again.network.state_dict().items():
        torch.testing.assert_close(weight, before[name], atol=1e-5, rtol=1e-4)


def test_no_unit_is_driven_to_its_bound(taught: Trainer) -> None:
    remembering = taught.network.eval()
    noisy, _ = batches(99, 2)
    state, remembered = remembering.initial_state(4), []
    for hop in noisy[:, : SAMPLES // 160 * 160].split(160, dim=1):
        with torch.no_grad():
            _, state = remembering.step(hop, state)
        remembered.append(split_state(state, remembering.state_sizes)["memory"])
    assert torch.stack(remembered).std((0, 1)).median() > 0.1


def test_a_lesson_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(taught: Trainer, tmp_path: Path) -> None:
    numbers = recipe(steps=1, cooldown=0)
    trainer = Trainer(numbers, batches, batches, tmp_path, CPU, network=network())
    before = trainer.network.state_dict()["memory.gru.weight_ih_l0"].clone()
    assert not teach_memory(numbers, LESSON, trainer, (batches, batches), CPU, budget_seconds=0.05)
    assert torch.equal(before, trainer.network.state_dict()["memory.gru.weight_ih_l0"])
    assert teach_memory(numbers, LESSON, trainer, (batches, batches), CPU)
    for name, weight in trainer.average.state_dict().items():
        torch.testing.assert_close(weight, taught.average.state_dict()[name], msg=name)


def test_a_memory_that_is_kept_stays_as_it_was_taught_while_the_filters_learn(taught: Trainer, tmp_path: Path) -> None:
    numbers = recipe(steps=2, cooldown=0, keep_memory=True, soap=True)
    trainer = Trainer(numbers, batches, batches, tmp_path, CPU, network=cast("Fcn", taught.network))
    trainer.run()
    before, after = taught.network.state_dict(), trainer.network.state_dict()
    kept = {name for name in before if name.startswith(("memory.", "gate.gains."))}
    assert {name for name, weight in trainer.network.named_parameters() if torch.equal(weight, before[name])} == kept
    assert all(torch.equal(after[name], before[name]) for name in kept)
