"""Examples that go on over several steps."""

import signal
from pathlib import Path

import pytest
import torch

from compression.data.batches import Batch, Batches
from compression.data.mixing import MixingSettings
from compression.training.checkpoint import compact, load_checkpoint
from compression.training.recipe import Recipe, TrainingSettings, build_network
from compression.training.stretches import Listener, stretched
from compression.training.train import Trainer

SMALL = {"family": "crn", "channels": 4, "subband_channels": 4, "subband_units": [4], "fullband_units": [4], "depth": 1}
STRETCH = 4800  # samples


def examples(seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two examples of two stretches that begin at a step."""
    generator = torch.Generator().manual_seed(1000 * seed + index + 10)
    clean = 0.1 * torch.randn(2, 2 * STRETCH, generator=generator)
    return clean + 0.1 * torch.randn(2, 2 * STRETCH, generator=generator), clean


def stretches_of(whole: Batches, steps: range, stretches: int, hop: int, delay: int, seed: int = 0) -> list[Batch]:
    return list(
        stretched(
            (whole(seed, index) for index in range(steps[0] - stretches + 1, steps[-1] + 1)), steps[0], stretches, hop, delay
        )
    )


def test_half_of_the_rows_begin_at_a_step_and_the_others_go_on() -> None:
    delay = 120
    for step, batch in zip((6, 7), stretches_of(examples, range(6, 8), 2, 160, delay, seed=3), strict=True):
        begun, going = (slice(0, 2), slice(2, 4)) if step % 2 == 0 else (slice(2, 4), slice(0, 2))
        for kind, rows in enumerate(batch):
            assert rows.shape == (4, STRETCH + delay)
            assert torch.equal(rows[begun, delay:], examples(3, step)[kind][:, :STRETCH])
            assert not rows[begun, :delay].any()
            assert torch.equal(rows[going], examples(3, step - 1)[kind][:, STRETCH - delay :])


@pytest.mark.parametrize("network", [SMALL, {"family": "fcn", "filters": [3, 3]}])
def test_stretches_are_heard_as_the_whole_example_is(network: dict[str, object]) -> None:
    torch.manual_seed(1)
    built = build_network(network).eval()
    batches, listen = stretches_of(examples, range(6), 2, built.hop, built.delay), Listener(2)
    heard, wanted = [], []
    with torch.no_grad():
        for step in range(6):
            estimate, (_, clean) = listen(built, batches[step], step)
            heard.append(estimate)
            wanted.append(clean)
        for begun in (2, 3):
            rows = slice(0, 2) if begun % 2 == 0 else slice(2, 4)
            noisy, clean = examples(0, begun)
            together = torch.cat([heard[begun][rows], heard[begun + 1][rows]], 1)
            samples = together.shape[1] - built.delay
            assert samples > 2 * (STRETCH - built.hop) - built.delay
            assert together[:, built.delay :] == pytest.approx(built(noisy)[:, :samples].numpy(), abs=1e-5)
            aligned = torch.cat([wanted[begun][rows], wanted[begun + 1][rows]], 1)
            assert torch.equal(aligned[:, built.delay :], clean[:, :samples])


def recipe(**numbers: object) -> Recipe:
    usual = {"steps": 6, "cooldown": 2, "warmup": 2, "batch": 4, "seconds": 0.3, "stretches": 2}
    usual |= {"validate_every": 4, "validation_batches": 1}
    return Recipe(dict(SMALL), TrainingSettings(**(usual | numbers)), MixingSettings())


def trained(folder: Path, draw=examples) -> Trainer:
    torch.set_num_threads(1)
    trainer = Trainer(recipe(), draw, examples, folder, torch.device("cpu"))
    trainer.run()
    return trainer


def test_a_stopped_run_goes_on_within_its_examples(tmp_path: Path) -> None:
    def interrupted(seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index == 2:
            signal.raise_signal(signal.SIGINT)
        return examples(seed, index)

    whole = trained(tmp_path / "whole")
    assert trained(tmp_path / "cut", interrupted).step == 3
    resumed = trained(tmp_path / "cut")
    assert resumed.step == 6
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    kept = load_checkpoint(tmp_path / "cut/checkpoint.pt")
    assert torch.equal(kept["state"], whole.listen.state)
    assert compact(kept)["state"] is None


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on fewer cores than processes
@pytest.mark.parametrize("mixers", [0, 1, 3])
def test_whole_examples_are_made_once_however_many_processes_mix(tmp_path: Path, mixers: int) -> None:
    def noted(seed: int, index: int) -> Batch:
        with (tmp_path / "made.txt").open("a") as made:
            made.write(f"{index}\n")
        return (*examples(seed, index), torch.zeros(2, 2 * STRETCH))

    trainer = Trainer(recipe(stretches=2), noted, examples, tmp_path / "run", torch.device("cpu"), mixers=mixers)
    trainer.run()
    assert sorted(map(int, (tmp_path / "made.txt").read_text().split())) == list(range(-1, 6))


@pytest.mark.parametrize("stretches", [2, 3, 4])
@pytest.mark.parametrize("first", [0, 5, 57710])
def test_a_run_that_goes_on_makes_the_examples_that_it_is_amid_and_then_one_batch_a_step(
    tmp_path: Path, stretches: int, first: int
) -> None:
    made = []

    def whole(seed: int, index: int) -> Batch:
        made.append(index)
        return torch.zeros(1, 480 * stretches), torch.zeros(1, 480 * stretches)

    settings = recipe(stretches=stretches, batch=12, steps=first + 20)
    trainer = Trainer(settings, whole, examples, tmp_path, torch.device("cpu"))
    trainer.step = first
    batches = trainer._batches()
    for _ in range(10):
        next(batches)
    assert made == list(range(first - stretches + 1, first + 10))


class Forgetful(Listener):
    def __call__(self, network, batch, step):
        self.state = None
        return super().__call__(network, batch, step)


def test_what_came_before_changes_what_is_learned(tmp_path: Path) -> None:
    one, other = trained(tmp_path / "one"), Trainer(recipe(), examples, examples, tmp_path / "other", torch.device("cpu"))
    other.listen = Forgetful(2)
    other.run()
    assert not torch.equal(one.network.mask.weight, other.network.mask.weight)


def test_a_stretch_is_as_many_whole_hops_as_fit() -> None:
    rows = stretches_of(examples, range(4, 5), 2, 256, 10)[0][0]
    assert rows.shape == (4, 18 * 256 + 10)
    assert torch.equal(rows[2:, 10:], examples(0, 3)[0][:, 18 * 256 : 36 * 256])


@pytest.mark.parametrize(("numbers", "named"), [({"stretches": 0}, "stretches"), ({"batch": 3}, "batch")])
def test_stretches_that_cannot_be_are_refused(numbers: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        recipe(**numbers)


def test_a_batch_is_made_of_the_examples_that_begin() -> None:
    assert TrainingSettings(batch=8, seconds=1.0, stretches=4).examples == (2, 4.0)
    assert TrainingSettings(batch=8, seconds=1.0).examples == (8, 1.0)
