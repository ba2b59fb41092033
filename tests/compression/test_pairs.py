"""Pairs on disk, and training batches from them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from compression.data.pair_mixing import PairCorpus, PairMixer
from compression.data.pairs import Pair, find_pairs, match_folders
from compression.errors import CorpusError

CPU = torch.device("cpu")


def save(path: Path, samples: int, level: float = 0.1, rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = level * np.random.default_rng(len(path.stem)).uniform(-1, 1, samples)
    soundfile.write(path, audio.astype(np.float32), rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("noisy/{}.wav", "clean/{}.wav"),
        ("noisy_testset_wav/{}.wav", "clean_testset_wav/{}.flac"),
        ("{}_noisy.flac", "{}_clean.flac"),
    ],
)
def test_every_layout_is_found_in_order_of_name(tmp_path: Path, names: tuple[str, str]) -> None:
    for stem in ("p2_002", "p1_001"):
        for name in names:
            save(tmp_path / name.format(stem), 100)
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["p1_001", "p2_002"]
    assert (pairs[0].noisy, pairs[0].clean) == tuple(tmp_path / name.format("p1_001") for name in names)


def test_a_test_set_goes_before_a_training_set(tmp_path: Path) -> None:
    for folder in ("noisy_trainset_28spk_wav", "clean_trainset_28spk_wav", "noisy_testset_wav", "clean_testset_wav"):
        save(tmp_path / folder / "p1.wav", 100)
    assert find_pairs(tmp_path)[0].noisy.parent.name == "noisy_testset_wav"


def test_several_choices_are_refused(tmp_path: Path) -> None:
    for folder in ("noisy", "clean", "noisy_b", "clean_b"):
        save(tmp_path / folder / "p1.wav", 100)
    with pytest.raises(CorpusError, match=r"several folders of pairs .*noisy_b.*leave one"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("names", [("noisy/p1", "clean/p1"), ("p1_noisy", "p1_clean")])
def test_two_files_of_the_same_name_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in (f"{names[0]}.wav", f"{names[0]}.flac", f"{names[1]}.wav"):
        save(tmp_path / name, 100)
    with pytest.raises(CorpusError, match=rf"{names[0]}\.flac and .*{names[0]}\.wav have the same name: remove one"):
        find_pairs(tmp_path)


def test_a_file_that_is_named_after_its_kind_alone_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "_noisy.wav", 100)
    with pytest.raises(CorpusError, match=r"_noisy\.wav has no name before its _noisy"):
        find_pairs(tmp_path)


def test_a_file_without_a_partner_is_named(tmp_path: Path) -> None:
    save(tmp_path / "noisy/p1.wav", 100)
    save(tmp_path / "clean/p1.wav", 100)
    save(tmp_path / "clean/p2.wav", 100)
    with pytest.raises(CorpusError, match=r"p2\.wav has no noisy partner .*add it or remove the file"):
        match_folders(tmp_path / "noisy", tmp_path / "clean")
    with pytest.raises(CorpusError, match="has no clean partner"):
        save(tmp_path / "flat/a_noisy.wav", 100)
        find_pairs(tmp_path / "flat")


def test_folders_without_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no pairs in .*noisy/ and clean/"):
        find_pairs(tmp_path)
    with pytest.raises(CorpusError, match="is not a folder"):
        find_pairs(tmp_path / "nowhere")


def test_pairs_of_different_lengths_are_refused(tmp_path: Path) -> None:
    pair = Pair("p1", save(tmp_path / "noisy/p1.wav", 1000), save(tmp_path / "clean/p1.wav", 900))
    with pytest.raises(CorpusError, match=r"noisy/p1\.wav and .*clean/p1\.wav are not equally long \(1000 and 900 samples"):
        pair.read()
    with pytest.raises(CorpusError, match="not equally long"):
        PairCorpus.load(tmp_path / "noisy", tmp_path / "clean", CPU)


@pytest.mark.parametrize(
    ("name", "snr"),
    [
        ("003_+10dB_public-place", 10),
        ("005_-5dB_street", -5),
        ("001_+0dB_x", 0),
        ("a_2.5dB", 2.5),
        ("p232_001", None),
        ("xdB_", None),
    ],
)
def test_the_input_snr_is_read_from_the_name(name: str, snr: float | None) -> None:
    assert Pair(name, Path(), Path()).snr_db == snr


@pytest.fixture
def corpus(tmp_path: Path) -> PairCorpus:
    """Two pairs at 48 kHz; the noisy signal is three times the clean one."""
    for name, samples in {"p1": 48000, "p22": 96000}.items():
        save(tmp_path / "noisy" / f"{name}.wav", samples, 0.3, 48000)
        save(tmp_path / "clean" / f"{name}.wav", samples, 0.1, 48000)
    return PairCorpus.load(tmp_path / "noisy", tmp_path / "clean", CPU, tmp_path / "cache")


def test_pair_windows_are_cut_at_the_same_places_at_random_levels(corpus: PairCorpus) -> None:
    noisy, clean = PairMixer(corpus, (-40, -20), 64, 4000)(1, 2)
    assert noisy.shape == clean.shape == (64, 4000)
    torch.testing.assert_close(clean, noisy / 3, atol=3e-4, rtol=0)
    levels = 20 * torch.log10(noisy.square().mean(1).sqrt())
    assert -40.1 < levels.min() < -35
    assert -25 < levels.max() < -19.9


def test_pair_batches_can_be_repeated(corpus: PairCorpus) -> None:
    mixer = PairMixer(corpus, (-40, -20), 4, 1000)
    assert torch.equal(mixer(1, 2)[0], mixer(1, 2)[0])
    assert not torch.equal(mixer(1, 2)[0], mixer(1, 3)[0])
    assert not torch.equal(mixer(1, 2)[0], mixer(2, 2)[0])


def test_the_held_out_part_of_pairs_stays_aligned(corpus: PairCorpus) -> None:
    training, held = corpus.hold_out(0.5)
    assert training.noisy.lengths.tolist() == training.clean.lengths.tolist() == [16000, 8000]
    assert held.noisy.starts.tolist() == held.clean.starts.tolist() == [24000]
