"""``quietwire stream`` with a microphone and a speaker: sounddevice's interface, played by a module of the same name."""

import sys
import threading
import types

import numpy as np
import pytest

from ..service.client import tones
from ..service.files import read, write
from ..service.test_cli import assert_one_sentence

AUDIO = np.rint(tones(0.4, 48000) * 32768).astype(np.int16)


class FakeInput:
    """Hands its callback 20 ms at a time, from a thread of its own as PortAudio does."""

    def __init__(self, samplerate, blocksize, channels, dtype, callback):
        assert (samplerate, blocksize, channels, dtype) == (48000, 960, 1, "int16")
        self._callback = callback

    def __enter__(self):
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        for start in range(0, len(AUDIO), 960):
            self._callback(memoryview(AUDIO[start : start + 960].tobytes()), 960, None, None)

    def __exit__(self, *_):
        self._thread.join()


class FakeOutput:
    """Keeps what it is to play."""

    played = b""

    def __init__(self, samplerate, channels, dtype):
        assert (channels, dtype) == (1, "int16")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, data):
        FakeOutput.played += data


@pytest.fixture
def devices(monkeypatch):
    module = types.ModuleType("sounddevice")
    module.PortAudioError = type("PortAudioError", (Exception,), {})
    module.query_devices = lambda kind: {"default_samplerate": 48000.0}
    module.RawInputStream, module.RawOutputStream = FakeInput, FakeOutput
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    monkeypatch.setattr(FakeOutput, "played", b"")
    monkeypatch.setattr("quietwire.cli_stream.signal.signal", lambda *_: None)
    return module


@pytest.mark.parametrize("rate", [48000.0, 96000.0])
def test_the_microphone_is_enhanced_written_and_played(quietwire, running, devices, rate):
    devices.query_devices = lambda kind: {"default_samplerate": rate}
    options = ("--url", running.url, "--seconds", 0.4, "--variant", "pruned", "--play")
    code, out, _ = quietwire("stream", *options)
    assert code == 0
    assert '"samples_out": 19200' in out
    played = np.frombuffer(FakeOutput.played, np.int16)[-19200:]
    np.testing.assert_allclose(played, AUDIO, atol=100)


def test_a_microphone_that_is_pulled_out_ends_the_stream_in_one_sentence(quietwire, running, devices, monkeypatch):
    monkeypatch.setattr("quietwire.devices.SILENT_SECONDS", 0.3)
    code, _, error = quietwire("stream", "--url", running.url, "--seconds", 5, "--variant", "pruned")
    assert (code, error.splitlines()[-1]) == (1, "quietwire: the microphone gives nothing any more: is it still connected?")


def test_a_file_is_played(quietwire, running, devices, tmp_path):
    (tmp_path / "in.wav").write_bytes(write(tones(0.2), 16000))
    quietwire("stream", tmp_path / "in.wav", tmp_path / "out.wav", "--url", running.url, "--play", "--variant", "pruned")
    written = np.rint(read((tmp_path / "out.wav").read_bytes())[0][0] * 32768)
    assert np.array_equal(np.frombuffer(FakeOutput.played, np.int16)[-3200:], written)


def test_without_a_microphone_one_sentence_says_so(quietwire, running, devices):
    def query_devices(kind):
        raise devices.PortAudioError("no device")

    devices.query_devices = query_devices
    assert "microphone" in assert_one_sentence(quietwire("stream", "--url", running.url))


def test_without_sounddevice_one_sentence_says_what_to_install(quietwire, running, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert "quietwire[audio]" in assert_one_sentence(quietwire("stream", "--url", running.url))
