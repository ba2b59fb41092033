"""Noise alone and clean speech at several levels."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from compression import cli
from compression.errors import CorpusError, EvaluationError
from compression.evaluation.conditions import LEVELS_DBFS, at_level, choose_recordings, markdown, measure_conditions

RATE = 16000


@pytest.fixture(scope="module")
def hiss() -> list[np.ndarray]:
    return [0.1 * np.random.default_rng(seed).standard_normal(3 * RATE).astype(np.float32) for seed in range(2)]


def test_noise_is_measured_before_and_after_the_first_half_second(hiss: list[np.ndarray]) -> None:
    def slow(audio: np.ndarray) -> np.ndarray:
        gain = np.where(np.arange(len(audio)) < RATE // 2, 0.1, 0.01)
        return (gain * audio).astype(np.float32)

    found = measure_conditions(slow, hiss, [], "slow")
    assert [row.level_dbfs for row in found.noise_alone] == list(LEVELS_DBFS)
    for row in found.noise_alone:
        assert (row.beginning, row.later, row.least) == pytest.approx((20, 40, 40), abs=0.01)
    assert not found.clean_speech


def test_the_noise_that_is_lowered_least_is_told(hiss: list[np.ndarray]) -> None:
    gains = iter([0.1, 0.001] * len(LEVELS_DBFS))
    found = measure_conditions(lambda audio: next(gains) * audio, hiss, [], "fickle")
    assert found.noise_alone[1].least == pytest.approx(20, abs=0.01)
    assert found.noise_alone[1].later == pytest.approx(40, abs=0.01)


def test_silence_counts_as_the_floor_and_not_as_infinity(hiss: list[np.ndarray]) -> None:
    found = measure_conditions(np.zeros_like, hiss, [], "mute")
    assert found.noise_alone[1].later == pytest.approx(72, abs=0.1)  # -28 dBFS to the floor of -100 dBFS


def test_clean_speech_that_stays_as_it_is_has_the_best_pesq(voice) -> None:
    voices = [voice(3, seed) for seed in range(2)]
    found = measure_conditions(lambda audio: audio, [], voices, "bypass")
    for row in found.clean_speech:
        assert row.pesq == pytest.approx(4.644, abs=0.001)
        assert row.level_change == pytest.approx(0, abs=1e-6)
        assert (row.lost, row.most_lost) == (0, 0)
    half = measure_conditions(lambda audio: audio / 2, [], voices, "half")
    assert half.clean_speech[0].level_change == pytest.approx(-6.02, abs=0.01)


def test_speech_that_is_taken_for_noise_is_told_where_the_mean_level_hides_it(hiss: list[np.ndarray]) -> None:
    """A second of three loud, two that are quieter: of these the last goes out 12 dB lower, in one of two recordings."""
    falling = hiss[0] * np.repeat([1.0, 0.3, 0.3], RATE).astype(np.float32)
    silence = np.zeros(RATE, np.float32)  # is no speech, so nothing of it is lost
    cut = np.repeat([1.0, 1.0, 0.25, 0.0], RATE).astype(np.float32)
    gains = iter([cut, np.ones_like(cut)] * len(LEVELS_DBFS))
    voices = [np.append(falling, silence)] * 2
    for row in measure_conditions(lambda audio: audio * next(gains), [], voices, "forgetful").clean_speech:
        assert row.most_lost == pytest.approx(100 / 3, abs=0.1)
        assert row.lost == pytest.approx(100 / 6, abs=0.1)
        assert row.level_change > -0.5


def test_speech_of_which_nothing_is_left_has_no_score(voice) -> None:
    with pytest.raises(CorpusError, match="PESQ is not defined"):
        measure_conditions(np.zeros_like, [], [voice(3)], "mute")


def test_a_system_that_gives_no_numbers_is_refused(hiss: list[np.ndarray], voice) -> None:
    for noises, voices in ((hiss, []), ([], [voice(3)])):
        with pytest.raises(EvaluationError, match="no finite numbers"):
            measure_conditions(lambda audio: np.full_like(audio, np.nan), noises, voices, "broken")


def test_a_folder_of_silence_is_not_called_one_of_short_recordings(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(7 * RATE), RATE)
    with pytest.raises(CorpusError, match="in which something is heard"):
        choose_recordings(tmp_path, 3)


def test_recordings_of_which_nothing_is_left_are_counted(voice) -> None:
    heard = iter([True, False] * len(LEVELS_DBFS))
    measured = measure_conditions(lambda audio: audio * next(heard), [], [voice(3), voice(3)], "half mute")
    assert [row.muted for row in measured.clean_speech] == [1] * len(LEVELS_DBFS)


def test_a_level_is_kept_below_full_scale(hiss: list[np.ndarray]) -> None:
    assert np.sqrt(np.mean(at_level(hiss[0], -28.0) ** 2)) == pytest.approx(10 ** (-28 / 20), rel=1e-4)
    assert np.abs(at_level(hiss[0], -1.0)).max() == pytest.approx(1, rel=1e-6)


def test_recordings_are_spread_over_the_folder_and_cut(tmp_path: Path) -> None:
    for index in range(5):
        soundfile.write(tmp_path / f"{index}.wav", np.full(8 * RATE, 0.1 * (index + 1)), RATE)
    soundfile.write(tmp_path / "short.wav", np.full(RATE, 0.9), RATE)
    soundfile.write(tmp_path / "silent.wav", np.append(np.zeros(7 * RATE), np.ones(RATE)), RATE)  # where it is heard
    chosen = choose_recordings(tmp_path, 3)
    assert [len(audio) for audio in chosen] == [6 * RATE] * 3
    assert [audio[0] for audio in chosen] == pytest.approx([0.1, 0.4, 0.5], abs=1e-4)  # the nearest that can be used
    assert len(choose_recordings(tmp_path, 99)) == 5


def test_a_folder_of_short_recordings_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(RATE, 0.9), RATE)
    with pytest.raises(CorpusError, match="2 seconds"):
        choose_recordings(tmp_path, 3)


def test_the_command_prints_tables_and_writes_the_figures(
    recordings: Path, small_zoo: Path, tmp_path: Path, hiss: list[np.ndarray]
) -> None:
    app = typer.Typer()
    cli.register(app)
    folders = ["--noise", str(recordings / "noise"), "--speech", str(recordings / "speech")]
    target = tmp_path / "conditions.json"
    result = CliRunner().invoke(app, ["conditions", "crn/original", *folders, "--zoo", str(small_zoo), "--json", str(target)])
    assert result.exit_code == 0, result.output
    found = json.loads(target.read_text())
    assert found["recordings"] == {"noise": 1, "speech": 2}
    assert f"| -28 dBFS | {found['noise_alone'][1]['beginning']:.1f} |" in result.output
    assert f"| -45 dBFS | {found['clean_speech'][0]['pesq']:.2f} |" in result.output
    assert CliRunner().invoke(app, ["conditions", "crn/original"]).exit_code == 2

    measured = measure_conditions(lambda audio: audio, hiss, [], "bypass")
    assert "Clean speech" not in markdown(measured)
    with pytest.raises(EvaluationError, match="cannot be written"):
        measured.save(tmp_path / "missing" / "x.json")
