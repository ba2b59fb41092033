"""Training: repeatable, stopped and resumed without a trace, checkpoints that are complete."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from compression.data.batches import Batch, Taught
from compression.data.mixing import MixingSettings
from compression.errors import CheckpointError
from compression.losses.residual import Residual
from compression.training import progress, train
from compression.training.checkpoint import (
    compact,
    load_checkpoint,
    load_network,
    mean,
    save_checkpoint,
    trained_residual,
    training_facts,
)
from compression.training.recipe import Recipe, TrainingSettings
from compression.training.stopping import SIGNALS
from compression.training.train import Trainer, learning_rate
from compression.training.validation import validate

CPU = torch.device("cpu")
SMALL = {"family": "crn", "channels": 4, "subband_channels": 4, "subband_units": [4], "fullband_units": [4], "depth": 1}
STEPS = 6


def recipe(network: dict[str, object] = SMALL, **training: object) -> Recipe:
    numbers = {
        "steps": STEPS,
        "cooldown": 2,
        "warmup": 2,
        "batch": 2,
        "seconds": 0.25,
        "validate_every": 4,
        "validation_batches": 2,
    }
    return Recipe(dict(network), TrainingSettings(**(numbers | training)), MixingSettings())


def batches(seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tones in noise."""
    generator = torch.Generator().manual_seed(1000 * seed + index)
    pitch = 200 + 800 * torch.rand(2, 1, generator=generator)
    clean = 0.2 * torch.sin(2 * torch.pi * pitch * torch.arange(4000) / 16000)
    return clean + 0.1 * torch.randn(2, 4000, generator=generator), clean


