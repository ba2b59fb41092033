"""``quietwire stream``: a file through a running server at real-time pace."""

import numpy as np
import pytest
import soundfile

from models.offline import enhance

from .client import noise, tones
from .files import read, write
from .test_cli import assert_one_sentence

SECONDS = 0.3


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "in.wav"
    path.write_bytes(write(noise(SECONDS, channels=2), 16000))
    return path


def test_a_file_comes_back_complete_and_enhanced(quietwire, running, recording, tmp_path):
    options = ("--url", running.url, "--model", "fcn", "--variant", "original")
    quietwire("stream", recording, tmp_path / "out.wav", *options)
    audio, facts = read((tmp_path / "out.wav").read_bytes())
    assert (facts.samplerate, facts.channels, facts.frames) == (16000, 2, 4800)
    expected = enhance(running.variant("fcn/original"), noise(SECONDS, channels=2))
    np.testing.assert_allclose(audio, expected, atol=1e-4)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_24", "PCM_U8"])
def test_samples_of_any_kind_are_heard(quietwire, running, tmp_path, subtype):
    soundfile.write(tmp_path / "in.wav", tones(SECONDS), 16000, subtype)
    quietwire("stream", tmp_path / "in.wav", tmp_path / "out.wav", "--url", running.url, "--attenuation-limit-db", 0)
    audio, _ = read((tmp_path / "out.wav").read_bytes())
    np.testing.assert_allclose(audio[0], tones(SECONDS), atol=1e-2 if subtype == "PCM_U8" else 1e-4)


def test_a_recording_is_not_overwritten_by_itself(quietwire, running, recording):
    before = recording.read_bytes()
    again = recording.parent / "." / recording.name
    assert "another file" in assert_one_sentence(quietwire("stream", recording, again, "--url", running.url))
    assert recording.read_bytes() == before


def test_it_says_what_is_in_force_and_what_it_took(quietwire, running, recording):
    code, out, error = quietwire("stream", recording, "--url", running.url)
    assert code == 0
    assert '"type": "ready"' in out
    assert '"samples_out": 4800' in out
    assert "latency" in error


def test_a_server_that_is_not_there_is_one_sentence(quietwire, recording):
    assert "quietwire serve" in assert_one_sentence(quietwire("stream", recording, "--url", "ws://127.0.0.1:9/ws/enhance"))


@pytest.mark.parametrize("url", ["http://127.0.0.1", "nonsense", "ws://"])
def test_an_address_that_is_none_is_one_sentence(quietwire, recording, url):
    assert_one_sentence(quietwire("stream", recording, "--url", url))


def test_a_server_that_is_no_quietwire_is_one_sentence(quietwire, running, recording):
    assert_one_sentence(quietwire("stream", recording, "--url", f"ws://127.0.0.1:{running.port}/elsewhere"))


@pytest.mark.parametrize("options", [("--variant", "combined"), ("--model", "rnn & noise")])
def test_what_the_server_refuses_is_one_sentence(quietwire, running, recording, options):
    assert "not loaded" in assert_one_sentence(quietwire("stream", recording, "--url", running.url, *options))


def test_a_key_is_sent(quietwire, serve, recording, tmp_path):
    with serve(api_keys=["the key"]) as running:
        assert "API key" in assert_one_sentence(quietwire("stream", recording, "--url", running.url))
        code, _, _ = quietwire("stream", recording, tmp_path / "out.wav", "--url", running.url, "--token", "the key")
    assert code == 0
    assert read((tmp_path / "out.wav").read_bytes())[1].frames == 4800


@pytest.mark.parametrize("name", ["missing.wav", "broken.wav"])
def test_a_file_that_is_no_audio_is_one_sentence(quietwire, running, tmp_path, name):
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    assert name in assert_one_sentence(quietwire("stream", tmp_path / name, "--url", running.url))


def test_a_target_that_cannot_be_written_is_said_before_the_stream(quietwire, running, recording, tmp_path):
    error = assert_one_sentence(quietwire("stream", recording, tmp_path / "none" / "out.wav", "--url", running.url))
    assert "out.wav" in error
