"""The table [sweep] of a settings file: read, and refused where it is wrong before anything is done."""

import dataclasses
from pathlib import Path

import pytest

from compression import cli
from compression.errors import EvaluationError, RecipeError
from compression.pipeline.recipe import load_compress_recipe
from compression.pipeline.sweep_points import check_sweep
from compression.pipeline.sweep_settings import shortened
from compression.training.recipe import TrainingSettings, load_recipe

from .compression_command import write
from .sweep_command import SETTINGS, succeed
from .untrained import checkpoint


@pytest.mark.parametrize(
    ("former", "now", "message"),
    [
        ("[4, 2, 16]", "[4, 3]", r"\[sweep\]: centroids must be powers of 2, from 2 to 256"),
        ("[4, 2, 16]", "[4, 4]", r"\[sweep\]: centroids has a value twice"),
        ("[4, 2, 16]", "[4.0]", r"centroids in \[sweep\] must be of the kind of \[2, .*\], not \[4.0\]"),
        ("[4, 2, 16]", "4", r"centroids in \[sweep\] must be of the kind of \[2, .*\], not 4"),
        ("[8]", "[256]", r"combined_centroids must be powers of 2, from 2 to 128"),
        ("[0.6, 0.8]", "[0.6, 1]", r"macs_ratios must lie between 0 and 1"),
        ("[0.6, 0.8]", "[0.01]", r"^0.01 of macs_ratios in \[sweep\] is too small for this network"),
        ("[0.6]", "[1.5]", "thresholds must lie between 0 and 1"),
        ("soft_rounds = 2", "soft_rounds = 0", "soft_rounds at least 1"),
        ("soft_rounds = 2", "rounds = 2", r"unknown entry 'rounds' in \[sweep\]"),
        pytest.param(SETTINGS, "", r"have no table \[sweep\]", id="no table"),
        pytest.param(SETTINGS, "sweep = 3", r"sweep must be a table", id="no table but a number"),
        pytest.param(
            SETTINGS, "[sweep]\ncentroids = []\nmacs_ratios = []\nthresholds = []", "there is no point", id="no point"
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_done(
    former: str, now: str, message: str, recordings: Path, tmp_path: Path
) -> None:
    write(tmp_path, SETTINGS.replace(former, now))
    with pytest.raises(RecipeError, match=message) as caught:
        succeed(recordings, tmp_path, checkpoint(tmp_path, "fcn"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_refused(recordings: Path, tmp_path: Path) -> None:
    write(tmp_path, SETTINGS)
    (tmp_path / "out").write_text("")
    with pytest.raises(EvaluationError, match="use another --out"):
        succeed(recordings, tmp_path, checkpoint(tmp_path, "fcn"))


@pytest.mark.parametrize("family", ["crn", "fcn"])
def test_the_shipped_settings_have_a_sweep_that_the_network_can_be_brought_to(family: str) -> None:
    shipped = Path(cli.__file__).parent / "settings"
    recipe = load_compress_recipe(shipped / f"{family}-compress.toml")
    found = check_sweep(recipe, load_recipe(shipped / f"{family}.toml").build())
    assert len(found.centroids) > 1 and len(found.macs_ratios) > 1
    assert bool(found.thresholds) == (family == "fcn")


def test_a_shorter_training_keeps_its_shape() -> None:
    long = TrainingSettings(steps=500, cooldown=250, warmup=25, validate_every=250)
    short = shortened(long, 100)
    assert (short.steps, short.cooldown, short.warmup, short.validate_every) == (100, 50, 5, 50)
    assert dataclasses.replace(short, steps=500, cooldown=250, warmup=25, validate_every=250) == long
    assert shortened(long, 0) == long
