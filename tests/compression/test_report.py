"""`quietwire report` over small networks and generated pairs, from the zoo to the files and back."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from compression import cli
from compression.data.pairs import find_pairs
from compression.errors import CorpusError, EvaluationError
from compression.report import files as report_files
from compression.report.content import load_report
from compression.report.measure import find_subjects, measure_report
from compression.report.table import markdown
from models.card import FAMILIES, VARIANTS, load_card
from models.zoo import SHIPPED, ZooError

FILES = {"report.json", "report.md", "report.html", "bytes.png", "time.png", "loss.png"}


def call(*arguments: object) -> Result:
    app = typer.Typer()
    cli.register(app)
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def succeed(*arguments: object) -> str:
    result = call(*arguments)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def add_variant(source: Path, target: Path, note: str = "", **compression: object) -> None:
    """A variant with the weights of another one, and so with the same output."""
    model = onnx.load(source)
    for entry in model.metadata_props:
        entry.value = target.stem if entry.key == "variant" else entry.value
    model.metadata_props.add(key="note", value=note)
    content = model.SerializeToString()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    facts = {"variant": target.stem, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    facts["size_ratio"] = len(content) / source.stat().st_size
    load_card(source.with_suffix(".json")).model_copy(update={**facts, "compression": compression}).save(
        target.with_suffix(".json")
    )


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, voice) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for index, name in enumerate(("000_+0dB_hiss", "001_+10dB_hiss")):
        clean = 0.3 * voice(1.5, index)
        hiss = np.random.default_rng(index).standard_normal(len(clean)).astype(np.float32)
        noisy = clean + hiss * clean.std() * (1, 0.316)[index]
        for kind, audio in (("clean", clean), ("noisy", noisy)):
            soundfile.write(folder / f"{name}_{kind}.flac", audio, 16000)
    return folder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, small_zoo: Path) -> Path:
    """Both originals, a `crn pruned` with the original's weights, and a `crn combined` that is cut off."""
    folder = tmp_path_factory.mktemp("report") / "zoo"
    shutil.copytree(small_zoo, folder)
    original = folder / "crn/original.onnx"
    add_variant(original, folder / "crn/pruned.onnx", "x" * 1000)
    add_variant(original, folder / "crn/combined.onnx")
    combined = folder / "crn/combined.onnx"
    combined.write_bytes(combined.read_bytes()[:-5])
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, zoo: Path) -> Path:
    """A zoo of another run with its original, a variant of the zoo again, a damaged one and one without a card."""
    folder, original = tmp_path_factory.mktemp("sweep"), zoo / "fcn/original.onnx"
    add_variant(original, folder / "a/fcn/original.onnx", "not the zoo's")
    add_variant(original, folder / "a/fcn/quantized.onnx", "1", k=16)
    add_variant(original, folder / "b/fcn/quantized.onnx", "2", k=16)
    add_variant(original, folder / "c/fcn/pruned.onnx", "3", theta=0.65)
    (folder / "c/fcn/pruned.onnx").write_bytes(b"")
    shutil.copytree(zoo / "crn", folder / "d/crn", ignore=shutil.ignore_patterns("combined*"))
    (folder / "d/alone.onnx").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, zoo: Path, sweep: Path, pairs: Path) -> tuple[Path, str]:
    """The folder of a report, and what was printed."""
    out = tmp_path_factory.mktemp("out") / "new/report"
    options = ("--jobs", 1, "--seconds", 0.01, "--out", out, "--set-name", "two voices")
    return out, succeed("--pairs", pairs, "--zoo", zoo, "--sweep", sweep, *options)


def table(text: str, title: str) -> list[list[str]]:
    """The cells of the table below a heading, without the line of dashes."""
    section = text.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[:1] + rows[2:]]


