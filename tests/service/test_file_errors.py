"""What is wrong with an upload is answered in JSON, with one sentence and the protocol's status."""

import asyncio
import threading

import httpx
import numpy as np
import pytest

from models.offline import enhance

from .client import noise, stream, until
from .files import post, post_form, read, write

WAV = write(noise(0.2), 16000)
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


def assert_refused(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"code", "message"}
    assert body["code"] == code
    assert body["message"].endswith(".")
    assert "\n" not in body["message"]
    return body["message"]


@pytest.mark.parametrize(
    "query",
    [
        {"attenuation_limit_db": -1},
        {"attenuation_limit_db": 100.1},
        {"attenuation_limit_db": "nan"},
        {"attenuation_limit_db": "loud"},
        {"format": "mp3"},
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(running, query):
    assert next(iter(query)) in assert_refused(post(running.http, WAV, **query), 400, "bad_request")


@pytest.mark.parametrize("field", ["audio", ""])
def test_a_form_without_the_file_is_refused(running, field):
    assert_refused(post_form(running.http, WAV, field=field), 400, "bad_request")


def test_a_form_with_text_in_place_of_the_file_is_refused(running):
    answer = httpx.post(f"{running.http}/enhance", data={"file": "x"}, files={"other": b"x"})
    assert_refused(answer, 400, "bad_request")


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_malformed_form_is_refused(running, kind):
    assert_refused(post(running.http, b"no form at all", kind), 400, "bad_request")


@pytest.mark.parametrize("query", [{"variant": "combined"}, {"model": "rnnoise"}])
def test_what_is_not_loaded_is_refused_with_a_list_of_what_is(running, query):
    message = assert_refused(post(running.http, WAV, **query), 404, "unknown_model")
    assert "crn/original" in message
    assert "fcn/pruned" in message


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "video/mp4", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_refused(running, kind):
    assert_refused(post(running.http, WAV, kind), 415, "unsupported_media")


AIFF = write(noise(0.1), 16000, "AIFF")


@pytest.mark.parametrize(
    "data",
    [b"hello, world", np.random.default_rng(0).bytes(5000), b"RIFF\xff\xff\xff\xffWAVE", WAV[:20], AIFF, bytes(3000)],
    ids=["text", "random", "RIFF without more", "half a header", "AIFF", "zeros"],
)
@pytest.mark.parametrize("send", [post, post_form])
def test_what_is_no_supported_audio_file_is_refused(running, send, data):
    assert_refused(send(running.http, data), 415, "unsupported_media")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "no samples"),
        (write(np.zeros((1, 0)), 16000), "no samples"),
        (write(np.zeros((1, 0)), 16000, "OGG", "VORBIS"), "no samples"),
        (write(noise(0.1, channels=6), 16000), "6 channels"),
        (write(noise(0.1), 4000), "4000 Hz"),
        (write(noise(0.1), 384000), "384000 Hz"),
    ],
    ids=["nothing", "no samples", "no samples in Ogg", "six channels", "4 kHz", "384 kHz"],
)
def test_audio_that_cannot_be_enhanced_is_refused(running, data, word):
    assert word in assert_refused(post(running.http, data), 422, "unprocessable")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_flac_that_breaks_off_is_refused(running, share):
    data = write(noise(3.0), 16000, "FLAC")
    message = assert_refused(post(running.http, data[: round(len(data) * share)]), 422, "unprocessable")
    assert "damaged" in message


def test_a_flac_with_a_hole_is_refused(running):
    data = bytearray(write(noise(3.0), 16000, "FLAC"))
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    assert "damaged" in assert_refused(post(running.http, bytes(data)), 422, "unprocessable")


@pytest.mark.parametrize("send", [post, post_form])
def test_too_many_bytes_are_refused(serve, send):
    with serve(max_file_bytes=5000) as running:
        assert send(running.http, write(noise(0.1), 16000)).status_code == 200
        assert "5000" in assert_refused(send(running.http, write(noise(0.2), 16000)), 413, "too_large")


def test_far_too_many_bytes_are_refused_where_no_length_is_given_too(serve):
    def chunked():
        for _ in range(200):
            yield bytes(1024)

    def chunked_form():
        yield FORM
        yield from chunked()
        yield b"\r\n--x--\r\n"

    with serve(max_file_bytes=5000) as running:
        assert_refused(post(running.http, bytes(30 << 20)), 413, "too_large")
        assert_refused(post(running.http, chunked()), 413, "too_large")
        assert_refused(post(running.http, chunked_form(), "multipart/form-data; boundary=x"), 413, "too_large")


def test_an_upload_that_is_too_large_is_refused_before_its_end(serve):
    head = b"POST /enhance HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def begin():
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(head + b"30000\r\n" + bytes(0x30000) + b"\r\n")  # and no end
        try:
            return await asyncio.wait_for(reader.readline(), 20)
        finally:
            writer.close()
            await writer.wait_closed()

    with serve(max_file_bytes=5000) as running:
        assert b" 413 " in asyncio.run(begin())


