"""Files that lie about themselves: each is refused in one sentence or enhanced, and nothing of it stays behind."""

import asyncio
import io
import tempfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from models.offline import enhance

from .client import noise, stream, tones, until
from .files import post, post_form, read, write
from .test_file_errors import assert_refused

IDENTITY = {"model": "fcn", "variant": "pruned", "attenuation_limit_db": 0}
WAV = write(noise(0.2), 16000)
SOUNDS = {
    "WAV": write(noise(2.5), 16000),
    "FLAC": write(noise(2.5), 16000, "FLAC"),
    "Ogg Vorbis": write(tones(2.5), 16000, "OGG", "VORBIS"),
    "Ogg Opus": write(tones(2.5), 16000, "OGG", "OPUS"),
    "MP3": write(tones(2.5), 16000, "MP3", "MPEG_LAYER_III"),
}


def open_uploads(folder):
    """Temporary files of uploads and answers that this process, in which the server is, still has open."""
    links = []
    for link in Path("/proc/self/fd").glob("*"):
        try:
            links.append(str(link.readlink()))
        except OSError:  # the one of the folder itself
            continue
    return [link for link in links if link.startswith((str(folder), "/memfd:upload"))]


@pytest.fixture(autouse=True)
def leaves_nothing(running, tmp_path, monkeypatch):
    """After each test no upload is counted any more, and no temporary file is there, with or without a name."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    runtime = running.runtime
    asyncio.run(until(lambda: runtime.files.idle))
    asyncio.run(until(lambda: not open_uploads(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def patched(data, at, replacement):
    changed = bytearray(data)
    changed[at : at + len(replacement)] = replacement
    return bytes(changed)


def wav(channels=1, rate=16000, bits=16, block=None, size=None, kind=1, samples=b"\0" * 640):
    """A WAV file that says of itself what it is told to."""
    block = channels * bits // 8 % 65536 if block is None else block
    fmt = kind.to_bytes(2, "little") + channels.to_bytes(2, "little") + rate.to_bytes(4, "little")
    fmt += (rate * block % (1 << 32)).to_bytes(4, "little") + block.to_bytes(2, "little") + bits.to_bytes(2, "little")
    data = b"data" + (len(samples) if size is None else size).to_bytes(4, "little") + samples
    body = b"WAVEfmt " + len(fmt).to_bytes(4, "little") + fmt + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


LIES = {
    "200 channels": wav(channels=200, samples=bytes(4000)),
    "65535 channels": wav(channels=65535),
    "no channels": wav(channels=0),
    "0 Hz": wav(rate=0),
    "1 Hz": wav(rate=1),
    "768 kHz": wav(rate=768_000),
    "4 GHz": wav(rate=(1 << 32) - 1),
    "no bits": wav(bits=0, block=0),
    "64 bits": wav(bits=64),
    "an unknown codec": wav(kind=0x7777),
    "no data": wav(samples=b""),
    "FLAC of 8 channels": write(noise(0.1, channels=8), 16000, "FLAC"),
    "Ogg of 200 channels": write(noise(0.1, channels=200), 16000, "OGG", "VORBIS"),
}


@pytest.mark.parametrize("data", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("send", [post, post_form])
def test_what_cannot_be_is_refused(running, send, data):
    answer = send(running.http, data)
    assert_refused(answer, answer.status_code, {415: "unsupported_media", 422: "unprocessable"}[answer.status_code])


@pytest.mark.parametrize("frames", [1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_number_of_frames_is_not_believed(running, frames):
    """RF64 states it in 64 bits, FLAC in 36: what is there is read, and no more is allocated."""
    audio = noise(0.7)
    rf64 = write(audio, 16000, "RF64")
    at = rf64.index(b"ds64") + 8
    lie = b"".join((min(value, (1 << 64) - 1)).to_bytes(8, "little") for value in (2 * frames, 2 * frames, frames))
    answer = post(running.http, patched(rf64, at, lie), **IDENTITY)
    if answer.status_code == 200:
        assert np.array_equal(read(answer.content)[0], audio)
    else:
        assert_refused(answer, answer.status_code, {415: "unsupported_media", 422: "unprocessable"}[answer.status_code])
    flac = write(audio, 16000, "FLAC")
    answer = post(running.http, patched(flac, 21, bytes([flac[21] | 0x0F]) + b"\xff" * 4), **IDENTITY)
    if answer.status_code == 200:
        assert np.array_equal(read(answer.content)[0], audio)
    else:
        assert "damaged" in assert_refused(answer, 422, "unprocessable")


def test_ten_minutes_of_silence_in_a_few_kilobytes_are_ten_minutes(running):
    data = write(np.zeros(600 * 8000), 8000, "FLAC")
    assert len(data) < 50_000
    kind = {"Content-Type": "audio/flac"}
    answer = httpx.post(f"{running.http}/enhance", content=data, headers=kind, params=IDENTITY, timeout=300)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-audio-seconds"] == "600.0000"
    assert len(answer.content) > 600 * 16000
    assert not np.frombuffer(answer.content[-9_000_000:], "<i2").any()


def test_many_times_the_longest_recording_in_a_few_kilobytes_is_refused(serve):
    with serve(max_file_seconds=60) as running:
        assert_refused(post(running.http, write(np.zeros(3600 * 8000), 8000, "FLAC")), 413, "too_large")
        assert post(running.http, WAV).status_code == 200


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_breaks_off_is_refused_or_enhanced_as_far_as_it_goes(running, kind, share):
    data = SOUNDS[kind]
    answer = post(running.http, data[: int(len(data) * share)], **IDENTITY)
    if answer.status_code == 200:
        assert read(answer.content)[0].shape[1] <= read(data)[0].shape[1]
    else:
        assert_refused(answer, answer.status_code, {415: "unsupported_media", 422: "unprocessable"}[answer.status_code])


@pytest.mark.parametrize("kind", SOUNDS)
def test_the_name_and_the_type_are_not_believed(running, kind):
    expected = read(post(running.http, SOUNDS[kind], **IDENTITY).content)[0]
    for told in ("audio/mpeg", "audio/flac", "audio/x-nothing", "application/octet-stream"):
        answer = post(running.http, SOUNDS[kind], told, **IDENTITY)
        assert np.array_equal(read(answer.content)[0], expected)
    files = {"file": ("../../etc/passwd\x00.exe", SOUNDS[kind], "text/html")}
    answer = httpx.post(f"{running.http}/enhance", files=files, params=IDENTITY, timeout=300)
    assert np.array_equal(read(answer.content)[0], expected)


# RAW has no head; for SD2 libsndfile would leave a file "._" in the current folder, and with that there takes MP3 from
# memory for SD2
OTHER_FORMATS = set(soundfile.available_formats()) - {"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "RAW", "SD2"}


@pytest.mark.parametrize("format_", sorted(OTHER_FORMATS))
def test_no_parser_of_another_format_is_reached(running, format_):
    file = io.BytesIO()
    try:
        soundfile.write(file, noise(0.1).T, 16000, format=format_)
    except (soundfile.LibsndfileError, ValueError):
        pytest.skip("cannot be written into memory")
    message = assert_refused(post(running.http, file.getvalue()), 415, "unsupported_media")
    assert message.startswith("The body is not an audio file")  # which is said before libsndfile sees it


def test_another_format_behind_a_tag_of_mp3_is_refused(running):
    tag = b"ID3\x03\x00\x00\x00\x00\x00\x76" + bytes(118)
    for format_ in ("AIFF", "AU", "CAF", "W64"):
        assert_refused(post(running.http, tag + write(noise(0.1), 16000, format_)), 415, "unsupported_media")


def test_live_streams_beside_hostile_files_give_what_they_give_alone(running):
    audio = noise(2.0, 40)
    query = {"model": "crn", "variant": "original"}

    async def both():
        async with httpx.AsyncClient(base_url=running.http, timeout=300) as web:

            async def send_all(data):
                for one in data:
                    await web.post("/enhance", content=one, headers={"Content-Type": "audio/wav"}, params=query)

            cut = [data[: len(data) // 2] for data in SOUNDS.values()]
            uploads = [send_all(LIES.values()), send_all(cut), send_all(SOUNDS.values())]
            streams = [stream(running.url, audio, **query) for _ in range(3)]
            return await asyncio.gather(asyncio.gather(*uploads), *streams)

    expected = enhance(running.variant("crn/original"), audio)
    for result in asyncio.run(both())[1:]:
        np.testing.assert_allclose(result.audio, expected, atol=1e-4)
