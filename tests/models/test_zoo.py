"""Loading variants: what is damaged is refused by name and does not stop the others."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.card import CardError, load_card
from models.zoo import SHIPPED, ZooError, decode_state, encode_state, load_variant, load_zoo

SHIPPED_VARIANTS = sorted(SHIPPED.glob("*/*.onnx"))


@pytest.fixture
def zoo(small_zoo: Path, tmp_path: Path) -> Path:
    """A zoo that may be damaged."""
    return Path(shutil.copytree(small_zoo, tmp_path / "zoo"))


def write(path: Path, content: bytes) -> None:
    """Replace a variant's file and its card's hash."""
    path.write_bytes(content)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"sha256": hashlib.sha256(content).hexdigest()}))


def with_metadata(path: Path, **changes: str | None) -> bytes:
    model = onnx.load(path)
    entries = {entry.key: entry.value for entry in model.metadata_props} | changes
    onnx.helper.set_model_props(model, {key: value for key, value in entries.items() if value is not None})
    return model.SerializeToString()


def test_a_variant_says_what_it_is(zoo: Path) -> None:
    variant = load_variant(zoo / "fcn/original.onnx")
    assert (variant.name, variant.sample_rate, variant.hop, variant.delay) == ("fcn/original", 16000, 160, 4 * 27)
    assert variant.state_size == 54 * (1 + 4 + 3 + 5)
    assert variant.card.bytes == (zoo / "fcn/original.onnx").stat().st_size


def test_a_changed_byte_is_refused(zoo: Path) -> None:
    path = zoo / "crn/original.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ZooError, match=r"crn/original\.onnx: SHA-256 differs.*restore the file"):
        load_variant(path)


def test_bytes_that_are_no_graph_are_refused(zoo: Path) -> None:
    path = zoo / "crn/original.onnx"
    write(path, path.read_bytes()[:-100])
    with pytest.raises(ZooError, match=r"crn/original\.onnx: ONNX Runtime cannot load it"):
        load_variant(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop": None}, "metadata entry missing"),
        ({"hop": "ten"}, "malformed"),
        ({"format": "99"}, "this program's format"),
        ({"family": "fcn"}, "does not fit the card"),
        ({"variant": "pruned"}, "does not fit the card"),
        ({"state_size": "7"}, "does not fit the card"),
        ({"initial_state": "AAAA"}, "malformed"),
        ({"initial_state": "?"}, "malformed"),
        ({"hop": "100"}, "a trial step"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(zoo: Path, changes: dict[str, str | None], message: str) -> None:
    path = zoo / "crn/original.onnx"
    write(path, with_metadata(path, **changes))
    with pytest.raises(ZooError, match=rf"crn/original\.onnx: .*{message}"):
        load_variant(path)


def test_a_state_of_another_size_than_the_graph_s_is_refused(zoo: Path) -> None:
    path = zoo / "crn/original.onnx"
    write(path, with_metadata(path, state_size="5", initial_state=encode_state(np.zeros(5, np.float32))))
    with pytest.raises(ZooError, match=r"crn/original\.onnx: a trial step"):
        load_variant(path)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe\x00", b'{"model": "crn", "unknown": 1}'])
def test_a_card_that_is_missing_or_damaged_is_refused(zoo: Path, content: bytes | None) -> None:
    card = zoo / "crn/original.json"
    card.unlink()
    if content is not None:
        card.write_bytes(content)
    with pytest.raises(CardError, match=r"crn/original\.json: .*restore it"):
        load_card(card)
    with pytest.raises(ZooError, match=r"crn/original\.json"):
        load_variant(zoo / "crn/original.onnx")


def test_a_missing_graph_is_refused(zoo: Path) -> None:
    (zoo / "crn/original.onnx").unlink()
    with pytest.raises(ZooError, match=r"crn/original\.onnx: cannot be read"):
        load_variant(zoo / "crn/original.onnx")


@pytest.mark.parametrize("name", ["crn/original.onnx", "crn/original.json"])
def test_a_damaged_variant_does_not_stop_the_others(zoo: Path, name: str) -> None:
    (zoo / name).write_bytes(b"\xff\x00")
    loaded = load_zoo(zoo)
    assert loaded.names == ["fcn/original"]
    assert "crn/original" in loaded.failures["crn/original"]
    assert loaded.get("fcn", "original") is not None
    assert loaded.get("crn", "original") is None
    assert loaded.get("nonsense", "original") is None


def test_only_the_wanted_variants_are_loaded(zoo: Path) -> None:
    assert load_zoo(zoo, ["fcn/original"]).names == ["fcn/original"]
    with pytest.raises(ZooError, match="unknown variant 'crn/best': use one of"):
        load_zoo(zoo, ["crn/best"])


def test_variants_of_another_original_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("original", "combined"):
        for suffix in (".onnx", ".json"):
            target = tmp_path / "crn" / (name + suffix)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(SHIPPED / "crn" / target.name, target)
    assert load_zoo(tmp_path).of_another == []
    assert not caplog.records
    card = load_card(tmp_path / "crn/original.json")
    card.model_copy(update={"compression": {"network": "0" * 64}}).save(tmp_path / "crn/original.json")
    assert load_zoo(tmp_path).of_another == ["crn/combined"]
    assert "crn/combined: made of another original than the one in" in caplog.text


def test_an_empty_zoo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no variant could be loaded"):
        load_zoo(tmp_path)


def test_state_rows_survive_their_encoding() -> None:
    row = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    np.testing.assert_array_equal(decode_state(encode_state(row)), row)


@pytest.mark.parametrize("path", SHIPPED_VARIANTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_variant_loads_and_has_a_consistent_card(path: Path) -> None:
    variant = load_variant(path)
    card, original = variant.card, path.with_name("original.onnx")
    assert (card.model, card.variant) == (path.parent.name, path.stem)
    assert card.bytes == path.stat().st_size
    assert card.size_ratio == pytest.approx(card.bytes / original.stat().st_size)
    assert card.algorithmic_latency_ms == pytest.approx(1000 * (variant.hop + variant.delay) / variant.sample_rate)
    assert card.training["steps"] > 0
    assert card.evaluation is not None
    assert card.evaluation.scores.keys() == card.evaluation.noisy.keys() == {"pesq", "stoi", "estoi", "si_sdr"}
