"""Recordings in memory: any rate and format, windows, held-out parts, the cache."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from compression.audio import find_audio, read_mono
from compression.data.corpus import Corpus
from compression.errors import CorpusError

CPU = torch.device("cpu")


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def save(path: Path, audio: np.ndarray, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
    soundfile.write(path, audio, rate, **options)


def ramps(lengths: list[int]) -> Corpus:
    """Groups whose samples say where they lie: ``100 * group + position``."""
    samples = torch.cat([100 * group + torch.arange(length) for group, length in enumerate(lengths)])
    sizes = torch.tensor(lengths)
    return Corpus.of_groups(samples.to(torch.int16), sizes.cumsum(0) - sizes, sizes)


def test_a_stereo_file_at_44100_hz_becomes_mono_at_16000_hz(tmp_path: Path) -> None:
    left = tone(1, 44100)
    save(tmp_path / "a.wav", np.stack([left, 0 * left], axis=1), 44100)
    audio = read_mono(tmp_path / "a.wav")
    assert audio.shape == (16000,)
    np.testing.assert_allclose(audio[1000:-1000], 0.5 * tone(1, 16000)[1000:-1000], atol=1e-3)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"a{suffix}", tone(1, 16000))
    assert abs(len(read_mono(tmp_path / f"a{suffix}")) - 16000) <= 400
    assert find_audio(tmp_path) == [tmp_path / f"a{suffix}"]


def test_folders_without_audio_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not a folder"):
        find_audio(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="no audio below"):
        find_audio(tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(CorpusError, match=r"broken\.wav cannot be decoded .*remove or convert it"):
        Corpus.load(tmp_path, CPU, by_folder=False)
    (tmp_path / "broken.wav").unlink()
    save(tmp_path / "empty.wav", np.empty(0, np.float32))
    with pytest.raises(CorpusError, match="hold no samples"):
        Corpus.load(tmp_path, CPU, by_folder=False)


def test_groups_are_speakers_or_files(tmp_path: Path) -> None:
    for name, seconds in {"anna/1.wav": 1, "anna/2.flac": 2, "bert/1.wav": 1}.items():
        save(tmp_path / name, tone(seconds, 16000))
    assert Corpus.load(tmp_path, CPU, by_folder=True).lengths.tolist() == [48000, 16000]
    by_file = Corpus.load(tmp_path, CPU, by_folder=False)
    assert by_file.lengths.tolist() == [16000, 32000, 16000]
    assert by_file.starts.tolist() == [0, 16000, 48000]
    assert by_file.hours == pytest.approx(4 / 3600)


def test_a_linked_folder_is_a_speaker_as_any(tmp_path: Path) -> None:
    save(tmp_path / "speech/anna/1.wav", tone(1, 16000))
    for name in ("bert/1.wav", "bert/2.wav"):
        save(tmp_path / "elsewhere" / name, tone(1, 16000))
    (tmp_path / "speech/bert").symlink_to(tmp_path / "elsewhere/bert")
    assert [str(path.relative_to(tmp_path / "speech")) for path in find_audio(tmp_path / "speech")] == [
        "anna/1.wav",
        "bert/1.wav",
        "bert/2.wav",
    ]
    assert Corpus.load(tmp_path / "speech", CPU, by_folder=True).lengths.tolist() == [16000, 32000]
    (tmp_path / "linked").symlink_to(tmp_path / "speech")
    assert len(find_audio(tmp_path / "linked")) == 3


def test_links_that_lead_back_or_twice_to_a_folder_give_its_recordings_once(tmp_path: Path) -> None:
    for name in ("anna/1.wav", "bert/deep/1.wav"):
        save(tmp_path / name, tone(1, 16000))
    (tmp_path / "anna/all").symlink_to(tmp_path)
    (tmp_path / "bert/anna").symlink_to(tmp_path / "anna")
    (tmp_path / "bert/deep/self").symlink_to("self")
    assert find_audio(tmp_path) == [tmp_path / "anna/1.wav", tmp_path / "bert/deep/1.wav"]


def test_a_speaker_s_recordings_lie_together_where_folders_hold_folders(tmp_path: Path) -> None:
    for name, level in {"anna/1.wav": 0.1, "anna/bert/1.wav": 0.2, "anna/carl/1.wav": 0.3, "anna/z.wav": 0.1}.items():
        save(tmp_path / name, np.full(16000, level, dtype=np.float32))
    corpus = Corpus.load(tmp_path, CPU, by_folder=True)
    levels = corpus.cut(torch.arange(len(corpus.samples)))
    voices = [levels[start : start + length] for start, length in zip(corpus.starts, corpus.lengths, strict=True)]
    assert [len(voice) for voice in voices] == [32000, 16000, 16000]
    for voice, level in zip(voices, (0.1, 0.2, 0.3), strict=True):
        assert (voice - level).abs().max() < 1e-4


def test_windows_stay_in_their_group_and_repeat_a_short_one() -> None:
    windows = (ramps([5, 60]).windows(200, 20, torch.Generator().manual_seed(1)) * 32768).round().long()
    group, position = windows // 100, windows % 100
    assert (group == group[:, :1]).all()
    assert set(group[:, 0].tolist()) == {0, 1}
    sizes = torch.tensor([5, 60])[group[:, :1]]
    assert torch.equal(position[:, 1:], (position[:, :-1] + 1) % sizes)


def test_long_groups_are_drawn_by_the_root_of_their_length() -> None:
    places = ramps([1, 25]).places(6000, 1, torch.Generator().manual_seed(2))
    assert (places == 0).double().mean().item() == pytest.approx(1 / 6, abs=0.02)


def test_the_held_out_part_shares_no_sample_with_the_rest() -> None:
    first, rest = ramps([10, 20, 30]).hold_out(0.25)
    assert (first.starts.tolist(), first.lengths.tolist()) == ([0, 10, 30], [10, 20, 15])
    assert (rest.starts.tolist(), rest.lengths.tolist()) == ([45], [15])
    with pytest.raises(CorpusError, match="no samples"):
        ramps([3]).hold_out(0.01)


def test_the_cache_is_used_until_the_files_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache, folder = tmp_path / "cache/noise.npz", tmp_path / "noise"
    save(folder / "a.wav", tone(1, 16000))
    first = Corpus.load(folder, CPU, by_folder=False, cache=cache)
    assert "reading 1 files" in capsys.readouterr().err
    second = Corpus.load(folder, CPU, by_folder=False, cache=cache)
    assert capsys.readouterr().err == ""
    assert torch.equal(first.samples, second.samples)
    save(folder / "b.wav", tone(2, 16000))
    assert Corpus.load(folder, CPU, by_folder=False, cache=cache).lengths.tolist() == [16000, 32000]
    for damaged in (b"no archive", b""):
        cache.write_bytes(damaged)
        assert Corpus.load(folder, CPU, by_folder=False, cache=cache).lengths.tolist() == [16000, 32000]
    save(folder / "a.wav", tone(1, 16000)[::-1])  # of the same size, a moment later
    assert torch.equal(Corpus.load(folder, CPU, by_folder=False, cache=cache).samples[:16000], first.samples.flip(0))
    capsys.readouterr()
    shutil.copytree(folder, tmp_path / "other", copy_function=shutil.copy2)
    Corpus.load(tmp_path / "other", CPU, by_folder=False, cache=cache)
    assert "reading 2 files" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    save(tmp_path / "noise/a.wav", tone(1, 16000))
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match=r"file/noise\.npz cannot be written"):
        Corpus.load(tmp_path / "noise", CPU, by_folder=False, cache=tmp_path / "file/noise.npz")


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.1, np.nan, 0.2], np.float32), 16000, subtype="FLOAT")
    with pytest.raises(CorpusError, match="finite"):
        read_mono(tmp_path / "a.wav")
