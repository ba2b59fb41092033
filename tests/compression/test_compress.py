"""`quietwire compress` from end to end: variants and cards, and what is refused before any training."""

from functools import partial
from pathlib import Path

import pytest

from compression.errors import CompressionError, RecipeError
from compression.export.variant import export
from compression.training.checkpoint import load_checkpoint, load_network
from models.card import load_card
from models.zoo import load_zoo

from . import compression_command
from .compression_command import SETTINGS, TRAINING, times, write
from .untrained import checkpoint

MADE = ("pruned", "quantized", "combined")


call = partial(compression_command.call, "compress")
succeed = partial(compression_command.succeed, "compress")


def test_three_variants_with_honest_cards_and_nothing_done_twice(recordings: Path, tmp_path: Path) -> None:
    family, source = "fcn", checkpoint(tmp_path, "fcn")
    write(tmp_path)
    said = succeed(recordings, tmp_path, source)
    zoo = load_zoo(tmp_path / "zoo")
    assert set(zoo.names) == {f"{family}/{name}" for name in ("original", *MADE)}
    cards = {name: zoo.get(family, name).card for name in ("original", *MADE)}
    for name in MADE:
        path = tmp_path / "zoo" / family / f"{name}.onnx"
        assert cards[name].bytes == path.stat().st_size
        assert cards[name].size_ratio == pytest.approx(cards[name].bytes / cards["original"].bytes)
        made = cards[name].compression
        assert sum(made["bytes"].values()) == cards[name].bytes
        assert made["stages"][-1]["figures"]["steps"] == 2
        assert made["stages"][-1]["losses"].keys() == {"original", "before", "after"}
        assert f"{path}: {cards[name].bytes:,} bytes" in said.stdout
    for name in ("quantized", "combined"):
        assert min(cards[name].compression["bits"].values()) < 8
    for name in ("pruned", "combined"):
        assert cards[name].parameters <= 0.6 * cards["original"].parameters
        assert cards[name].macs_per_second <= 0.6 * cards["original"].macs_per_second
    done = [stage["stage"] for stage in cards["combined"].compression["stages"]]
    assert done == ["pruned/round-1", "pruned/round-2", "pruned/final", "combined"]
    assert cards["quantized"].parameters == cards["original"].parameters
    assert cards["quantized"].size_ratio <= 0.3
    assert cards["combined"].size_ratio <= 0.14

    kept = times(tmp_path)
    again = succeed(recordings, tmp_path, source)
    assert times(tmp_path) == kept
    assert again.stderr.count("finished before") == 5


@pytest.mark.parametrize("family", ["crn", "fcn"])
def test_a_polish_trains_the_pruned_network_further_in_full_precision(family: str, recordings: Path, tmp_path: Path) -> None:
    ratio = {"crn": 0.85, "fcn": 0.6}[family]
    text = SETTINGS.replace("macs_ratio = 0.6", f"macs_ratio = {ratio}")
    write(tmp_path, text.replace("[quantization]\n", f"[pruning.polish]\n{TRAINING}[quantization]\n"))
    succeed(recordings, tmp_path, checkpoint(tmp_path, family), "--only", "pruned")
    card = load_card(tmp_path / f"zoo/{family}/pruned.json")
    stages_done = card.compression["stages"]
    assert [stage["stage"] for stage in stages_done][-2:] == ["pruned/final", "pruned/polish"]
    final, polish = stages_done[-2:]
    assert polish["losses"]["before"] == pytest.approx(final["losses"]["after"], rel=1e-4)
    assert polish["losses"]["after"] != polish["losses"]["before"]
    assert polish["settings"]["training"]["weight_decay"] == 0
    assert card.bytes > 3.9 * card.parameters  # nothing was rounded to half precision


def test_tensors_of_the_quantized_network_have_few_values(recordings: Path, tmp_path: Path) -> None:
    write(tmp_path)
    source = checkpoint(tmp_path, "fcn")
    succeed(recordings, tmp_path, source, "--only", "quantized")
    assert not (tmp_path / "run/pruned").exists()
    bits = load_card(tmp_path / "zoo/fcn/quantized.json").compression["bits"]
    content = load_checkpoint(tmp_path / "run/quantized/best.pt")["average"]
    shared = {name.removesuffix(".0.indices") for name in content if name.endswith(".0.indices")}
    found = {name: content[f"{name}.original"] for name in shared}
    tables = {name.replace("parametrizations.", ""): value for name, value in found.items()}
    assert {name for name, width in bits.items() if width < 16} == set(tables)
    for name, table in tables.items():
        assert len(table) <= 2 ** bits[name]