def test_every_variant_has_a_row_and_the_same_weights_lose_nothing(measured: tuple[Path, str], zoo: Path) -> None:
    text = measured[1]
    header, noisy, original, pruned, *paper = table(text, "crn")
    assert [noisy[0], original[0], pruned[0]] == ["noisy input", "original", "pruned"]
    assert [row[0].split(",")[0] for row in paper] == ["Wu et al. 2019", "Wu et al. 2019"]
    sizes = [(zoo / f"crn/{name}.onnx").stat().st_size for name in ("original", "pruned")]
    assert [original[1], pruned[1]] == [f"{size:,}" for size in sizes]
    assert [original[2], pruned[2]] == ["100.00", f"{100 * sizes[1] / sizes[0]:.2f}"]
    quality = slice(header.index("PESQ"), header.index("PESQ loss %"))
    assert original[quality] == pruned[quality] != noisy[quality]
    assert pruned[-2:] == ["0.00 [0.00, 0.00]"] * 2
    assert original[-2:] == ["–", "–"]
    assert [row[0] for row in table(text, "fcn")[1:3]] == ["noisy input", "original"]


def test_a_damaged_variant_is_named_and_stops_nothing(measured: tuple[Path, str]) -> None:
    assert "**crn/combined is left out**: " in measured[1]
    assert "combined.onnx: SHA-256 differs" in measured[1]
    assert "combined" not in [row[0] for row in table(measured[1], "crn")]


def test_points_of_a_sweep_are_listed_once_each_under_their_settings(measured: tuple[Path, str], sweep: Path) -> None:
    text = measured[1]
    names = [row[0] for row in table(text, "fcn: sweep")[1:]]
    assert names == ["quantized: k = 16 (a/fcn/quantized)", "quantized: k = 16 (b/fcn/quantized)"]
    assert "## crn: sweep" not in text  # only what the zoo has too
    assert f"**{sweep / 'c/fcn/pruned.onnx'} is left out**" in text


def test_the_files_are_there_and_hold_what_they_should(measured: tuple[Path, str]) -> None:
    out, text = measured
    assert {path.name for path in out.iterdir()} == FILES
    assert (out / "report.md").read_text().startswith(text)
    assert "![Quality and size](bytes.png)" in (out / "report.md").read_text()
    for name in ("bytes", "time", "loss"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / "report.json").read_text())
    assert content["set_name"] == "two voices"
    assert [pair["snr_db"] for pair in content["pairs"]] == [0.0, 10.0]
    for system in content["systems"]:
        assert len(system["enhanced"]) == 2
        assert system["real_time_factor"] > 0
        mean = np.mean([row["pesq"] for row in system["enhanced"]])
        assert system["scores"]["pesq"]["mean"] == pytest.approx(mean)
        assert system["losses"]["stoi"]["pairs"] == 2


