"""Runs of `quietwire compress` that are stopped, gone on with, or of something else."""

import json
import signal
from functools import partial
from pathlib import Path

import pytest

from compression.data.batches import Batch
from compression.errors import CheckpointError, CompressionError
from compression.training.progress import Progress
from compression.training.train import Trainer

from . import compression_command
from .compression_command import SETTINGS, times, write
from .untrained import checkpoint

succeed = partial(compression_command.succeed, "compress")


@pytest.mark.parametrize("stage", ["pruned/round-2", "combined", "quantized"])
def test_a_stopped_stage_goes_on_and_ends_as_if_it_had_never_stopped(
    stage: str, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = stage.split("/")[0]
    files = []
    for name in ("whole", "cut"):
        folder = tmp_path / name
        folder.mkdir()
        write(folder, SETTINGS.replace("macs_ratio = 0.6", "macs_ratio = 0.85"))
        source = checkpoint(folder, "fcn")
        if name == "cut":
            with monkeypatch.context() as patch:
                patch.setattr(Trainer, "_step", interrupted(folder / "run" / stage))
                stopped = succeed(recordings, folder, source, "--only", variant)
            assert stopped.stdout == f"stopped in {stage} after 1 of 2 steps; the same command goes on\n"
            assert not (folder / f"zoo/fcn/{variant}.onnx").exists()
            kept = times(folder / "run/pruned/round-1")
            plan = json.loads((folder / "run" / stage / "stage.json").read_text())["plan"]
        succeed(recordings, folder, source, "--only", variant)
        files.append((folder / f"zoo/fcn/{variant}.onnx").read_bytes())
    assert times(tmp_path / "cut/run/pruned/round-1") == kept
    assert json.loads((tmp_path / "cut/run" / stage / "stage.json").read_text())["plan"] == plan
    assert files[0] == files[1]


def test_ctrl_c_in_a_stage_s_last_validation_keeps_the_next_from_beginning(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    source, validated = checkpoint(tmp_path, "fcn"), Trainer._validate

    def interrupted_at_the_end(trainer: Trainer, progress: Progress) -> None:
        if trainer.step == trainer.settings.steps:
            signal.raise_signal(signal.SIGINT)
        validated(trainer, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_validate", interrupted_at_the_end)
        stopped = succeed(recordings, tmp_path, source, "--only", "pruned")
    assert stopped.stdout == "stopped in pruned/round-1 after 2 of 2 steps; the same command goes on\n"
    assert not (tmp_path / "run/pruned/round-2").exists()
    succeed(recordings, tmp_path, source, "--only", "pruned")


def interrupted(folder: Path):
    """A training step that comes with Ctrl-C in one folder."""
    step = Trainer._step

    def stopped(trainer: Trainer, batch: Batch) -> float:
        if trainer.folder == folder:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, batch)

    return stopped


def test_no_time_means_no_work_and_no_error(recordings: Path, tmp_path: Path) -> None:
    write(tmp_path)
    result = succeed(recordings, tmp_path, checkpoint(tmp_path, "fcn"), "--minutes", 0)
    assert result.stdout == "stopped before pruned/round-1; the same command goes on\n"
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_original_or_of_other_settings_is_refused(recordings: Path, tmp_path: Path) -> None:
    write(tmp_path)
    first, second = (checkpoint(tmp_path, "fcn", seed) for seed in (1, 2))
    succeed(recordings, tmp_path, first, "--only", "quantized")
    kept = times(tmp_path / "run")
    with pytest.raises(CompressionError, match=r"fcn/original\.onnx is not of this checkpoint"):
        succeed(recordings, tmp_path, second, "--only", "quantized")
    with pytest.raises(CompressionError, match="run/quantized was made from another network"):
        succeed(recordings, tmp_path, second, "--only", "quantized", "--zoo", tmp_path / "b")
    write(tmp_path, SETTINGS.replace("\nbudget = 0.3", "\nbudget = 0.29"))
    with pytest.raises(CompressionError, match=r"run/quantized was made with another quantization\.share"):
        succeed(recordings, tmp_path, first, "--only", "quantized")
    assert times(tmp_path / "run") == kept


def test_damaged_files_of_a_run_are_refused_by_name(recordings: Path, tmp_path: Path) -> None:
    write(tmp_path)
    source, folder = checkpoint(tmp_path, "fcn"), tmp_path / "run/quantized"
    succeed(recordings, tmp_path, source, "--only", "quantized")
    (folder / "checkpoint.pt").write_bytes(source.read_bytes())
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt does not fit the plan beside it: remove the folder .*quantized"):
        succeed(recordings, tmp_path, source, "--only", "quantized")
    (folder / "stage.json").write_text("{")
    with pytest.raises(CompressionError, match=r"stage\.json is damaged: remove the folder .*quantized"):
        succeed(recordings, tmp_path, source, "--only", "quantized")
