"""Connections that break: the stream goes on, nothing is lost, nothing is doubled, and what cannot be saved is said."""

import contextlib

import numpy as np
import pytest

from models.offline import enhance
from quietwire.client import Client, ConnectionLostError, Reconnect, ServerError

from ..service.client import noise, tones
from .test_stream import blocks

QUICK = Reconnect(attempts=5, first=0.01, longest=0.05)


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("cuts", [[5000], [20000, 3000, 7777], [700, 40000, 40000]])
def test_every_sample_comes_once_and_in_its_place_over_broken_connections(proxied, cuts, rate):
    audio = tones(1.5, rate)
    proxy, seen = proxied(cuts), []
    with Client(proxy.url, reconnect=QUICK) as client:
        options = {"model": "crn", "variant": "pruned", "encoding": "pcm_f32le", "sample_rate": rate}
        with client.stream(on_reconnect=seen.append, **options) as stream:
            output = np.concatenate(list(stream.enhance(blocks(audio))))
            assert stream.samples_sent == stream.samples_delivered == len(audio)
            assert stream.reconnections == len(seen) >= 1
    assert proxy.connections >= 1 + len(seen)
    np.testing.assert_allclose(output, audio, atol=2e-3)


def test_after_a_break_the_network_has_found_its_way_back(proxied, running):
    """What is sent again begins 0.3 s early, so a network with a memory soon gives what it would have given."""
    audio = noise(3.0, 7)[0]
    proxy = proxied([90000])
    with Client(proxy.url, reconnect=QUICK) as client:
        output = np.concatenate(list(client.enhance(blocks(audio), model="fcn", variant="original", encoding="pcm_f32le")))
    np.testing.assert_allclose(output, enhance(running.variant("fcn/original"), audio), atol=1e-4)


def test_a_configuration_keeps_its_place_over_a_break(proxied):
    audio = noise(2.0, 8)[0]
    options = {"model": "crn", "variant": "original", "encoding": "pcm_f32le"}
    with Client(proxied().url) as client, client.stream(**options) as stream:
        stream.send(audio[:16000])
        stream.configure(attenuation_limit_db=0)
        stream.send(audio[16000:])
        stream.end()
        whole = np.concatenate(list(stream))
    proxy = proxied()
    with Client(proxy.url, reconnect=QUICK) as client, client.stream(**options) as stream:
        stream.send(audio[:12000])
        pieces = [stream.receive()]
        stream.send(audio[12000:16000])
        assert stream.configure(attenuation_limit_db=0).attenuation_limit_db == 0
        proxy.cut()
        stream.send(audio[16000:])
        stream.end()
        broken = np.concatenate([*pieces, *stream])
        assert stream.reconnections == 1
    assert len(broken) == len(whole)
    np.testing.assert_array_equal(broken[16200:], whole[16200:])
    assert np.abs(broken[:16000] - audio[:16000]).max() > 0.01


def test_a_server_that_restarts_is_waited_for(serve):
    audio = tones(1.0)
    with contextlib.ExitStack() as stack:
        with serve() as first:
            client = stack.enter_context(Client(first.http, reconnect=Reconnect(attempts=40, first=0.05, longest=0.2)))
            stream = stack.enter_context(client.stream(model="crn", variant="pruned", encoding="pcm_f32le"))
            stream.send(audio[:8000])
            pieces = [stream.receive()]
        stack.enter_context(serve(port=first.port))
        stream.send(audio[8000:])
        stream.end()
        np.testing.assert_allclose(np.concatenate([*pieces, *stream]), audio, atol=2e-3)
        assert stream.reconnections == 1
        stack.callback(stream.close)


@pytest.mark.parametrize("attempts", [0, 2])
def test_a_stream_that_cannot_be_saved_gives_what_it_had_and_then_fails(proxied, attempts):
    audio = tones(1.0)
    proxy = proxied([30000] + [0] * 5)
    received = []
    with (
        Client(proxy.url, reconnect=Reconnect(attempts, 0.01, 0.02)) as client,
        client.stream(model="crn", variant="pruned", encoding="pcm_f32le") as stream,
    ):
        with pytest.raises(ConnectionLostError) as lost:
            received.extend(stream.enhance(blocks(audio)))
        assert lost.value.code == "connection_lost"
        output = np.concatenate(received)
        assert stream.samples_delivered == len(output) < len(audio)
    np.testing.assert_allclose(output, audio[: len(output)], atol=2e-3)
    assert proxy.connections == 1 + attempts


def test_what_another_connection_would_not_mend_is_not_tried_again(serve, proxied):
    with serve(idle_seconds=0.2) as running, Client(running.http, reconnect=QUICK) as client, client.stream() as stream:
        with pytest.raises(ServerError) as ended:
            stream.receive()
        assert (ended.value.code, ended.value.status, stream.reconnections) == ("idle", 4408, 0)


def test_delays_grow_and_are_bounded():
    delays = list(Reconnect(attempts=10, first=0.1, longest=2).delays())
    assert len(delays) == 10
    assert all(min(2, 0.1 * 2**n) / 2 <= delay <= min(2, 0.1 * 2**n) for n, delay in enumerate(delays))
