"""Settings files of `quietwire compress`: read, and refused where they are wrong, by file and entry."""

from pathlib import Path

import pytest

from compression.errors import RecipeError
from compression.pipeline.reachable import check_reachable
from compression.pipeline.recipe import PruningSettings, load_compress_recipe
from compression.training.recipe import load_recipe

SETTINGS = Path(__file__).parents[2] / "compression/settings"


@pytest.mark.parametrize("family", ["crn", "fcn"])
def test_the_shipped_settings_can_be_read_and_reached(family: str) -> None:
    recipe = load_compress_recipe(SETTINGS / f"{family}-compress.toml")
    check_reachable(recipe, load_recipe(SETTINGS / f"{family}.toml").build())
    assert recipe.centroid_training.weight_decay == 0
    assert recipe.final_training.steps > recipe.round_training.steps


def test_entries_arrive_where_they_belong_and_centroids_do_not_decay(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        "[pruning]\nrounds = 3\n[pruning.training]\nseed = 5\n[pruning.final]\nseed = 6\n"
        "[quantization]\nbudget = 0.2\n[quantization.training]\nseed = 7\n[mixing]\nreverb = 0.5\n"
    )
    recipe = load_compress_recipe(path)
    seeds = [training.seed for training in (recipe.round_training, recipe.final_training, recipe.centroid_training)]
    assert seeds == [5, 6, 7]
    assert (recipe.pruning.rounds, recipe.quantization.budget, recipe.mixing.reverb) == (3, 0.2, 0.5)
    assert (recipe.round_training.weight_decay, recipe.centroid_training.weight_decay) == (0.01, 0)


def test_what_is_not_to_be_made_need_not_be_reached(tmp_path: Path) -> None:
    network, path = load_recipe(SETTINGS / "fcn.toml").build(), tmp_path / "a.toml"
    path.write_text("[pruning]\nlayers = 3\n[quantization]\nbudget = 0.16\ncombined_budget = 1e-5\n")
    check_reachable(load_compress_recipe(path), network, only=["quantized"])
    with pytest.raises(RecipeError, match=r"layers in \[pruning\]"):
        check_reachable(load_compress_recipe(path), network, only=["pruned"])
    path.write_text("[quantization]\nbudget = 1e-5\ncombined_budget = 1e-5\n")
    check_reachable(load_compress_recipe(path), network, only=["pruned"])
    with pytest.raises(RecipeError, match=r"combined_budget in .quantization. is too small"):
        check_reachable(load_compress_recipe(path), network, only=["combined"])


def test_rounds_lead_to_the_ratios_in_equal_shares() -> None:
    (macs, parameters), (last_macs, last_parameters) = PruningSettings(
        rounds=2, macs_ratio=0.25, parameters_ratio=0.64
    ).targets()
    assert (macs, parameters) == pytest.approx((0.5, 0.8))
    assert (last_macs, last_parameters) == pytest.approx((0.25, 0.64))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pruning =", "not valid TOML"),
        ("[network]", r"unknown table \[network\]; use \[pruning\]"),
        ("pruning = 3", "pruning must be a table"),
        ("[pruning]\ntraining = 3", r"training in .pruning. must be a table: write \[pruning\.training\]"),
        ("[pruning]\nround = 3", "unknown entry 'round' in .pruning.; use rounds.*smallest, training, final, polish"),
        ("[pruning.polish]\nfreeze_norm_after = 9", r"freeze_norm_after in \[pruning\.polish\] would do nothing"),
        ("[quantization.training]\nsoap = true", r"soap in \[quantization\.training\] would do nothing"),
        ("[pruning]\nrounds = 0", r"\[pruning\]: rounds must be at least 1"),
        ("[pruning]\nlayers = -1", "layers must be at least 1, or 0 for all"),
        ("[pruning.smallest]\nchannels = 0", r"\[pruning\.smallest\]: every width must be at least 1"),
        ("[pruning.smallest]\nbands = 3", r"unknown entry 'bands' in \[pruning\.smallest\]"),
        ("[pruning]\nmacs_ratio = 1.5", "macs_ratio must be above 0"),
        ("[pruning]\nparameters_ratio = 0", "parameters_ratio must be above 0"),
        ("[pruning]\nmultiple = 2.0", "multiple in .pruning. must be of the kind of 1, not 2.0"),
        ("[pruning.training]\nsteps = 5\ncooldown = 6", r"\[pruning\.training\]: cooldown"),
        ("[pruning.final]\nstep = 5", r"unknown entry 'step' in \[pruning\.final\]"),
        ("[quantization]\nbudget = 1", "budget must lie between 0 and 1"),
        ("[quantization]\ncombined_budget = -0.1", "combined_budget must lie between 0 and 1"),
        ("[quantization]\nsensitivity_seconds = 0.1", "sensitivity_seconds must lie"),
        ("[quantization.training]\nweight_decay = 0.01", r"weight_decay in \[quantization\.training\] must be 0"),
        ("[quantization.training]\nbatch = 0", r"\[quantization\.training\]: .*batch"),
        ("[mixing]\nclip = 2", "clip is 2"),
    ],
)
def test_a_mistake_is_refused_by_file_and_entry(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=rf"a\.toml.*{message}"):
        load_compress_recipe(path)


@pytest.mark.parametrize(("family", "layers"), [("crn", 7), ("fcn", 1)])
def test_layers_that_a_network_does_not_have_are_refused(tmp_path: Path, family: str, layers: int) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f"[pruning]\nlayers = {layers}\n")
    network = load_recipe(SETTINGS / f"{family}.toml").build()
    with pytest.raises(RecipeError, match=rf"layers in \[pruning\] is {layers}, which this network does not have"):
        check_reachable(load_compress_recipe(path), network)


def test_a_polish_is_made_where_there_is_a_table_for_it_even_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[pruning.polish]\n")
    found = load_compress_recipe(path).polish_training
    assert found is not None and found.weight_decay == 0
    path.write_text("[pruning]\n")
    assert load_compress_recipe(path).polish_training is None