def interrupted(after: int, signum: signal.Signals = signal.SIGINT) -> Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]:
    """Batches that come with Ctrl-C, or another signal, at one index."""

    def draw(seed: int, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index == after - 1:
            signal.raise_signal(signum)
        return batches(seed, index)

    return draw


def trained(folder: Path, settings: Recipe | None = None, draw=batches, initial: Path | None = None) -> Trainer:
    torch.set_num_threads(1)
    trainer = Trainer(settings or recipe(), draw, batches, folder, CPU, initial)
    trainer.run()
    return trainer


def assert_equal(one: Trainer, other: Trainer) -> None:
    for name in ("network", "average"):
        states = getattr(one, name).state_dict(), getattr(other, name).state_dict()
        for key, value in states[0].items():
            assert torch.equal(value, states[1][key]), (name, key)


def test_a_run_can_be_repeated(tmp_path: Path) -> None:
    assert_equal(trained(tmp_path / "a"), trained(tmp_path / "b"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path, signum: signal.Signals) -> None:
    whole = trained(tmp_path / "whole")
    handlers = [signal.getsignal(number) for number in SIGNALS]
    stopped = trained(tmp_path / "cut", draw=interrupted(3, signum))
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert stopped.step == load_checkpoint(tmp_path / "cut/checkpoint.pt")["step"] == 3
    resumed = trained(tmp_path / "cut")
    assert (resumed.step, resumed.hours) == (whole.step, whole.hours)
    assert_equal(whole, resumed)


def test_a_run_is_kept_between_validations_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(seed: int, index: int) -> Batch:
        return batches(seed, index if index < 3 else 1 // 0)

    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, draw=failing)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 3
    assert_equal(trained(tmp_path), trained(tmp_path.with_name("whole")))


def test_batches_made_ahead_by_other_processes_are_the_same(tmp_path: Path) -> None:
    trainers = [Trainer(recipe(), batches, batches, tmp_path / str(mixers), CPU, mixers=mixers) for mixers in (0, 1)]
    for trainer in trainers:
        trainer.run()
    assert_equal(*trainers)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_leaves_the_processes_that_mix_to_the_one_that_trains(tmp_path: Path, signum: signal.Signals) -> None:
    """A terminal sends Ctrl-C to all processes of the group, and systemd SIGTERM to all of the unit."""
    parent = os.getpid()

    def draw(seed: int, index: int) -> Batch:
        if index == 3:
            os.kill(os.getpid(), signum)
            os.kill(parent, signum)
        return batches(seed, index)

    trainer = Trainer(recipe(steps=100), draw, batches, tmp_path, CPU, mixers=1)
    trainer.run()
    assert trainer.step == load_checkpoint(tmp_path / "checkpoint.pt")["step"] < 100


def test_a_teacher_s_examples_come_with_the_batches(tmp_path: Path) -> None:
    teacher = trained(tmp_path).average.eval()
    noisy, clean, example = Taught(batches, teacher, bfloat16=False)(5, 7)
    with torch.no_grad():
        torch.testing.assert_close(example, teacher(noisy))
    for given, expected in zip((noisy, clean), batches(5, 7), strict=True):
        assert torch.equal(given, expected)


@pytest.mark.parametrize(("kept", "missing"), [(0.0, 0.1), (0.04, 0.06 / 0.96), (0.3, 0.0)])
def test_a_teacher_s_examples_keep_as_much_of_the_noise_as_is_wanted(tmp_path: Path, kept: float, missing: float) -> None:
    teacher = trained(tmp_path).average.eval()
    noisy, _, example = Taught(batches, teacher, False, Residual(0.1), Residual(kept))(5, 7)
    with torch.no_grad():
        torch.testing.assert_close(example, teacher(noisy).lerp(noisy, missing))


@pytest.mark.parametrize(
    ("settings", "residual"),
    [
        ({}, Residual()),
        ({"residual": 0.1, "residual_hold": 0.3}, Residual(0.1, 0.3)),
        ({"residual": 0.1, "polish": {"residual": 0.05, "residual_hold": 0.2}}, Residual(0.05, 0.2)),
    ],
)
def test_a_teacher_keeps_what_its_last_training_made_it_keep(settings: dict[str, object], residual: Residual) -> None:
    assert trained_residual({"settings": settings}) == residual


def test_a_run_that_goes_on_with_another_teacher_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def opened(teacher: str | None, steps: int = STEPS) -> str:
        capsys.readouterr()
        trainer = Trainer(recipe(steps=steps), batches, batches, tmp_path, CPU, teacher=teacher)
        trainer.run()
        assert load_checkpoint(tmp_path / "checkpoint.pt")["teacher"] == trainer.teacher
        assert training_facts(tmp_path / "checkpoint.pt").get("teacher") == trainer.teacher
        return capsys.readouterr().err

    assert "was taught by" not in opened(None)
    assert "was taught by no teacher and goes on with this one: name another --run" in opened("first", STEPS + 1)
    assert "was taught by" not in opened("first", STEPS + 2)
    assert "was taught by another teacher and goes on with this one" in opened("second", STEPS + 3)
    assert "was taught by" not in opened("third", STEPS + 3)  # it has had its steps
    assert load_checkpoint(tmp_path / "checkpoint.pt")["teacher"] == "second"
    assert "was taught by another teacher and goes on without one" in opened(None, STEPS + 4)
    former = load_checkpoint(tmp_path / "checkpoint.pt")
    del former["teacher"]
    save_checkpoint(tmp_path / "checkpoint.pt", former)
    assert "was taught by" not in opened("first", STEPS + 5)  # nobody knows


def test_the_log_has_a_row_a_validation_and_one_at_the_end(tmp_path: Path) -> None:
    trained(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4, STEPS]
    assert rows[0].keys() >= {"hours", "train_loss", "learning_rate", "loss", "si_sdr", "si_sdr_gain"}
    best = load_checkpoint(tmp_path / "best.pt")
    assert best["best"] == pytest.approx(min(row["loss"] for row in rows), abs=1e-5)
    facts = training_facts(tmp_path / "best.pt")
    assert facts["validation"]["loss"] == pytest.approx(best["best"], abs=1e-5)
    assert facts["settings"]["steps"] == STEPS


def test_a_mean_of_two_networks_has_no_figures_of_one_of_them(tmp_path: Path) -> None:
    trained(tmp_path / "a")
    trained(tmp_path / "b", recipe(seed=2))
    one, other = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("a", "b"))
    save_checkpoint(tmp_path / "a/mean.pt", compact(mean(one, other, 0.5)))
    assert "validation" in training_facts(tmp_path / "a/checkpoint.pt")
    assert "validation" not in training_facts(tmp_path / "a/mean.pt")
    assert load_checkpoint(tmp_path / "a/mean.pt")["best"] == float("inf")


def test_training_learns(tmp_path: Path) -> None:
    before = validate(Trainer(recipe(), batches, batches, tmp_path, CPU).network, batches, 2)
    after = trained(tmp_path, recipe(steps=60, learning_rate=1e-2, validate_every=60, average=0.8))
    assert validate(after.average, batches, 2)["loss"] < before["loss"] - 1


def test_a_new_run_goes_on_from_a_compact_checkpoint(tmp_path: Path) -> None:
    first = trained(tmp_path / "a")
    save_checkpoint(tmp_path / "kept.pt", compact(first.content()))
    assert (tmp_path / "kept.pt").stat().st_size < (tmp_path / "a/checkpoint.pt").stat().st_size
    for key, value in load_network(tmp_path / "kept.pt").state_dict().items():
        assert torch.equal(value, first.average.state_dict()[key])
    begun = Trainer(recipe(), batches, batches, tmp_path / "b", CPU, tmp_path / "kept.pt")
    assert (begun.step, begun.hours) == (0, first.hours)
    shorter = trained(tmp_path / "b", recipe(steps=STEPS - 2), initial=tmp_path / "kept.pt")
    assert shorter.step == STEPS - 2  # all of its own, though those before it were more
    assert shorter.hours > first.hours
    assert (tmp_path / "b/best.pt").exists()


def test_the_best_so_far_counts_only_where_the_next_is_measured_alike(tmp_path: Path) -> None:
    best = trained(tmp_path).best
    assert Trainer(recipe(steps=STEPS + 1), batches, batches, tmp_path, CPU).best == best
    assert Trainer(recipe(validation_batches=1), batches, batches, tmp_path, CPU).best == float("inf")
    assert Trainer(recipe(sdr_weight=3.0), batches, batches, tmp_path, CPU).best == float("inf")


def test_of_the_validation_mixtures_a_checkpoint_keeps_an_excerpt_and_no_more(tmp_path: Path) -> None:
    trained(tmp_path)
    heard = load_checkpoint(tmp_path / "checkpoint.pt")["heard"]
    assert 0 < heard.numel() * heard.element_size() == heard.untyped_storage().nbytes()


def test_the_best_so_far_begins_anew_over_other_recordings(tmp_path: Path) -> None:
    def others(seed: int, index: int) -> Batch:
        return batches(seed + 100, index)

    best = trained(tmp_path).best
    longer = recipe(steps=STEPS + 2)
    assert Trainer(longer, batches, others, tmp_path, CPU).best == float("inf")
    former = load_checkpoint(tmp_path / "checkpoint.pt")
    del former["heard"]
    save_checkpoint(tmp_path / "checkpoint.pt", former)
    assert Trainer(longer, batches, others, tmp_path, CPU).best == best  # nobody knows over what it was
    Trainer(longer, batches, others, tmp_path, CPU).run()
    assert Trainer(longer, batches, others, tmp_path, CPU).best < float("inf")


def test_a_run_s_own_checkpoint_goes_before_the_one_to_begin_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path / "a")
    trained(tmp_path / "b", draw=interrupted(2))
    capsys.readouterr()
    assert Trainer(recipe(), batches, batches, tmp_path / "b", CPU, tmp_path / "a/checkpoint.pt").step == 2
    assert "a/checkpoint.pt is left aside: name another --run" in capsys.readouterr().err


