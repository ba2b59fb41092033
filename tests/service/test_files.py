"""``POST /enhance``: a file comes back with the same length, rate, channels and sample width, enhanced."""

import io
import re

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from models.offline import enhance
from service.files.enhancing import enhance_file

from .client import noise, tones
from .files import post, post_form, read, write
from .test_file_errors import assert_refused

IDENTITY = {"model": "crn", "variant": "pruned"}
ORIGINAL = {"model": "crn", "variant": "original"}
KINDS = {
    "16-bit WAV": ("WAV", "PCM_16", "PCM_16"),
    "24-bit WAV": ("WAV", "PCM_24", "PCM_24"),
    "32-bit WAV": ("WAV", "PCM_32", "PCM_32"),
    "float WAV": ("WAV", "FLOAT", "FLOAT"),
    "double WAV": ("WAV", "DOUBLE", "DOUBLE"),
    "8-bit WAV": ("WAV", "PCM_U8", "PCM_U8"),
    "A-law WAV": ("WAV", "ALAW", "PCM_16"),
    "WAVEX": ("WAVEX", "PCM_16", "PCM_16"),
    "RF64": ("RF64", "PCM_16", "PCM_16"),
    "FLAC": ("FLAC", "PCM_16", "PCM_16"),
    "Ogg Vorbis": ("OGG", "VORBIS", "PCM_16"),
    "Ogg Opus": ("OGG", "OPUS", "PCM_16"),
    "MP3": ("MP3", "MPEG_LAYER_III", "PCM_16"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kind_of_file_comes_back_as_wav_of_the_same_shape(running, kind, channels):
    format_, subtype, expected = KINDS[kind]
    rate = 48000 if subtype == "OPUS" else 44100
    data = write(np.stack([tones(0.4, rate), tones(0.4, rate, (300, 1000))][:channels]), rate, format_, subtype)
    answer = post(running.http, data, "application/octet-stream", **IDENTITY)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/wav"
    given, _ = read(data)
    back, facts = read(answer.content)
    assert (facts.format, facts.subtype, facts.samplerate) == ("WAV", expected, rate)
    assert back.shape == given.shape
    rough = subtype in ("PCM_U8", "ALAW", "OPUS")  # coding noise above 8 kHz, or coarse steps
    np.testing.assert_allclose(back, given, atol=1 / 128 if rough else 1e-3)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 96000, 192000])
