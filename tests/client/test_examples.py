"""Every example runs as its first line says."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..service.client import noise
from ..service.files import read, write

ROOT = Path(__file__).parents[2]


def run(name, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "noisy.wav"
    path.write_bytes(write(noise(1.0), 16000))
    return path


def test_a_file_through_a_stream(running, recording, tmp_path):
    assert "16000 samples" in run("stream_file.py", recording, tmp_path / "out.wav", running.http)
    assert read((tmp_path / "out.wav").read_bytes())[0].shape == (1, 16000)


def test_switching_while_it_streams(running, recording):
    out = run("switch_variant.py", recording, running.http)
    assert "from sample 8000 on" in out
    assert "16000 of 16000 samples came back" in out


def test_files(running, recording, tmp_path):
    out = run("files.py", recording, tmp_path / "out.flac", running.http)
    assert "crn/pruned" in out
    assert "unknown_model" in out
    assert read((tmp_path / "out.flac").read_bytes())[1].format == "FLAC"


@pytest.mark.parametrize("name", ["pipecat", "livekit"])
@pytest.mark.parametrize("wire", [False, True])
def test_adapters(running, recording, name, wire):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'quietwire[{name}]'")
    (script,) = (ROOT / "examples").glob(f"{name}_*.py")
    out = run(script.name, recording, *([running.http] if wire else []))
    assert ("16000 samples in" if name == "pipecat" else "50 frames enhanced") in out


def test_every_example_is_tested():
    names = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert names == {"stream_file.py", "switch_variant.py", "files.py", "pipecat_filter.py", "livekit_processor.py"}