def test_a_run_that_has_had_its_steps_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path)
    assert "has had its" not in capsys.readouterr().err
    trained(tmp_path)
    assert f"{tmp_path} has had its {STEPS} steps" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ["average", "optimizer"])
@pytest.mark.parametrize("value", [None, "hello", {}, {"state": {}}, [1]])
def test_a_checkpoint_with_a_damaged_part_is_refused(entry: str, value: object, tmp_path: Path) -> None:
    content = trained(tmp_path / "a").content() | {entry: value}
    save_checkpoint(tmp_path / "damaged.pt", content)
    with pytest.raises(CheckpointError, match=r"damaged\.pt is "):
        Trainer(recipe(), batches, batches, tmp_path / "b", CPU, tmp_path / "damaged.pt")


def test_files_that_are_no_checkpoint_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt is not a file"):
        load_network(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"text\.pt is damaged or not a checkpoint"):
        load_network(tmp_path / "text.pt")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt is not a checkpoint"):
        load_network(tmp_path / "other.pt")


def test_lines_of_the_log_that_are_no_rows_are_passed_over(tmp_path: Path) -> None:
    trained(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'\xff\xfe\n[1]\n7\n{"loss": 1}\n' + log.read_bytes() + b'"end"\n')
    assert training_facts(tmp_path / "best.pt")["validation"]