def test_too_many_seconds_are_refused_however_few_bytes_they_take(serve):
    with serve(max_file_seconds=3) as running:
        assert post(running.http, write(np.zeros(48000), 16000, "FLAC")).status_code == 200
        assert "3 s" in assert_refused(post(running.http, write(np.zeros(48001), 16000, "FLAC")), 413, "too_large")
        assert_refused(post(running.http, write(np.zeros(1600_000), 16000, "FLAC")), 413, "too_large")


def test_who_stops_sending_is_refused_after_the_idle_time(serve):
    async def upload(kind, begin):
        async def halting():
            yield begin
            await asyncio.sleep(0.5)

        async with httpx.AsyncClient(base_url=running.http) as web:
            return await web.post("/enhance", content=halting(), headers={"Content-Type": kind})

    with serve(idle_seconds=0.1) as running:
        assert_refused(asyncio.run(upload("audio/wav", WAV[:1000])), 408, "idle")
        assert_refused(asyncio.run(upload("multipart/form-data; boundary=x", FORM + WAV[:1000])), 408, "idle")


def test_uploads_beyond_the_bound_are_sent_away_for_a_moment(serve, monkeypatch):
    import service.http.routes

    hold, entered = threading.Event(), threading.Semaphore(0)
    work = service.http.routes.enhance_file

    def held(*arguments, **options):
        entered.release()
        hold.wait()
        return work(*arguments, **options)

    async def crowd():
        async with httpx.AsyncClient(base_url=running.http, timeout=300) as web:

            def send():
                return web.post("/enhance", content=WAV, headers={"Content-Type": "audio/wav"})

            held_back = [asyncio.create_task(send()) for _ in range(2)]
            while running.runtime.files.worked_on < 2:
                await asyncio.sleep(0.005)
            refused = await send()
            hold.set()
            return refused, await asyncio.gather(*held_back), await send()

    monkeypatch.setattr(service.http.routes, "enhance_file", held)
    with serve(uploads=1) as running:
        try:
            refused, served, later = asyncio.run(crowd())
        finally:
            hold.set()
    assert_refused(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "2"
    assert [answer.status_code for answer in (*served, later)] == [200, 200, 200]


def test_uploads_and_live_streams_do_not_disturb_each_other(running):
    audio, file = noise(2.0, 30), noise(6.0, 31)

    async def both():
        async with httpx.AsyncClient(base_url=running.http, timeout=300) as web:
            query = {"model": "crn", "variant": "original"}
            data = write(file, 16000, subtype="FLOAT")
            uploads = [
                web.post("/enhance", content=data, headers={"Content-Type": "audio/wav"}, params=query) for _ in range(3)
            ]
            streams = [stream(running.url, audio, **query) for _ in range(3)]
            return await asyncio.gather(*uploads), await asyncio.gather(*streams)

    answers, results = asyncio.run(both())
    network = running.variant("crn/original")
    for answer in answers:
        np.testing.assert_allclose(read(answer.content)[0], enhance(network, file), atol=1e-4)
    for result in results:
        np.testing.assert_allclose(result.audio, enhance(network, audio), atol=1e-4)


@pytest.mark.parametrize("rate", [65537, 96001, 191999])
def test_a_rate_that_flac_cannot_hold_is_said(running, rate):
    data = write(noise(0.1, rate=rate), rate)
    assert_refused(post(running.http, data, format="flac"), 422, "unprocessable")
    assert post(running.http, data).status_code == 200


@pytest.mark.parametrize("path", ["/enhance", "/compare"])
def test_a_form_that_breaks_off_is_no_fault_of_the_server(serve, caplog, path):
    async def leave():
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        kind = "Content-Type: multipart/form-data; boundary=x"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: 9999\r\n\r\n"
        part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF'
        writer.write(head.encode() + part.encode())
        await until(lambda: running.runtime.files.coming == 1)
        writer.close()
        await until(lambda: running.runtime.files.coming == 0)
        return httpx.get(f"{running.http}/metrics").text

    with serve() as running:
        metrics = asyncio.run(leave())
    assert 'quietwire_errors_total{code="bad_request"} 1.0' in metrics
    assert 'quietwire_errors_total{code="internal"} 0.0' in metrics or 'code="internal"' not in metrics
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_result_that_wav_cannot_hold_is_refused(running, monkeypatch):
    monkeypatch.setattr("service.files.enhancing.WAV_BYTES", 9600)
    data = write(noise(0.2, channels=2), 16000, subtype="PCM_24")
    assert_refused(post(running.http, data), 413, "too_large")
    assert post(running.http, data, format="flac").status_code == 200
    assert post(running.http, write(noise(0.2), 16000)).status_code == 200
