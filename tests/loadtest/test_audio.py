"""The speech that the microphones hear."""

import numpy as np
import pytest
import soundfile

from loadtest.audio import SHIPPED, load_recordings, make_recording
from loadtest.errors import LoadtestError


def sine(seconds, rate):
    return 0.5 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)


def test_the_shipped_speech_is_small_and_used_where_none_is_named():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 200_000
    recordings = load_recordings([], 16000, 20, 30, 50)
    assert [one.name for one in recordings] == ["english.flac", "german.flac"]
    assert all(len(one.samples) > 2.5 * 16000 and np.abs(one.samples).max() > 10_000 for one in recordings)


def test_messages_are_one_pass_in_whole_chunks():
    recording = make_recording("a", np.arange(1, 1001, dtype=np.int16), 16000, 20)
    messages = recording.messages()
    assert [len(message) for message in messages] == [640] * 4
    np.testing.assert_array_equal(np.frombuffer(b"".join(messages), "<i2")[:1000], np.arange(1, 1001))
    assert not any(messages[3][80:])


def test_any_rate_and_stereo_become_mono_at_the_rate_asked_for(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([sine(1, 44100)] * 2, axis=1), 44100)
    (recording,) = load_recordings([tmp_path / "a.wav"], 8000, 20, 30, 1)
    assert (recording.rate, recording.chunk, len(recording.samples)) == (8000, 160, 8000)
    np.testing.assert_allclose(recording.samples[200:-200] / 32768, sine(1, 8000)[200:-200], atol=2e-3)


def test_folders_are_read_in_order_and_no_further_than_needed(tmp_path):
    for name in ("c.wav", "a.wav", "b.flac"):
        soundfile.write(tmp_path / name, sine(0.1, 16000), 16000)
    assert [one.name for one in load_recordings([tmp_path], 16000, 20, 30, 2)] == ["a.wav", "b.flac"]


def test_long_files_are_cut(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(1, 16000), 16000)
    assert len(load_recordings([tmp_path / "a.wav"], 16000, 20, 0.5, 1)[0].samples) == 8000


@pytest.mark.parametrize("name", ["missing.wav", "broken.wav", "silent.wav", "empty"])
def test_what_holds_no_speech_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), 16000)
    with pytest.raises(LoadtestError, match=name):
        load_recordings([tmp_path / name], 16000, 20, 30, 1)


def test_a_chunk_must_be_whole_samples():
    with pytest.raises(LoadtestError, match="whole number"):
        load_recordings([], 22050, 15, 30, 1)
