"""``quietwire compare``: the table, the enhanced files and the picture, without a server."""

import sys

import numpy as np
import pytest

from models.offline import enhance

from .client import noise, tones
from .files import read, write
from .test_cli import assert_one_sentence


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "noisy.wav"
    path.write_bytes(write(noise(1.0, channels=2), 16000, subtype="FLOAT"))
    return path


def test_every_variant_is_a_row_and_a_file(quietwire, zoo_folder, running, recording, tmp_path):
    code, out, said = quietwire("compare", recording, "--zoo", zoo_folder, "--out", tmp_path / "out", "--model", "fcn")
    assert code == 0
    for name in ("original", "pruned"):
        (line,) = [line for line in out.splitlines() if f"fcn/{name}" in line]
        assert str(running.variant(f"fcn/{name}").card.bytes) in line
        audio, _ = read((tmp_path / "out" / f"noisy-fcn-{name}.wav").read_bytes())
        np.testing.assert_allclose(audio, enhance(running.variant(f"fcn/{name}"), noise(1.0, channels=2)), atol=1e-4)
    assert "PESQ" not in out
    assert (tmp_path / "out" / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    assert "comparison.png" in said.replace("\n", "")
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_with_a_reference_there_are_measures(quietwire, zoo_folder, tmp_path):
    clean = tones(1.0)
    (tmp_path / "clean.flac").write_bytes(write(clean, 16000, "FLAC"))
    (tmp_path / "noisy.wav").write_bytes(write(clean + noise(1.0, level=0.02)[0], 16000))
    options = ("--reference", tmp_path / "clean.flac", "--variants", "pruned", "--zoo", zoo_folder, "--out", tmp_path / "out")
    code, out, _ = quietwire("compare", tmp_path / "noisy.wav", *options)
    assert code == 0
    rows = {line.split("|")[1].strip(): line.split("|") for line in out.splitlines() if line.startswith("|")}
    head = [cell.strip() for cell in rows["variant"]]
    at = head.index("SI-SDR dB")
    assert float(rows["crn/pruned"][at]) == pytest.approx(float(rows["unprocessed"][at]), abs=0.5)  # the identity


def test_without_matplotlib_one_line_says_so(quietwire, zoo_folder, recording, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "service.files.comparison_plot", raising=False)
    code, _, said = quietwire("compare", recording, "--zoo", zoo_folder, "--out", tmp_path / "out", "--variants", "pruned")
    assert code == 0
    assert "pip install matplotlib" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["noisy-crn-pruned.wav"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--variants", "loud"), "loud"),
        (("--variants", "combined"), "combined.json"),
        (("--reference", "missing.wav"), "missing.wav"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(quietwire, zoo_folder, recording, tmp_path, options, word):
    answer = quietwire("compare", recording, *options, "--zoo", zoo_folder, "--out", tmp_path / "out")
    assert word in assert_one_sentence(answer)


def test_a_recording_that_is_no_audio_makes_no_folder(quietwire, zoo_folder, tmp_path):
    (tmp_path / "noisy.wav").write_bytes(b"no audio")
    assert_one_sentence(quietwire("compare", tmp_path / "noisy.wav", "--zoo", zoo_folder, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