def test_whole_recurrent_layers_go_first_where_the_settings_say_how_many_stay(recordings: Path, tmp_path: Path) -> None:
    source = checkpoint(tmp_path, "crn", subband_units=[8, 8, 8], fullband_units=[12, 12, 12])
    write(tmp_path, SETTINGS.replace("rounds = 2", "rounds = 1\nlayers = 4").replace("macs_ratio = 0.6", "macs_ratio = 0.9"))
    succeed(recordings, tmp_path, source, "--only", "pruned")
    made = load_card(tmp_path / "zoo/crn/pruned.json").compression
    assert [stage["stage"] for stage in made["stages"]] == ["pruned/layers", "pruned/round-1", "pruned/final"]
    assert sum("units" in name for name in made["widths"]) == 4
    assert load_zoo(tmp_path / "zoo").get("crn", "pruned").card.macs_per_second > 0


def test_the_training_of_a_pruned_network_goes_on_from_its_checkpoint(recordings: Path, tmp_path: Path) -> None:
    write(tmp_path)
    source = checkpoint(tmp_path, "fcn")
    succeed(recordings, tmp_path, source, "--only", "pruned")
    kept = tmp_path / "kept.pt"
    (tmp_path / "run/pruned/final/best.pt").rename(kept)
    former = load_card(tmp_path / "zoo/fcn/pruned.json")
    arguments = ("--only", "pruned", "--pruned-from", kept, "--run", tmp_path / "second")
    succeed(recordings, tmp_path, source, *arguments)
    card = load_card(tmp_path / "zoo/fcn/pruned.json")
    assert (card.parameters, card.macs_per_second) == (former.parameters, former.macs_per_second)
    assert card.sha256 != former.sha256
    assert [stage["stage"] for stage in card.compression["stages"]] == ["pruned/final"]
    assert card.compression["pruned_from"]["steps"] == 2
    assert not (tmp_path / "second/pruned/round-1").exists()
    with pytest.raises(CompressionError, match="second/pruned/final was made from another original: use another --run"):
        succeed(recordings, tmp_path, checkpoint(tmp_path, "fcn", seed=2), *arguments, "--zoo", tmp_path / "b")
    other = checkpoint(tmp_path, "crn", seed=5)
    with pytest.raises(CompressionError, match="holds a network of the family crn: name a pruned one of fcn"):
        succeed(recordings, tmp_path, source, "--pruned-from", other, "--run", tmp_path / "third")


def test_an_evaluated_card_is_not_overwritten(recordings: Path, tmp_path: Path) -> None:
    write(tmp_path)
    source = checkpoint(tmp_path, "fcn")
    export(load_network(source), "original", tmp_path / "zoo", {"steps": 7}, {})
    succeed(recordings, tmp_path, source, "--only", "quantized")
    assert load_card(tmp_path / "zoo/fcn/original.json").training == {"steps": 7}
    path = tmp_path / "zoo/fcn/quantized.json"
    load_card(path).model_copy(update={"licence": "mine"}).save(path)
    succeed(recordings, tmp_path, source, "--only", "quantized")
    assert load_card(path).licence == "mine"
    succeed(recordings, tmp_path, source, "--only", "quantized", "--licence", "ours")
    assert load_card(path).licence == "ours"


def test_what_cannot_be_reached_is_refused_before_any_training(recordings: Path, tmp_path: Path) -> None:
    source = checkpoint(tmp_path, "fcn")
    for former, now, message in [
        ("macs_ratio = 0.6", "macs_ratio = 0.01", "macs_ratio or parameters_ratio in .pruning. is too small"),
        ("\nbudget = 0.3", "\nbudget = 0.01", "^budget in .quantization. is too small .* the smallest plan needs"),
        ("combined_budget = 0.14", "combined_budget = 0.02", "^combined_budget in .quantization. is too small"),
    ]:
        write(tmp_path, SETTINGS.replace(former, now))
        with pytest.raises(RecipeError, match=message) as caught:
            succeed(recordings, tmp_path, source)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists() and not (tmp_path / "zoo").exists()


def test_an_unknown_variant_is_a_usage_error(recordings: Path, tmp_path: Path) -> None:
    write(tmp_path)
    assert call(recordings, tmp_path, tmp_path / "a.pt", "--only", "pruned,small").exit_code == 2
