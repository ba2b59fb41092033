"""Live streams of the Python client, synchronous and asyncio, over real sockets."""

import asyncio
import subprocess
import sys
import threading

import numpy as np
import pytest
from websockets.asyncio.server import serve as serve_websockets

from models.offline import enhance
from quietwire import AsyncClient, Client, QuietwireError
from quietwire.client import ConnectionLostError, ServerError, WindowStats

from ..service.client import noise, tones

ORIGINAL = {"model": "crn", "variant": "original"}
IDENTITY = {"model": "crn", "variant": "pruned"}


def blocks(audio, size=320):
    """``[samples, …]`` in chunks."""
    return [audio[start : start + size] for start in range(0, len(audio), size)]


@pytest.fixture
def client(running):
    with Client(running.http) as one:
        yield one


def test_float_arrays_come_back_enhanced_and_as_many(client, running):
    audio = noise(1.0, 3)[0]
    output = list(client.enhance(blocks(audio), encoding="pcm_f32le", **ORIGINAL))
    assert {chunk.dtype for chunk in output} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.concatenate(output), enhance(running.variant("crn/original"), audio), atol=1e-4)


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", [np.int16, np.float32, bytes])
def test_output_is_of_the_kind_of_the_input_whatever_goes_over_the_wire(client, kind, channels, encoding):
    audio = np.stack([tones(0.3), tones(0.3, frequencies=(350, 1900))][:channels], axis=1)
    given = {np.int16: np.rint(audio * 32768).astype(np.int16), np.float32: audio}.get(kind)
    if kind is bytes:
        given = np.rint(audio * 32768).astype("<i2") if encoding == "pcm_s16le" else audio.astype("<f4")
    pieces = blocks(given if channels == 2 else given[:, 0])
    if kind is bytes:
        pieces = [piece.tobytes() for piece in pieces]
    output = list(client.enhance(pieces, encoding=encoding, channels=channels, **IDENTITY))
    if kind is bytes:
        dtype = "<i2" if encoding == "pcm_s16le" else "<f4"
        back = np.frombuffer(b"".join(output), dtype).reshape(-1, channels)
        scale = 32768 if encoding == "pcm_s16le" else 1
    else:
        assert {chunk.dtype for chunk in output} == {np.dtype(kind)}
        back = np.concatenate(output).reshape(-1, channels)
        scale = 32768 if kind is np.int16 else 1
    np.testing.assert_allclose(back / scale, audio, atol=3e-3)


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        (b"odd", ValueError),
        (np.zeros((10, 2), np.float32), ValueError),
        (np.zeros(10, np.int32), TypeError),
        (np.zeros(10, "complex64"), TypeError),
    ],
)
def test_a_chunk_that_is_no_audio_is_refused_before_it_is_sent(client, chunk, error):
    with client.stream() as stream:
        with pytest.raises(error):
            stream.send(chunk)
        assert stream.samples_sent == 0


def test_a_stream_says_what_is_in_force_what_it_took_and_how_it_ended(client, running):
    seen = []
    with client.stream(on_stats=seen.append, **ORIGINAL) as stream:
        assert (stream.info.model, stream.info.variant, stream.info.sample_rate) == ("crn", "original", 16000)
        assert stream.info.model_bytes == running.variant("crn/original").card.bytes
        output = list(stream.enhance(blocks(noise(0.5)[0])))
        assert stream.summary is not None
        assert stream.summary.samples_out == sum(map(len, output)) == stream.samples_delivered == stream.samples_sent == 8000
    assert [one.seq for one in seen] == list(range(25))
    assert stream.stats == seen[-1]


def test_statistics_can_come_by_the_second(client):
    with client.stream(stats="second") as stream:
        stream.send(noise(0.2)[0])
        while stream.stats is None:
            threading.Event().wait(0.02)
        assert isinstance(stream.stats, WindowStats)


def test_sending_and_receiving_by_hand(client):
    audio = tones(0.5)
    with client.stream(encoding="pcm_f32le", **IDENTITY) as stream:
        for chunk in blocks(audio):
            stream.send(chunk)
        summary = stream.end()
        assert summary.samples_in == 8000
        np.testing.assert_allclose(np.concatenate(list(stream)), audio, atol=2e-3)
        assert stream.receive() is None
        with pytest.raises(ValueError, match="ended"):
            stream.send(audio)
        with pytest.raises(ValueError, match="ended"):
            stream.configure(variant="original")


def test_a_chunk_longer_than_a_message_may_be_is_cut(serve):
    audio = noise(2.0)[0]
    with serve(max_message_bytes=1 << 18) as running, Client(running.http) as client:
        output = list(client.enhance([np.tile(audio, 10)], encoding="pcm_f32le", sample_rate=16000, **IDENTITY))
    assert sum(map(len, output)) == 320000


