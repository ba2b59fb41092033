"""The offline commands, from recordings to figures in a card."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import typer
from typer.testing import CliRunner, Result

from compression import cli
from compression.commands import options
from compression.errors import CheckpointError, CorpusError, EvaluationError, ExtraMissingError, RecipeError
from compression.export.variant import export
from compression.pipeline.stage_record import fingerprint
from compression.training.checkpoint import load_checkpoint, load_network, training_facts
from models.card import load_card
from models.zoo import SHIPPED, ZooError

from .untrained import checkpoint

RECIPE = """
[network]
family = "fcn"
filters = [2]
[training]
steps = 3
cooldown = 1
batch = 2
seconds = 0.5
validate_every = 2
validation_batches = 1
"""
POLISH = "[polish]\nsteps = 2\ncooldown = 1\nwarmup = 1\nvalidate_every = 1\nvalidation_batches = 1\nseed = 4\n"


def call(*arguments: object) -> Result:
    app = typer.Typer()
    cli.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    result = call(*arguments)
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, voice) -> Path:
    """Speech, noise, pairs and a recipe."""
    folder = tmp_path_factory.mktemp("recordings")
    for kind in ("speech/anna", "speech/bert", "noise", "noisy", "clean"):
        (folder / kind).mkdir(parents=True)
    hiss = 0.05 * np.random.default_rng(1).standard_normal(32000).astype(np.float32)
    soundfile.write(folder / "noise/hiss.wav", hiss, 16000)
    for index, name in enumerate(("anna", "bert")):
        clean = 0.5 * voice(2, index)
        soundfile.write(folder / f"speech/{name}/1.flac", clean, 16000)
        soundfile.write(folder / f"clean/{name}.wav", clean, 16000)
        soundfile.write(folder / f"noisy/{name}.wav", clean + hiss, 16000)
    (folder / "small.toml").write_text(RECIPE)
    return folder


def test_from_recordings_to_figures_in_a_card(folder: Path, tmp_path: Path) -> None:
    run, zoo = tmp_path / "run", tmp_path / "zoo"
    speech, noise = ("--speech", folder / "speech"), ("--noise", folder / "noise")
    succeed("train", folder / "small.toml", *speech, *noise, "--run", run, "--threads", 1, "--cache", tmp_path / "cache")
    assert {path.name for path in run.iterdir()} == {"best.pt", "checkpoint.pt", "log.jsonl"}

    assert "fcn/original.onnx" in succeed("export", run / "best.pt", "--zoo", zoo)
    training = load_card(zoo / "fcn/original.json").training
    assert (training["steps"], training["settings"]["batch"]) in {(2, 2), (3, 2)}
    assert training["validation"]["loss"] == pytest.approx(training["validation"]["loss"])

    succeed("checkpoint", run / "best.pt", tmp_path / "kept.pt")
    longer = ("--resume-from", tmp_path / "kept.pt", "--steps", 4, "--run", tmp_path / "longer", "--threads", 1)
    pairs = ("--pairs", folder / "noisy", folder / "clean")
    succeed("train", folder / "small.toml", *pairs, "--valid-pairs", *pairs[1:], *longer)
    assert json.loads((tmp_path / "longer/log.jsonl").read_text().splitlines()[-1])["step"] == 4

    figures = tmp_path / "figures.json"
    card = ("--update-card", "--set-name", "two voices in hiss")
    text = succeed("evaluate", "fcn/original", "--pairs", folder, "--zoo", zoo, "--jobs", 1, "--json", figures, *card)
    assert "| noisy input | 2 |" in text
    assert "| fcn/original | 2 |" in text
    measured = load_card(zoo / "fcn/original.json").evaluation
    assert measured is not None
    assert (measured.set_name, measured.pairs) == ("two voices in hiss", 2)
    assert measured.scores["pesq"].mean == pytest.approx(json.loads(figures.read_text())["scores"]["pesq"]["mean"])

    by_checkpoint = succeed("evaluate", run / "best.pt", "--pairs", folder, "--jobs", 1)
    assert by_checkpoint.splitlines()[2] == text.splitlines()[2]


def test_a_recipe_with_a_memory_teaches_it_before_the_network_is_trained(folder: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "remembering.toml", tmp_path / "run"
    lesson = "[memory]\nsteps = 3\ncooldown = 1\nbatch = 2\nseconds = 1.0\nvalidation_batches = 1\n"
    recipe.write_text(
        RECIPE.replace("filters = [2]", "filters = [4, 4, 4, 4, 4]\ncontrol_units = 3\nmemory_units = 5") + lesson
    )
    command = ("train", recipe, "--speech", folder / "speech", "--noise", folder / "noise", "--threads", 1, "--run", run)
    succeed(*command, "--minutes", 1e-9)
    assert not (run / "checkpoint.pt").exists()  # there was no time for the lesson
    succeed(*command)
    assert load_checkpoint(run / "memory/checkpoint.pt")["step"] == 3
    assert load_checkpoint(run / "checkpoint.pt")["average"]["gate.shares"].min() > 0.4
    longer = (*command[:-1], tmp_path / "longer", "--resume-from", run / "checkpoint.pt")
    succeed(*longer)
    assert (tmp_path / "longer/memory/checkpoint.pt").exists()  # a new run, a new lesson


def test_a_network_learns_from_a_teacher_of_either_family(folder: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "taught.toml", tmp_path / "run"
    polish = "[polish]\nsteps = 1\ncooldown = 1\nwarmup = 1\nvalidation_batches = 1\ndistillation = 1.0\n"
    recipe.write_text(f"{RECIPE}distillation = 0.9\n{polish}")
    command = ("train", recipe, "--speech", folder / "speech", "--noise", folder / "noise", "--threads", 1, "--run")
    with pytest.raises(RecipeError, match="there is no teacher; name one with --teacher"):
        succeed(*command, run)
    with pytest.raises(CheckpointError, match=r"nobody\.pt is not a file"):
        succeed(*command, run, "--teacher", tmp_path / "nobody.pt")
    teachers = [checkpoint(tmp_path, "crn", seed) for seed in (1, 2)]
    for name, teacher in zip(("one", "other"), teachers, strict=True):
        succeed(*command, tmp_path / name, "--teacher", teacher)
    weights = [load_checkpoint(tmp_path / name / "checkpoint.pt")["average"]["convs.0.weight"] for name in ("one", "other")]
    assert not torch.equal(*weights)
    succeed(*command, tmp_path / "one", "--teacher", teachers[1])
    assert len(list((tmp_path / "one").glob("polish-*"))) == 2  # by another teacher it begins anew
    first, second = (fingerprint(load_network(path)) for path in teachers)
    assert training_facts(tmp_path / "one/checkpoint.pt")["teacher"] == first  # the other only polished
    assert {load_checkpoint(path)["teacher"] for path in (tmp_path / "one").glob("polish-*/best.pt")} == {first, second}


def test_the_card_of_a_polished_network_names_the_teacher_of_its_training(folder: Path, tmp_path: Path) -> None:
    recipe, run, teacher = tmp_path / "taught.toml", tmp_path / "run", checkpoint(tmp_path, "crn")
    recipe.write_text(f"{RECIPE}distillation = 0.0\n")
    command = ("train", recipe, "--speech", folder / "speech", "--noise", folder / "noise", "--threads", 1, "--run", run)
    succeed(*command, "--teacher", teacher)
    recipe.write_text(f"{RECIPE}{POLISH}")
    assert "taught by" not in succeed(*command)  # it has had its steps
    succeed("export", run / "polished.pt", "--zoo", tmp_path / "zoo")
    assert load_card(tmp_path / "zoo/fcn/original.json").training["teacher"] == fingerprint(load_network(teacher))


def test_a_recipe_with_a_polish_ends_with_a_network_that_can_be_trained_on(folder: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "polished.toml", tmp_path / "run"
    recipe.write_text(f"{RECIPE}{POLISH}")
    command = ("train", recipe, "--speech", folder / "speech", "--noise", folder / "noise", "--threads", 1, "--run", run)
    succeed("train", folder / "small.toml", *command[2:])
    succeed(*command, "--minutes", 1e-9)
    assert not (run / "polished.pt").exists()  # there was no time for it, and there is now
    succeed(*command)
    trained, polished = (load_checkpoint(run / f"{name}.pt") for name in ("best", "polished"))
    assert polished["best"] < trained["best"]
    assert polished["step"] - trained["step"] in (1, 2)
    assert polished["hours"] > trained["hours"]
    assert polished["settings"]["polish"]["batch"] == trained["settings"]["batch"]
    assert "validation" not in training_facts(run / "polished.pt")  # the log beside it is of the training before
    before, after = (load_network(run / f"{name}.pt") for name in ("best", "polished"))
    audio = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        distance = (before(audio) - after(audio)).abs().max().item()
    assert 0 < distance < 0.05  # two small steps away
    succeed("export", run / "polished.pt", "--zoo", tmp_path / "zoo")
    assert load_card(tmp_path / "zoo/fcn/original.json").training["settings"]["polish"]["seed"] == 4
    succeed(*command[:-1], tmp_path / "longer", "--resume-from", run / "polished.pt", "--steps", polished["step"] + 1)
    assert load_checkpoint(tmp_path / "longer/checkpoint.pt")["step"] == polished["step"] + 1

    recipe.write_text(recipe.read_text().replace("seed = 4", "seed = 5"))
    succeed(*command, "--minutes", 1e-9)
    assert not (run / "polished.pt").exists()  # what was there is not by these numbers
    succeed(*command)
    assert len(list(run.glob("polish-*"))) == 2  # with other numbers it begins anew


def test_an_original_exported_beside_variants_of_another_says_so(tmp_path: Path) -> None:
    sources, zoo = [checkpoint(tmp_path, "fcn", seed) for seed in (1, 2)], tmp_path / "zoo"
    succeed("export", sources[0], "--zoo", zoo, "--licence", "mine")
    network = load_network(sources[0])
    export(network, "pruned", zoo, {}, {"original": fingerprint(network)})
    assert "another original" not in succeed("export", sources[0], "--zoo", zoo)
    assert load_card(zoo / "fcn/original.json").licence == "mine"
    assert f"fcn/pruned in {zoo}: made of another original" in call("export", sources[1], "--zoo", zoo).stderr


def test_a_network_is_exported_into_the_current_folder_and_the_shipped_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, shipped = checkpoint(tmp_path, "fcn"), (SHIPPED / "fcn/original.onnx").read_bytes()
    monkeypatch.chdir(tmp_path)
    assert succeed("export", source).startswith("zoo/fcn/original.onnx: ")
    assert (tmp_path / "zoo/fcn/original.onnx").is_file()
    assert (SHIPPED / "fcn/original.onnx").read_bytes() == shipped


def test_two_checkpoints_of_the_same_widths_have_a_mean(tmp_path: Path) -> None:
    sources = [checkpoint(tmp_path, "fcn", seed) for seed in (1, 2)]
    succeed("checkpoint", sources[0], tmp_path / "mean.pt", "--mean-with", sources[1], "--share", 0.25)
    one, other, between = (load_checkpoint(path)["average"] for path in (*sources, tmp_path / "mean.pt"))
    assert not torch.equal(one["convs.0.weight"], other["convs.0.weight"])
    for name in ("convs.0.weight", "norms.0.running_var"):
        torch.testing.assert_close(between[name], 0.75 * one[name] + 0.25 * other[name])

    narrow = checkpoint(tmp_path, "fcn", 3, filters=[2])
    error = call("checkpoint", sources[0], tmp_path / "none.pt", "--mean-with", narrow).exception
    assert isinstance(error, CheckpointError)
    assert not (tmp_path / "none.pt").exists()


def test_checkpoints_of_trainings_within_a_run_are_told_from_those_of_networks(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "within.toml"
    network = "filters = [3, 3, 3, 3, 3]\ncontrol_units = 3\nmemory_units = 4\n"
    short = RECIPE.split("[training]")[1]
    recipe.write_text(RECIPE.replace("filters = [2]\n", network) + f"[polish]{short}[memory]{short}")
    run = tmp_path / "run"
    succeed("train", recipe, "--speech", folder / "speech", "--noise", folder / "noise", "--run", run)
    for inner in (*run.glob("polish-*/checkpoint.pt"), run / "memory/best.pt"):
        for arguments in (
            ("export", inner, "--zoo", tmp_path / "zoo"),
            ("checkpoint", inner, tmp_path / "mean.pt", "--mean-with", run / "checkpoint.pt"),
            ("checkpoint", inner, tmp_path / "mean.pt", "--mean-with", inner),
        ):
            error = call(*arguments).exception
            assert isinstance(error, CheckpointError)
            assert "is of a training within a run: name the run's own polished.pt" in str(error)
    assert not list(tmp_path.glob("mean.pt")) + list(tmp_path.glob("zoo"))


def test_what_mixing_says_in_vain_of_pairs_is_told(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "pairs.toml"
    recipe.write_text(RECIPE + "[mixing]\nlevel_dbfs = [-30, -20]\nreverb = 1.0\nquiet = 0.5\n")
    train = ("train", recipe, "--valid-share", 0.5, "--run", tmp_path / "run")
    assert "[mixing] says quiet, reverb: nothing" in succeed(*train, "--pairs", folder / "noisy", folder / "clean")
    assert "[mixing] says" not in succeed(*train, "--speech", folder / "speech", "--noise", folder / "noise")


def test_silent_recordings_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "silent").mkdir()
    soundfile.write(tmp_path / "silent/1.wav", np.zeros(32000, np.float32), 16000)
    given = {"speech": folder / "speech", "noise": folder / "noise"}
    for kind in ("speech", "noise"):
        both = [part for name, path in (given | {kind: tmp_path / "silent"}).items() for part in (f"--{name}", path)]
        error = call("train", folder / "small.toml", "--run", tmp_path / "run", *both).exception
        assert isinstance(error, CorpusError)
        assert f"the {kind} to train on: nothing but silence" in str(error)
    clean = ("train", folder / "small.toml", "--run", tmp_path / "run", "--pairs", tmp_path / "silent", tmp_path / "silent")
    assert "the clean recordings to train on" in str(call(*clean).exception)


def test_user_errors_leave_the_commands_as_they_are(folder: Path, tmp_path: Path) -> None:
    recipe = folder / "small.toml"
    cases = [
        (CorpusError, ("train", recipe, "--speech", folder / "speech")),
        (CorpusError, ("train", recipe, "--pairs", folder / "noisy", folder / "clean", "--noise", folder / "noise")),
        (CorpusError, ("train", recipe, "--pairs", folder / "noisy", folder / "nowhere")),
        (CorpusError, ("train", recipe, "--speech", tmp_path / "nowhere", "--noise", folder, "--valid-speech", folder)),
        (RecipeError, ("train", tmp_path / "none.toml", "--speech", folder, "--noise", folder)),
        (ZooError, ("evaluate", "crn/original", "--pairs", folder, "--zoo", tmp_path, "--jobs", 1)),
        (CorpusError, ("evaluate", "crn/original", "--pairs", tmp_path / "nowhere")),
        (EvaluationError, ("evaluate", tmp_path / "a.pt", "--pairs", folder, "--update-card")),
        (EvaluationError, ("evaluate", "crn/orginal", "--pairs", folder)),
        (EvaluationError, ("evaluate", "crn/original", "--pairs", folder, "--json", tmp_path / "nowhere/x.json")),
        (EvaluationError, ("conditions", "crn/original", "--noise", folder, "--json", tmp_path / "nowhere/x.json")),
        (EvaluationError, ("picture", folder / "noisy/anna.wav", folder / "clean/anna.wav", tmp_path / "out.xyz")),
        (EvaluationError, ("picture", folder / "noisy/anna.wav", folder / "clean/anna.wav", tmp_path / "nowhere/a.png")),
    ]
    for kind, arguments in cases:
        error = call(*arguments).exception
        assert isinstance(error, kind), (arguments, error)
        assert kind in cli.USER_ERRORS
        assert "\n" not in str(error)


def test_a_share_without_a_second_checkpoint_is_a_usage_error(tmp_path: Path) -> None:
    source = checkpoint(tmp_path, "fcn")
    assert call("checkpoint", source, tmp_path / "copy.pt", "--share", 0.3).exit_code == 2
    assert call("checkpoint", source, tmp_path / "copy.pt").exit_code == 0


def test_an_unknown_device_is_a_usage_error(folder: Path) -> None:
    result = call("train", folder / "small.toml", "--speech", folder, "--noise", folder, "--device", "abacus")
    assert result.exit_code == 2


def test_without_the_extra_the_commands_name_it(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(options, "PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(ExtraMissingError, match=r'no_such_package: pip install "quietwire\[compression\]"'):
        succeed("evaluate", "crn/original", "--pairs", folder)


def test_the_commands_can_be_listed_without_torch() -> None:
    code = "import sys, compression.cli; print(sorted({'torch', 'onnx', 'pesq', 'pystoi', 'scipy'} & set(sys.modules)))"
    root = Path(cli.__file__).parent.parent
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert listed.stdout.strip() == "[]"