@pytest.mark.parametrize("model", ["crn", "fcn"])
def test_output_sample_n_belongs_to_input_sample_n_at_any_rate(running, rate, model):
    audio = np.stack([tones(2.3, rate, (180, 900, 3100)), tones(2.3, rate, (430, 2600), 0.05)])
    answer = post(running.http, write(audio, rate, subtype="FLOAT"), model=model, variant="pruned")
    back, facts = read(answer.content)
    assert facts.samplerate == rate
    np.testing.assert_allclose(back, audio, atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(samples=st.integers(1, 12000), rate=st.sampled_from([8000, 11025, 16000, 44100, 192000]), channels=st.integers(1, 2))
def test_the_length_stays_whatever_it_is(running, samples, rate, channels):
    answer = post(running.http, write(noise(samples / rate, 1, rate, channels), rate), model="fcn")
    assert read(answer.content)[0].shape == (channels, samples)


@pytest.mark.parametrize("name", ["crn/original", "fcn/original"])
@pytest.mark.parametrize("send", [post, post_form])
def test_the_result_is_what_the_network_gives_offline(running, name, send):
    audio = noise(2.7, 3, channels=2)
    model, variant = name.split("/")
    answer = send(running.http, write(audio, 16000, subtype="FLOAT"), model=model, variant=variant)
    np.testing.assert_allclose(read(answer.content)[0], enhance(running.variant(name), audio), atol=1e-4)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_limit_of_0_db_gives_the_input_back_bit_by_bit(running, rate, subtype):
    data = write(noise(0.7, 4, rate, 2, level=1.5), rate, subtype=subtype)
    answer = post(running.http, data, attenuation_limit_db=0, **ORIGINAL)
    assert np.array_equal(read(answer.content)[0], read(data)[0])


def test_a_limit_lets_that_much_of_the_input_through(running):
    audio = noise(0.5, 6)
    answer = post(running.http, write(audio, 16000, subtype="FLOAT"), attenuation_limit_db=20, **ORIGINAL)
    expected = 0.1 * audio + 0.9 * enhance(running.variant("crn/original"), audio)
    np.testing.assert_allclose(read(answer.content)[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("format_", "subtype", "expected"),
    [
        ("flac", "PCM_16", ("FLAC", "PCM_16", "audio/flac")),
        ("flac", "PCM_24", ("FLAC", "PCM_24", "audio/flac")),
        ("flac", "FLOAT", ("FLAC", "PCM_24", "audio/flac")),
        ("ogg", "PCM_16", ("OGG", "VORBIS", "audio/ogg")),
        ("wav", "PCM_24", ("WAV", "PCM_24", "audio/wav")),
    ],
)
@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_the_format_of_the_answer_can_be_chosen(running, rate, format_, subtype, expected):
    audio = tones(0.5, rate, (300, 1000))
    answer = post(running.http, write(audio, rate, subtype=subtype), format=format_, **IDENTITY)
    back, facts = read(answer.content)
    assert (facts.format, facts.subtype, answer.headers["content-type"]) == expected
    assert facts.samplerate == rate
    assert back.shape == (1, len(audio))


def test_the_headers_say_what_was_used_and_how_long_it_took(running):
    answer = post(running.http, write(noise(1.5, 0, 44100), 44100), model="fcn", variant="pruned")
    card = running.variant("fcn/pruned").card
    headers = answer.headers
    assert (headers["x-model"], headers["x-variant"]) == ("fcn", "pruned")
    assert headers["x-model-bytes"] == str(card.bytes)
    assert float(headers["x-size-ratio"]) == pytest.approx(card.size_ratio, abs=1e-4)
    assert float(headers["x-audio-seconds"]) == 1.5
    assert float(headers["x-latency-ms"]) > 0
    assert float(headers["x-real-time-factor"]) == pytest.approx(float(headers["x-latency-ms"]) / 1500, rel=0.05)
    assert re.fullmatch(r"decode;dur=[\d.]+, enhance;dur=[\d.]+, encode;dur=[\d.]+", headers["server-timing"])
    assert int(headers["content-length"]) == len(answer.content)


def test_values_that_are_no_sound_are_repaired(running):
    audio = noise(0.2)
    audio[0, 100:104] = [np.nan, np.inf, -np.inf, 1e30]
    answer = post(running.http, write(audio, 16000, subtype="FLOAT"), attenuation_limit_db=0)
    assert read(answer.content)[0][0, 100:104].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(("subtype", "step"), [("PCM_U8", 1 / 128), ("PCM_16", 1 / 32768)])
def test_a_result_is_rounded_and_not_cut_off(running, subtype, step):
    audio = noise(1.0, 3, level=0.2)
    given, _ = read(write(audio, 16000, subtype=subtype))
    expected = enhance(running.variant("crn/original"), given)
    for format_ in ("wav", "flac"):
        back, facts = read(post(running.http, write(audio, 16000, subtype=subtype), format=format_, **ORIGINAL).content)
        assert facts.subtype == (subtype if format_ == "wav" or subtype != "PCM_U8" else "PCM_S8")
        assert np.abs(back - expected).max() <= 0.51 * step
        assert abs((back - expected).mean()) < 0.05 * step


def test_a_flac_of_8_bits_comes_back_as_a_wav_of_8_bits(running):
    _, facts = read(post(running.http, write(noise(0.2), 16000, "FLAC", "PCM_S8"), **ORIGINAL).content)
    assert facts.subtype == "PCM_U8"


def test_a_flac_without_a_length_as_encoders_write_it_into_a_pipe_is_read_to_its_end(running):
    audio = noise(5.0, 8)
    data = bytearray(write(audio, 16000, "FLAC"))
    data[21] &= 0xF0  # the number of samples, 36 bits
    data[22:26] = bytes(4)
    answer = post(running.http, bytes(data), attenuation_limit_db=0)
    assert answer.status_code == 200, answer.text
    assert np.array_equal(read(answer.content)[0], audio)


def test_tags_at_the_end_of_an_mp3_are_no_audio(running):
    data = write(tones(1.0, 44100), 44100, "MP3", "MPEG_LAYER_III")
    for tag in (b"TAG" + bytes(125), b"APETAGEX" + bytes(100), bytes(3000)):
        assert post(running.http, data + tag, **IDENTITY).headers["x-audio-seconds"] == "1.0000"


@pytest.mark.parametrize(("format_", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_a_second_recording_in_a_file_is_not_passed_over(running, format_, subtype):
    one, other = (write(tones(seconds, 48000), 48000, format_, subtype) for seconds in (0.5, 3.0))
    for data in (one + other, other + one, one + one):
        assert_refused(post(running.http, data, **IDENTITY), 422, "unprocessable")


def test_an_mp3_that_says_nothing_of_its_length_is_read_whole_or_refused(running):
    whole = io.BytesIO()
    loud = noise(10.0, rate=44100) * (np.arange(441000) > 200000)  # few bits a frame, then many
    soundfile.write(whole, loud.T, 44100, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)
    data = whole.getvalue()
    frames = [at for at in range(len(data)) if data[at : at + 2] in (b"\xff\xfb", b"\xff\xfa")]
    answer = post(running.http, data[frames[1] :], **IDENTITY)  # without the first frame, which counts the others
    assert answer.status_code == 422 or float(answer.headers["x-audio-seconds"]) > 9.9


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_without_a_length_as_encoders_write_it_into_a_pipe_is_read_to_its_end(running, size):
    audio = noise(0.5, 9)
    data = bytearray(write(audio, 16000))
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = size.to_bytes(4, "little")
    assert np.array_equal(read(post(running.http, bytes(data), attenuation_limit_db=0).content)[0], audio)


class Full(io.BytesIO):
    """A file on a full disk, which notices when what is in its buffer has to go."""

    def seek(self, offset, whence=0):
        if self.tell() > 20000:
            raise OSError(28, "No space left on device")
        return super().seek(offset, whence)


@pytest.mark.parametrize("format_", ["wav", "flac"])
def test_a_disk_that_is_full_at_a_seek_is_raised_and_not_printed(running, capfd, format_):
    source = io.BytesIO(write(noise(3.0), 16000))
    with pytest.raises(OSError, match="No space left"):
        enhance_file(source, Full(), running.variant("crn/pruned"), format_=format_)
    assert "Traceback" not in capfd.readouterr().err
