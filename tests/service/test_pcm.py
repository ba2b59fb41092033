"""Raw PCM: bytes to samples and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio import pcm
from service.errors import ServiceError

CHANNELS = st.integers(1, 2)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=400), channels=CHANNELS)
def test_16_bit_bytes_survive_the_way_there_and_back(data, channels):
    data = data[: len(data) // (2 * channels) * 2 * channels]
    audio, repaired = pcm.decode(data, "pcm_s16le", channels)
    assert pcm.encode(audio, "pcm_s16le") == data
    assert audio.shape == (channels, len(data) // 2 // channels)
    assert repaired == 0
    assert np.abs(audio).max(initial=0) <= 1


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-1, 1, width=32), max_size=60), channels=CHANNELS)
def test_float_bytes_survive_the_way_there_and_back(values, channels):
    data = np.array(values[: len(values) // channels * channels], "<f4").tobytes()
    audio, repaired = pcm.decode(data, "pcm_f32le", channels)
    assert pcm.encode(audio, "pcm_f32le") == data
    assert repaired == 0


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=60))
def test_any_floats_become_sound_and_the_count_is_of_those_changed(values):
    given_ = np.array(values, "<f4")
    audio, repaired = pcm.decode(given_.tobytes(), "pcm_f32le", 1)
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1
    sound = np.abs(given_) <= 1
    assert np.array_equal(audio[0, sound], given_[sound])
    assert repaired == np.count_nonzero(~sound)


def test_full_scale_and_channels_are_where_they_belong():
    data = np.array([-32768, 16384, 32767, 0], "<i2").tobytes()
    audio, _ = pcm.decode(data, "pcm_s16le", 2)
    assert audio.tolist() == [[-1, 32767 / 32768], [0.5, 0]]


@pytest.mark.parametrize(("value", "expected"), [(1.0, 32767), (-1.0, -32768), (3.0, 32767), (-3.0, -32768), (1.6 / 32768, 2)])
def test_16_bit_values_are_rounded_and_saturate(value, expected):
    assert np.frombuffer(pcm.encode(np.array([[value]], np.float32), "pcm_s16le"), "<i2").tolist() == [expected]


@pytest.mark.parametrize(("encoding", "channels", "frame"), [("pcm_s16le", 1, 2), ("pcm_s16le", 2, 4), ("pcm_f32le", 2, 8)])
def test_a_part_of_a_frame_is_refused(encoding, channels, frame):
    for size in set(range(3 * frame)) - {0, frame, 2 * frame}:
        with pytest.raises(ServiceError, match=f"{size} bytes .* {frame}-byte"):
            pcm.decode(bytes(size), encoding, channels)


@pytest.mark.parametrize(("data", "name"), [(b"RIFF....", "WAV"), (b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"ID3\x03", "MP3")])
def test_headers_are_recognised(data, name):
    with pytest.raises(ServiceError, match=f"{name} file"):
        pcm.refuse_header(data)


@pytest.mark.parametrize("data", [b"", b"RIF", b"riff", b"\0RIFF", bytes(100)])
def test_other_beginnings_are_not_taken_for_headers(data):
    pcm.refuse_header(data)
