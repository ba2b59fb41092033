"""The command line: files without a server, files through a server, and one sentence for every mistake."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.offline import enhance
from service.settings import Settings

from .client import noise
from .files import read, write

ROOT = Path(__file__).parents[2]
COMMANDS = ["serve", "settings", "enhance", "compare", "variants", "benchmark", "stream"]


def assert_one_sentence(answer):
    code, out, error = answer
    assert (code, out) == (1, "")
    assert error.startswith("quietwire: ")
    assert error.count("\n") == 1
    return error


def test_help_names_every_command(quietwire):
    code, out, _ = quietwire("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(quietwire, command):
    code, out, _ = quietwire(command, "--help")
    assert code == 0
    assert "Usage" in out


def test_settings_lists_every_setting(quietwire):
    code, out, _ = quietwire("settings")
    assert code == 0
    assert all(f"QUIETWIRE_{name.upper()}" in out for name in Settings.model_fields)


def test_variants_lists_what_a_zoo_holds(quietwire, zoo_folder, running):
    code, out, _ = quietwire("variants", "--zoo", zoo_folder)
    assert code == 0
    for name in ("crn/original", "crn/pruned", "fcn/original", "fcn/pruned"):
        (line,) = [line for line in out.splitlines() if name in line]
        assert str(running.variant(name).card.bytes) in line


def test_a_zoo_that_holds_nothing_is_named(quietwire, tmp_path):
    assert str(tmp_path) in assert_one_sentence(quietwire("variants", "--zoo", tmp_path))


def test_a_mistake_in_the_settings_is_one_sentence(quietwire):
    assert "port" in assert_one_sentence(quietwire("serve", "--port", 70000))


def test_a_file_is_enhanced(quietwire, zoo_folder, running, tmp_path):
    source, target = tmp_path / "in.wav", tmp_path / "new" / "out.wav"
    source.write_bytes(write(noise(1.2, channels=2), 16000, subtype="FLOAT"))
    code, _, report = quietwire("enhance", source, target, "--zoo", zoo_folder, "--model", "fcn")
    assert code == 0
    assert "1.20 s" in report
    expected = enhance(running.variant("fcn/original"), noise(1.2, channels=2))
    np.testing.assert_allclose(read(target.read_bytes())[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "written", "format_"), [("a.flac", "a.flac", "FLAC"), ("a.ogg", "a.ogg", "OGG"), ("a.mp3", "a.wav", "WAV")]
)
def test_the_name_decides_on_the_format(quietwire, zoo_folder, tmp_path, name, written, format_):
    source = tmp_path / "in.wav"
    source.write_bytes(write(noise(0.2), 16000))
    assert quietwire("enhance", source, tmp_path / name, "--zoo", zoo_folder)[0] == 0
    assert soundfile.info(tmp_path / written).format == format_


def test_the_attenuation_limit_is_kept(quietwire, zoo_folder, tmp_path):
    (tmp_path / "in.wav").write_bytes(write(noise(0.2), 16000))
    options = ("--zoo", zoo_folder, "--attenuation-limit-db", 0)
    assert quietwire("enhance", tmp_path / "in.wav", tmp_path / "out.wav", *options)[0] == 0
    assert np.array_equal(read((tmp_path / "out.wav").read_bytes())[0], noise(0.2))


def test_files_that_fail_do_not_stop_the_others_in_a_folder(quietwire, zoo_folder, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    for name, kind in {"a.wav": "WAV", "deep/c.FLAC": "FLAC"}.items():
        (source / name).write_bytes(write(noise(0.2), 16000, kind))
    (source / "b.wav").write_bytes(b"no audio at all")
    (source / "bb.wav").symlink_to("nowhere")
    (source / "notes.txt").write_text("not to be read")
    code, _, report = quietwire("enhance", source, target, "--zoo", zoo_folder)
    assert code == 1
    assert {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()} == {"a.wav", "deep/c.FLAC"}
    assert "b.wav: " in report
    assert "bb.wav: " in report
    assert "Traceback" not in report


def test_a_recording_is_never_overwritten(quietwire, zoo_folder, tmp_path):
    recording = tmp_path / "a.wav"
    recording.write_bytes(write(noise(0.2), 16000))
    before = recording.read_bytes()
    (tmp_path / "a.mp3").write_bytes(write(noise(0.2), 16000, "MP3", "MPEG_LAYER_III"))  # its result would be a.wav
    for source, target in ((recording, recording), (recording, tmp_path), (tmp_path, tmp_path)):
        code, _, report = quietwire("enhance", source, target, "--zoo", zoo_folder)
        assert code == 1
        assert "overwrite" in report
    assert recording.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp3", "a.wav"]


def test_two_recordings_with_one_name_do_not_end_in_one_file(quietwire, zoo_folder, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(write(noise(0.2), 16000))
    (tmp_path / "in" / "a.mp3").write_bytes(write(noise(0.5), 16000, "MP3", "MPEG_LAYER_III"))
    code, _, report = quietwire("enhance", tmp_path / "in", tmp_path / "out", "--zoo", zoo_folder)
    assert code == 1
    assert "a.wav" in report
    assert "overwrite" in report


@pytest.mark.parametrize("name", ["missing.wav", ".", f"{'a long name that is not broken up ' * 4}.wav", "[red]1[/red].wav"])
def test_a_source_without_audio_is_named(quietwire, zoo_folder, tmp_path, name):
    code, _, report = quietwire("enhance", tmp_path / name, tmp_path / "out.wav", "--zoo", zoo_folder)
    assert code == 1
    assert str(tmp_path / name) in report
    assert "Traceback" not in report
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_file_leaves_nothing_half_written(quietwire, zoo_folder, tmp_path):
    source = tmp_path / "in.flac"
    data = write(noise(3.0), 16000, "FLAC")
    source.write_bytes(data[: len(data) // 2])
    code, _, report = quietwire("enhance", source, tmp_path / "out.flac", "--zoo", zoo_folder)
    assert code == 1
    assert "damaged" in report
    assert list(tmp_path.iterdir()) == [source]


def test_serving_imports_nothing_that_only_training_needs():
    code = (
        "import sys, service.processes.server, quietwire.cli; "
        "print([n for n in ('torch', 'onnx', 'pesq', 'pystoi') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
