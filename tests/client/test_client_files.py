"""Files, comparisons and the list of variants through the Python client."""

import asyncio
import contextlib
import io
import socket
import threading

import numpy as np
import pytest

from models.offline import enhance
from quietwire import AsyncClient, Client
from quietwire.client import ConnectionLostError, ServerError

from ..service.client import noise
from ..service.files import read, write

AUDIO = noise(0.6, 2)
WAV = write(AUDIO, 16000, subtype="FLOAT")


@pytest.fixture
def client(running):
    with Client(running.http) as one:
        yield one


@pytest.mark.parametrize("kind", ["bytes", "path", "file"])
def test_a_recording_comes_back_enhanced(client, running, tmp_path, kind):
    (tmp_path / "in.wav").write_bytes(WAV)
    source = {"bytes": WAV, "path": tmp_path / "in.wav", "file": io.BytesIO(WAV)}[kind]
    result = client.enhance_file(source, model="fcn", variant="original")
    card = running.variant("fcn/original").card
    assert (result.model, result.variant, result.model_bytes) == ("fcn", "original", card.bytes)
    assert (result.size_ratio, result.audio_seconds) == (1, 0.6)
    assert result.latency_ms > 0
    np.testing.assert_allclose(read(result.audio)[0], enhance(running.variant("fcn/original"), AUDIO), atol=1e-4)


@pytest.mark.parametrize(("name", "format_"), [("out.wav", "WAV"), ("out.flac", "FLAC"), ("out.OGG", "OGG")])
def test_the_result_is_written_in_the_format_of_its_name(client, tmp_path, name, format_):
    result = client.enhance_file(WAV, tmp_path / name, attenuation_limit_db=0)
    assert result.audio is None
    assert read((tmp_path / name).read_bytes())[1].format == format_
    assert [path.name for path in tmp_path.iterdir()] == [name]


@contextlib.contextmanager
def answering(content):
    """The address of a server that gives one fixed answer and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 20)
                connection.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("target", [None, "out.wav"])
def test_an_answer_that_was_cut_short_is_no_result(tmp_path, target):
    path = target and tmp_path / target
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(1000)
    with answering(cut) as url, Client(url) as client, pytest.raises(ConnectionLostError):
        client.enhance_file(b"RIFF", path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_tls_is_an_error_of_ours(running):
    with (
        Client(running.http.replace("http:", "https:")) as client,
        pytest.raises(ConnectionLostError, match="cannot be reached"),
    ):
        client.variants()


def test_the_variants_are_listed(client, running):
    rows = client.variants()
    assert {f"{row.model}/{row.variant}" for row in rows} == {"crn/original", "crn/pruned", "fcn/original", "fcn/pruned"}
    assert sum(row.default for row in rows) == 1


def test_variants_are_compared_with_a_reference(client):
    answer = client.compare(WAV, write(noise(0.6, 2), 16000), variants=["pruned", "fcn/original"])
    assert [row["model"] for row in answer["variants"]] == ["crn", "fcn"]
    assert answer["unprocessed"]["si_sdr"] > 30


def test_the_same_with_asyncio(running):
    async def work():
        client = AsyncClient(running.http)
        return await asyncio.gather(client.enhance_file(WAV), client.variants(), client.compare(WAV, variants=["pruned"]))

    result, variants, comparison = asyncio.run(work())
    assert read(result.audio)[0].shape == (1, 9600)
    assert len(variants) == 4
    assert comparison["variants"][0]["variant"] == "pruned"


@pytest.mark.parametrize(
    ("data", "options", "code", "status"),
    [
        (b"no audio", {}, "unsupported_media", 415),
        (WAV, {"variant": "combined"}, "unknown_model", 404),
        (WAV, {"attenuation_limit_db": 101}, "bad_request", 400),
    ],
)
def test_what_the_server_refuses_is_an_exception_with_the_protocols_code(client, data, options, code, status):
    with pytest.raises(ServerError) as refused:
        client.enhance_file(data, **options)
    assert (refused.value.code, refused.value.status) == (code, status)


def test_a_file_over_the_limit_is_refused_though_it_is_still_being_sent(serve):
    with serve(max_file_bytes=5000) as running, Client(running.http) as client:
        with pytest.raises(ServerError) as refused:
            client.enhance_file(bytes(20_000_000))
        assert refused.value.code == "too_large"


def test_a_busy_server_says_when_to_try_again(serve):
    with serve(uploads=1) as running, Client(running.http) as client:
        with (
            running.runtime.files.work(),
            running.runtime.files.work(),
            pytest.raises(ServerError) as refused,
        ):
            client.enhance_file(WAV)
        assert (refused.value.code, refused.value.retryable) == ("overloaded", True)
        assert refused.value.retry_after > 0
        assert client.enhance_file(WAV).audio is not None


def test_a_server_that_is_not_there_is_an_exception():
    with pytest.raises(ConnectionLostError):
        Client("http://127.0.0.1:9").variants()


def test_a_refused_result_leaves_no_file(client, tmp_path):
    with pytest.raises(ServerError):
        client.enhance_file(b"no audio", tmp_path / "out.wav")
    assert list(tmp_path.iterdir()) == []
