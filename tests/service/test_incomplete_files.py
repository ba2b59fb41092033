"""Files of which a part is missing are refused, whatever their format; those that only look like it are enhanced whole."""

import io
import struct

import numpy as np
import pytest
import soundfile

from .client import noise, tones
from .files import post, read, write
from .test_file_errors import assert_refused

IDENTITY = {"model": "fcn", "variant": "pruned", "attenuation_limit_db": 0}
VORBIS = write(noise(8.0), 16000, "OGG", "VORBIS")
OPUS = write(tones(8.0, 48000), 48000, "OGG", "OPUS")
MP3 = write(tones(3.0, 44100), 44100, "MP3", "MPEG_LAYER_III")
WAV = write(noise(1.0), 16000)


def pages(data):
    """The pages of an Ogg file."""
    found = []
    while data:
        size = 27 + data[26] + sum(data[27 : 27 + data[26]])
        found.append(data[:size])
        data = data[size:]
    return found


def length(running, data):
    """Samples that come back, which have to be all that are there."""
    answer = post(running.http, data, **IDENTITY)
    assert answer.status_code == 200, answer.text
    return read(answer.content)[0].shape[1]


def samples(data):
    return len(soundfile.read(io.BytesIO(data))[0])


def flipped(page):
    return page[:-10] + bytes([page[-10] ^ 0x55]) + page[-9:]


DAMAGE = {
    "a page less": lambda parts, middle: [*parts[:middle], *parts[middle + 1 :]],
    "a bit turned": lambda parts, middle: [*parts[:middle], flipped(parts[middle]), *parts[middle + 1 :]],
    "zeros": lambda parts, middle: [*parts[:middle], bytes(len(parts[middle])), *parts[middle + 1 :]],
    "cut within a page": lambda parts, middle: [*parts[:middle], parts[middle][:-10]],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("data", [VORBIS, OPUS], ids=["Vorbis", "Opus"])
def test_a_damaged_ogg_is_refused(running, data, damage):
    parts = pages(data)
    assert len(parts) > 6
    answer = post(running.http, b"".join(damage(parts, len(parts) // 2)), **IDENTITY)
    assert "send it whole" in assert_refused(answer, 422, "unprocessable")


@pytest.mark.parametrize("data", [VORBIS, OPUS], ids=["Vorbis", "Opus"])
def test_a_sound_ogg_is_enhanced_with_what_stands_behind_it_left_out(running, data):
    assert length(running, data + b"TAG" + bytes(125)) == samples(data)


def test_an_ogg_of_a_stream_that_never_ends_is_enhanced(running):
    assert 0 < length(running, b"".join(pages(VORBIS)[:-2])) < samples(VORBIS)


@pytest.mark.parametrize("data", [WAV, write(noise(1.0), 16000, "RF64"), MP3], ids=["WAV", "RF64", "MP3"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_what_states_more_than_there_is_is_refused(running, data, share):
    message = assert_refused(post(running.http, data[: int(share * len(data))], **IDENTITY), 422, "unprocessable")
    assert "send it whole" in message


def sized(size, riff=None, tail=b""):
    """``WAV`` with another size of its sound."""
    changed = WAV[:40] + struct.pack("<I", size) + WAV[44:] + tail
    return changed if riff is None else changed[:4] + struct.pack("<I", riff) + changed[8:]


@pytest.mark.parametrize(
    "data",
    [
        sized(0xFFFFFFFF, 0xFFFFFFFF),
        sized(0x7FFFF000),
        sized(0x7FFFFFFF),
        sized(0x80000000),
        sized(0, 0),
        sized(0),
        sized(32001),
        sized(32000, tail=b"LIST" + struct.pack("<I", 5) + b"INFO\0"),
        sized(32000, tail=bytes(3)),
    ],
    ids=["4 GB", "sox", "2 GB", "a bit more", "all 0", "data 0", "counts the padding", "odd chunk behind", "zeros behind"],
)
def test_a_wav_that_came_through_a_pipe_or_is_padded_is_enhanced_whole(running, data):
    answer = post(running.http, data, **IDENTITY)
    assert answer.status_code == 200, answer.text
    assert np.array_equal(read(answer.content)[0], read(WAV)[0])


@pytest.mark.parametrize("tail", [b"", b"LIST" + struct.pack("<I", 4) + b"INFO"], ids=["nothing", "a chunk"])
def test_a_wav_without_sound_stays_empty(running, tail):
    empty = WAV[:40] + bytes(4) + tail
    assert "no samples" in assert_refused(post(running.http, empty), 422, "unprocessable")


def id3(size, foot=False):
    head = b"ID3\x04\x00" + (b"\x10" if foot else b"\0") + bytes([0, 0, size >> 7, size & 127])
    return head + bytes(size) + (b"3DI" + head[3:] if foot else b"")


def test_a_tag_behind_an_mp3_is_no_recording_and_one_behind_the_tag_is(running):
    assert length(running, MP3 + id3(500)) == length(running, MP3 + id3(500, foot=True) + b"TAG" + bytes(125)) == samples(MP3)
    assert "holds more" in assert_refused(post(running.http, MP3 + id3(500) + MP3), 422, "unprocessable")


def test_an_mp3_that_states_no_length_is_enhanced_as_far_as_it_goes(running):
    assert 0 < length(running, MP3[: len(MP3) // 2].replace(b"Xing", bytes(4))) < samples(MP3)