def test_a_folder_that_cannot_be_written_is_named_and_the_log_may_be_cut_off(tmp_path: Path) -> None:
    trainer = trained(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"log\.jsonl/a\.pt cannot be written"):
        save_checkpoint(tmp_path / "run/log.jsonl/a.pt", trainer.content())
    with (tmp_path / "run/log.jsonl").open("a") as log:
        log.write('{"step": 7, "ho')
    assert training_facts(tmp_path / "run/best.pt")["validation"]
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").write_text("")
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt cannot be written"):
        trainer.run()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is of another network"):
        Trainer(recipe(SMALL | {"channels": 5}), batches, batches, tmp_path, CPU)


def test_the_learning_rate_rises_stays_and_falls_to_zero() -> None:
    settings = recipe(steps=100, warmup=10, cooldown=20, learning_rate=0.5).training
    rates = [learning_rate(settings, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[10:81] == [0.5] * 71
    assert rates[90] == pytest.approx(0.25)
    assert rates[100] == 0


def test_the_moving_average_is_over_weights_and_statistics_alike(tmp_path: Path) -> None:
    trainer = Trainer(recipe(steps=1, cooldown=0, average=0.9), batches, batches, tmp_path, CPU)
    before = {name: value.clone() for name, value in trainer.average.state_dict().items()}
    trainer.run()
    decay = 2 / 11  # of the first step, below the recipe's
    for name, value in trainer.network.state_dict().items():
        expected = value if name.endswith("num_batches_tracked") else decay * before[name] + (1 - decay) * value
        torch.testing.assert_close(trainer.average.state_dict()[name], expected)


def test_statistics_stay_once_normalisation_is_frozen(tmp_path: Path) -> None:
    frozen = recipe(freeze_norm_after=3)
    before = {name: value.clone() for name, value in trained(tmp_path, frozen, interrupted(3)).network.named_buffers()}
    after = trained(tmp_path, frozen).network
    for name, value in after.named_buffers():
        assert torch.equal(value, before[name]), name
    assert not torch.equal(trained(tmp_path / "b").network.entry_norm.running_mean, after.entry_norm.running_mean)


def test_statistics_of_a_trained_network_can_stay_from_the_first_step(tmp_path: Path) -> None:
    settings = recipe(freeze_norm_after=-1)
    before = dict(Trainer(settings, batches, batches, tmp_path, CPU).network.named_buffers())
    for name, value in trained(tmp_path, settings).network.named_buffers():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("saved", ["at a validation", "after a time", "at a signal"])
def test_a_training_that_has_diverged_ends_and_leaves_the_former_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: str
) -> None:
    def diverging(seed: int, index: int) -> Batch:
        noisy, clean = batches(seed, index)
        if seed == 1 and index == 3 and saved == "at a signal":
            signal.raise_signal(signal.SIGTERM)
        return (noisy * float("inf") if seed == 1 and index == 3 else noisy), clean

    trained(tmp_path, draw=interrupted(3))
    former = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0 if saved == "after a time" else 600.0)
    with pytest.raises(
        CheckpointError, match=r"diverged before step 4: .*checkpoint\.pt is as it was before; lower learning_rate"
    ):
        trained(tmp_path, recipe(validate_every=4 if saved == "at a validation" else 100), draw=diverging)
    assert (tmp_path / "checkpoint.pt").read_bytes() == former
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt"}
    trained(tmp_path)


def test_a_step_that_would_destroy_the_weights_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(seed: int, index: int) -> Batch:
        noisy, clean = batches(seed, index)
        return (noisy, clean * float("nan")) if seed == 1 and index == 3 else (noisy, clean)

    monkeypatch.setattr(progress, "EVERY", 0.0)
    trainer = trained(tmp_path, draw=broken)
    assert trainer.left_out == 1
    assert all(torch.isfinite(value).all() for value in trainer.average.state_dict().values())
    assert "1 steps left out: their gradients were not finite" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["left_out"] == 1