def test_a_report_drawn_again_says_the_same(
    measured: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, text = measured
    assert succeed("--from", out / "report.json", "--out", tmp_path) == text
    assert (tmp_path / "report.json").read_text() == (out / "report.json").read_text()
    assert (tmp_path / "report.html").read_text() == (out / "report.html").read_text()
    monkeypatch.setattr(report_files, "write_report", lambda report, folder: [])
    fcn = succeed("--from", out / "report.json", "--out", tmp_path, "--models", "fcn")
    assert "## fcn" in fcn
    assert "## crn" not in fcn


def test_without_an_original_there_are_figures_but_no_losses(zoo: Path, pairs: Path, tmp_path: Path) -> None:
    alone = tmp_path / "zoo"
    shutil.copytree(zoo, alone, ignore=shutil.ignore_patterns("original*", "combined*"))
    found = measure_report(find_subjects(alone, ["crn"]), [0.01], find_pairs(pairs), "two voices")
    assert load_card(alone / "crn/pruned.json").size_ratio == found.systems[0].size_ratio
    row = table(markdown(found), "crn")[2]
    assert row[0] == "pruned"
    assert (row[6], row[-2:]) == ("–", ["–", "–"])
    assert "±" in row[7]


def test_a_zoo_may_lack_variants_but_not_all(zoo: Path, tmp_path: Path) -> None:
    found = find_subjects(zoo, ["fcn"])
    assert [subject.label for subject in found.found] == ["original"]
    assert found.failures == {}
    with pytest.raises(ZooError, match="no variant could be loaded"):
        find_subjects(tmp_path, ["crn", "fcn"])


@pytest.mark.parametrize("parent", [{"original": "another"}, {}])
def test_what_was_made_of_another_original_is_named_and_left_out(parent: dict[str, str], zoo: Path, tmp_path: Path) -> None:
    """Told by the fingerprint or, where a card has none, by the bytes of its original."""
    shutil.copytree(zoo / "fcn", tmp_path / "zoo/fcn")
    for target in (tmp_path / "zoo/fcn/pruned.onnx", tmp_path / "sweep/quantized.onnx"):
        add_variant(zoo / "fcn/original.onnx", target, str(target), **parent)
        card = load_card(target.with_suffix(".json"))
        if not parent:
            card.model_copy(update={"size_ratio": 0.9 * card.size_ratio}).save(target.with_suffix(".json"))
    found = find_subjects(tmp_path / "zoo", ["fcn"], tmp_path / "sweep")
    assert [subject.label for subject in found.found] == ["original"]
    assert found.failures.keys() == {"fcn/pruned", str(tmp_path / "sweep/quantized.onnx")}
    assert all("made of another" in reason for reason in found.failures.values())


def test_the_shipped_variants_were_made_of_the_shipped_originals() -> None:
    for family in FAMILIES:
        cards = [load_card(SHIPPED / family / f"{variant}.json") for variant in VARIANTS]
        assert all(card.made_of(cards[0]) for card in cards[1:])


def test_user_errors_are_one_sentence_before_anything_is_measured(zoo: Path, pairs: Path, tmp_path: Path) -> None:
    other, file = tmp_path / "other.json", tmp_path / "file"
    other.write_text('{"set_name": "x"}')
    file.write_text("")
    here = ("--out", tmp_path / "out", "--zoo", zoo)
    cases = [
        (CorpusError, "not a folder", ("--pairs", tmp_path / "nowhere", *here)),
        (ZooError, "no variant", ("--pairs", pairs, "--out", tmp_path, "--zoo", tmp_path)),
        (EvaluationError, "no .onnx file", ("--pairs", pairs, "--sweep", tmp_path / "out", *here)),
        (EvaluationError, "cannot be read", ("--from", tmp_path / "none.json", *here[:2])),
        (EvaluationError, "is not a report", ("--from", other, *here[:2])),
        (EvaluationError, "cannot be made", ("--pairs", pairs, "--zoo", zoo, "--out", file)),
    ]
    for kind, words, arguments in cases:
        error = call(*arguments).exception
        assert isinstance(error, kind), (arguments, error)
        assert words in str(error)
        assert "\n" not in str(error)
        assert kind in cli.USER_ERRORS
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_fit_together_are_usage_errors(pairs: Path, tmp_path: Path) -> None:
    for arguments in (
        (),
        ("--pairs", pairs, "--from", "a.json"),
        ("--from", "a.json", "--sweep", "b"),
        ("--from", "a.json", "--zoo", "b"),
        ("--from", "a.json", "--jobs", 1),
        ("--from", "a.json", "--seconds", 1),
        ("--from", "a.json", "--set-name", "b"),
        ("--models", "crn,dtln"),
    ):
        assert call(*arguments, "--out", tmp_path / "out").exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_report_that_lacks_the_families_asked_for_is_not_drawn(measured: tuple[Path, str], tmp_path: Path) -> None:
    content = json.loads((measured[0] / "report.json").read_text())
    content["systems"] = [row for row in content["systems"] if row["family"] == "crn"]
    (tmp_path / "crn.json").write_text(json.dumps(content))
    error = call("--from", tmp_path / "crn.json", "--models", "fcn", "--out", tmp_path / "out").exception
    assert isinstance(error, EvaluationError)
    assert "has no network of fcn" in str(error)
    assert not (tmp_path / "out").exists()


def test_a_report_whose_rows_do_not_fit_is_refused(measured: tuple[Path, str], tmp_path: Path) -> None:
    for name, spoil in (
        ("a row less", lambda content: content["systems"][0]["enhanced"].pop()),
        ("a measure less", lambda content: content["systems"][0]["enhanced"][0].pop("estoi")),
    ):
        content = json.loads((measured[0] / "report.json").read_text())
        spoil(content)
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        with pytest.raises(EvaluationError, match="is not a report"):
            load_report(path)
