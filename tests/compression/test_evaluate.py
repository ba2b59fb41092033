"""Evaluation over a folder of generated pairs."""

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from compression.data.pairs import Pair, find_pairs
from compression.errors import CheckpointError, CorpusError, EvaluationError
from compression.evaluation.evaluate import evaluate, load_system
from compression.evaluation.result import PairResult, Result, markdown, score
from models.zoo import ZooError

NAMES = ("000_-5dB_hiss", "001_+5dB_hiss", "002_+5dB_hiss")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, voice) -> list[Pair]:
    folder = tmp_path_factory.mktemp("pairs")
    for index, name in enumerate(NAMES):
        clean = voice(2, index)
        hiss = np.random.default_rng(index).standard_normal(len(clean)).astype(np.float32)
        snr = -5 if index == 0 else 5
        noisy = clean + hiss * np.sqrt(np.mean(clean**2)) * 10 ** (-snr / 20)
        for kind, audio in (("clean", clean), ("noisy", noisy)):
            soundfile.write(folder / f"{name}_{kind}.flac", 0.2 * audio, 16000, subtype="PCM_24")
    return find_pairs(folder)


def run(load, pairs: list[Pair], **options: object) -> Result:
    return evaluate(load, pairs, system="test", set_name="three pairs", **options)


def test_a_bypass_changes_nothing_and_the_noise_is_measured_right(pairs: list[Pair]) -> None:
    result = run(lambda: lambda audio: audio, pairs)
    assert [pair.name for pair in result.pairs] == list(NAMES)
    for pair in result.pairs:
        assert pair.noisy["stoi"] == pytest.approx(pair.enhanced["stoi"])
        assert pair.noisy["si_sdr"] == pytest.approx(pair.snr_db, abs=0.3)
    evaluation = result.evaluation()
    assert evaluation.scores["pesq"] == evaluation.noisy["pesq"]
    assert evaluation.missing == {}


def test_processes_give_the_same_rows_in_the_same_order(pairs: list[Pair], small_zoo: Path) -> None:
    load, seen = partial(load_system, small_zoo / "crn/original.onnx"), []
    alone = run(load, pairs)
    together = run(load, pairs, jobs=2, progress=lambda: seen.append(1))
    assert len(seen) == 3
    for one, other in zip(alone.pairs, together.pairs, strict=True):
        assert one.name == other.name
        assert one.enhanced == pytest.approx(other.enhanced, abs=1e-6)


def test_known_measures_of_the_input_are_taken_as_they_are(pairs: list[Pair]) -> None:
    known = [{"pesq": 1.0, "stoi": 2.0, "estoi": 3.0, "si_sdr": float(index)} for index in range(3)]
    result = run(lambda: lambda audio: audio, pairs, noisy=known)
    assert [pair.noisy for pair in result.pairs] == known
    assert result.pairs[0].enhanced["si_sdr"] == pytest.approx(-5, abs=0.3)


def test_errors_in_processes_arrive_as_they_are(pairs: list[Pair], small_zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"pruned\.json"):
        run(partial(load_system, small_zoo / "crn/pruned.onnx"), pairs, jobs=2)


def test_unusable_systems_and_pairs_are_refused(pairs: list[Pair], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt"):
        load_system(tmp_path / "none.pt")
    broken = dataclasses.replace(pairs[0], clean=tmp_path / "broken.flac")
    broken.clean.write_bytes(b"fLaC")
    with pytest.raises(CorpusError, match=r"broken\.flac cannot be decoded"):
        run(lambda: lambda audio: audio, [broken])


def toy(*rows: tuple[str, float | None, float | None, float | None]) -> Result:
    """Results whose measures are all the same number."""

    def same(value: float | None) -> dict[str, float | None]:
        return dict.fromkeys(("pesq", "stoi", "estoi", "si_sdr"), value)

    return Result("toy", "toys", tuple(PairResult(name, snr, same(before), same(after)) for name, snr, before, after in rows))


def test_means_and_intervals_are_those_of_the_textbook() -> None:
    found = score([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    assert found.ci95 == pytest.approx(1.96 * math.sqrt(5 / 3) / 2)


def test_a_missing_measure_is_left_out_on_both_sides_and_counted() -> None:
    result = toy(("a", 0, 1.0, 2.0), ("b", 0, 9.0, None), ("c", 5, 3.0, 5.0))
    evaluation = result.evaluation()
    assert (evaluation.noisy["pesq"].mean, evaluation.scores["pesq"].mean) == (2.0, 3.5)
    assert evaluation.missing == {"pesq": 1, "stoi": 1, "estoi": 1, "si_sdr": 1}
    assert "PESQ for 1, STOI for 1" in markdown(result)


def test_one_value_is_too_few_for_a_card() -> None:
    with pytest.raises(EvaluationError, match="needs two pairs"):
        toy(("a", 0, 1.0, 2.0)).evaluation()


def test_the_table_has_input_output_gain_and_a_row_for_each_snr() -> None:
    text = markdown(toy(("a", -5.0, 1.0, 2.0), ("b", 5.0, 2.0, 3.5), ("c", 5.0, 3.0, 5.0)))
    assert "| noisy input | 3 | 2.000 ± 1.132 |" in text
    assert "| toy | 3 | 3.500 ± 1.697 |" in text
    assert "| gain | 3 | +1.500 ± 0.566 |" in text
    assert "| -5 dB | 1 | 1.000 → 2.000 |" in text
    assert "| +5 dB | 2 | 2.500 → 4.250 |" in text
    assert "input SNR" not in markdown(toy(("a", None, 1.0, 2.0)))


def test_json_has_a_row_for_each_pair(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    toy(("a", -5.0, 1.0, 2.0), ("b", None, 2.0, None)).save(path)
    content = json.loads(path.read_text())
    assert [row["name"] for row in content["rows"]] == ["a", "b"]
    assert content["rows"][1]["enhanced"]["pesq"] is None
    assert content["missing"]["pesq"] == 1
    assert content["by_snr"]["-5"]["pairs"] == 1
    with pytest.raises(EvaluationError, match="cannot be written"):
        toy(("a", 0, 1.0, 2.0)).save(tmp_path / "no/such/folder.json")