def test_variant_model_and_limit_change_while_it_streams(client, running):
    audio = noise(1.0, 4)[0]
    with client.stream(encoding="pcm_f32le", **ORIGINAL) as stream:
        stream.send(audio[:8000])
        info = stream.configure(model="fcn", variant="original")
        assert (info.model, stream.info.model) == ("fcn", "fcn")
        assert stream.configure(attenuation_limit_db=0).attenuation_limit_db == 0
        stream.send(audio[8000:])
        stream.end()
        output = np.concatenate(list(stream))
    np.testing.assert_allclose(output[:8000], enhance(running.variant("crn/original"), audio)[:8000], atol=1e-4)
    np.testing.assert_array_equal(output[8200:], audio[8200:])


@pytest.mark.parametrize(
    ("options", "code"), [({"variant": "combined"}, "unknown_model"), ({"sample_rate": 7999}, "bad_request")]
)
def test_a_refused_stream_is_an_exception_with_the_protocols_code(client, options, code):
    with pytest.raises(ServerError) as refused, client.stream(**options):
        pass
    assert refused.value.code == code
    assert not refused.value.retryable


def test_a_configuration_that_is_refused_ends_the_stream_with_its_code(client):
    with client.stream(**IDENTITY) as stream:
        with pytest.raises(QuietwireError) as refused:
            stream.configure(variant="combined")
        assert (refused.value.code, refused.value.status) == ("unknown_model", 4404)
        with pytest.raises(QuietwireError):
            stream.send(noise(0.1)[0])


def test_a_key_is_asked_for_and_given(serve):
    with serve(api_keys=["the key"]) as running:
        with pytest.raises(ServerError) as refused, Client(running.http) as client, client.stream():
            pass
        assert refused.value.code == "unauthorized"
        with Client(running.http, token="the key") as client:
            assert sum(map(len, client.enhance([noise(0.1)[0]]))) == 1600


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ws://127.0.0.1:9/ws/enhance"])
def test_a_server_that_is_not_there_is_an_exception(url):
    with pytest.raises(ConnectionLostError) as lost, Client(url) as client, client.stream():
        pass
    assert lost.value.code == "connection_lost"


def test_a_server_that_never_says_that_it_is_ready_is_given_up(monkeypatch):
    monkeypatch.setattr("quietwire.client.connection.OPEN_SECONDS", 0.5)

    async def work():
        async with serve_websockets(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with AsyncClient(f"http://127.0.0.1:{port}").stream():
                pass

    with pytest.raises(ConnectionLostError, match="ready"):
        asyncio.run(work())


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "nonsense", "ws://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="address"):
        Client(url)


def test_a_fault_of_the_source_reaches_the_reader(client):
    def broken():
        yield noise(0.1)[0]
        raise RuntimeError("the microphone fell down")

    with pytest.raises(RuntimeError, match="microphone"):
        list(client.enhance(broken()))


def test_a_stream_that_is_left_early_lets_the_source_go(client):
    finished = threading.Event()

    def endless():
        try:
            while not finished.is_set():
                yield noise(0.02)[0]
        finally:
            finished.set()

    output = client.enhance(endless())
    next(output)
    output.close()
    finished.set()


def test_a_source_that_gives_nothing_any_more_keeps_no_program_from_ending(running):
    code = (
        "import asyncio, queue, sys\n"
        "from quietwire import AsyncClient\n"
        "async def main():\n"
        "    output = AsyncClient(sys.argv[1]).enhance(iter(queue.SimpleQueue().get, None), variant='pruned')\n"
        "    try:\n"
        "        async with asyncio.timeout(1):\n"
        "            await anext(output)\n"
        "    except TimeoutError:\n"
        "        print('gave up')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, running.http], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "gave up\n"


def test_a_cancellation_while_a_stream_closes_is_not_lost(proxied):
    proxy = proxied()

    async def leave():
        async with AsyncClient(proxy.url).stream(**IDENTITY) as stream:
            await stream.send(noise(0.1)[0])
            proxy.hold()  # the other side is gone, and a connection waits for its answer before it is closed
            await asyncio.sleep(0.1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await stream.close()

    asyncio.run(leave())


def test_asyncio_streams_side_by_side(running):
    audio = [noise(0.5, seed)[0] for seed in range(4)]

    async def one(client, signal):
        async def source():
            for chunk in blocks(signal):
                yield chunk
                await asyncio.sleep(0)

        return np.concatenate([chunk async for chunk in client.enhance(source(), encoding="pcm_f32le", **ORIGINAL)])

    async def all_of_them():
        client = AsyncClient(running.http)
        return await asyncio.gather(*(one(client, signal) for signal in audio))

    for output, signal in zip(asyncio.run(all_of_them()), audio, strict=True):
        np.testing.assert_allclose(output, enhance(running.variant("crn/original"), signal), atol=1e-4)


def test_importing_the_client_imports_nothing_of_the_server():
    code = (
        "import sys; from quietwire import AsyncClient, Client; "
        "print([n for n in ('fastapi', 'uvicorn', 'onnxruntime', 'soundfile', 'pydantic', 'typer', 'service', 'models.zoo') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
