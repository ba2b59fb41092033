"""Settings files: read, and refused where they are wrong, by file and entry."""

from pathlib import Path

import pytest

from compression.errors import RecipeError
from compression.training.recipe import load_recipe

SHIPPED = [Path(__file__).parents[2] / f"compression/settings/{name}.toml" for name in ("crn", "fcn")]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_recipes_can_be_read(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.build().family == path.stem


def test_entries_arrive_where_they_belong(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        '[network]\nfamily = "fcn"\nfilters = [3, 4]\n[training]\nsteps = 9\ncooldown = 3\nlearning_rate = 0.01\n'
        "[mixing]\nsnr_db = [0, 10]\nreverb = 1\n"
    )
    recipe = load_recipe(path)
    assert [conv.out_channels for conv in recipe.build().convs] == [3, 4, 1]
    assert (recipe.training.steps, recipe.training.learning_rate) == (9, 0.01)
    assert (recipe.mixing.snr_db, recipe.mixing.reverb) == ((0, 10), 1)
    assert recipe.with_steps(20).training.steps == 20
    assert recipe.polish is None
    path.write_text(f"{path.read_text()}[polish]\nsteps = 2000\n")
    polish = load_recipe(path).polish
    assert polish is not None
    assert (polish.steps, polish.weight_decay) == (2000, 0)
    assert recipe.memory is None
    remembering = "[memory]\nsteps = 3000\n[network]\ncontrol_units = 2\nmemory_units = 3\nfilters = [3, 4, 3, 3, 3]\n"
    path.write_text(path.read_text().replace("[network]", remembering).replace("filters = [3, 4]\n", ""))
    memory = load_recipe(path).memory
    assert memory is not None
    assert (memory.steps, memory.batch, memory.residual) == (3000, 8, load_recipe(path).training.residual)
    with pytest.raises(RecipeError, match="2 steps do not fit the recipe: cooldown"):
        recipe.with_steps(2)


def test_what_is_learned_of_a_teacher_is_the_same_in_all_trainings_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    network = '[network]\nfamily = "fcn"\ncontrol_units = 2\nmemory_units = 3\n'
    path.write_text(f"{network}[training]\ndistillation = 0.9\n[polish]\n[memory]\n")
    recipe = load_recipe(path, taught=True)
    assert recipe.polish is not None
    assert recipe.memory is not None
    assert (recipe.polish.distillation, recipe.memory.distillation) == (0.9, 0.9)
    path.write_text(path.read_text().replace("[memory]", "distillation = 0.2\n[memory]\ndistillation = 0.1"))
    recipe = load_recipe(path, taught=True)
    assert recipe.polish is not None
    assert recipe.memory is not None
    assert (recipe.polish.distillation, recipe.memory.distillation) == (0.2, 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps =", "not valid TOML"),
        ("\udcff", "not valid TOML"),
        ("[trainig]", r"unknown table \[trainig\]"),
        ("training = 3", "training must be a table"),
        ("polish = 3", "polish must be a table"),
        ("[polish]\nbatch = 0", r".polish.: steps, batch"),
        ("[memory]", r".memory. needs memory_units in .network."),
        ("[training]\nkeep_memory = true", r"keep_memory needs memory_units in .network."),
        (
            "[network]\nfamily = 'fcn'\ncontrol_units = 2\nmemory_units = 2\n[memory]\nstretches = 2",
            "stretches in .memory. must be 1",
        ),
        ("[training]\ndistillation = 0.2", r"distillation in \[training\] would do nothing: there is no teacher"),
        ("[polish]\nfreeze_norm_after = -1", r"freeze_norm_after in \[polish\] would do nothing: normalisation is folded"),
        ("[memory]\nkeep_memory = true", r"keep_memory in \[memory\] would do nothing"),
        ("[network]\nchannels = 3", "unknown family None"),
        ('[network]\nfamily = "crn"\nwidth = 3', "unknown entry 'width' in .network.; use channels"),
        ('[network]\nfamily = "crn"\nchannels = "32"', "channels in .network. must be of the kind of 32, not '32'"),
        ('[network]\nfamily = "fcn"\nfilters = 30', r"filters in .network. must be of the kind of \[30"),
        ('[network]\nfamily = "crn"\nbins_per_band = 1', "bins_per_band must be at least 2"),
        ('network = "crn" # not a [network]', r"network must be a table: write \[network\]"),
        ('[[network]]\nfamily = "crn" # not a [network]', r"network must be a table: write \[network\]"),
        ('[network]\nfamily = "crn"\nchannels = 0', "at least 1"),
        ("[training]\nsteps = 9.5", "steps in .training. must be of the kind of 10000, not 9.5"),
        ("[training]\nstep = 9", "unknown entry 'step' in .training.; use seed, steps"),
        ("[training]\nbatch = 0", "batch"),
        ("[training]\nseconds = 0.1", "seconds"),
        ("[training]\nlearning_rate = true", "learning_rate"),
        ("[training]\nbfloat16 = 1", "bfloat16"),
        ("[training]\nsteps = 5\ncooldown = 6", "cooldown"),
        ("[training]\nresidual_hold = inf", "residual_hold in .training. must be finite, not inf"),
        ("[mixing]\nsnr_db = [0.0, nan]", "snr_db in .mixing. must be finite"),
        ("[mixing]\nreverb = 1.5", "reverb is 1.5"),
        ("[mixing]\nsnr_db = 5", r"snr_db in .mixing. must be of the kind of \[-6.0, 20.0\], not 5"),
        ("[mixing]\nsnr_db = [5]", "snr_db"),
        ("[mixing]\nsnr_db = [20, 5]", "snr_db is .* the lower value goes first"),
        ("[mixing]\nspeed = [0.1, 1.0]", "speed is .* it lies between 0.5 and 2"),
    ],
)
def test_a_mistake_is_refused_by_file_and_entry(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.toml"
    network = "" if "[network]" in text else '\n[network]\nfamily = "fcn"\nfilters = [2]\n'
    path.write_bytes((text + network).encode(errors="surrogateescape"))
    with pytest.raises(RecipeError, match=rf"a\.toml.*{message}"):
        load_recipe(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")
