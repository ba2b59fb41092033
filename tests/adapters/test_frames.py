"""Frames of the same length out, late by a constant delay, in this process and over the wire."""

import asyncio
import threading
import time

import numpy as np
import pytest

from models.offline import enhance
from quietwire.adapters.frames import LocalEnhancer
from quietwire.adapters.wire import LONGEST_WAIT, WireEnhancer
from quietwire.client import ConnectionLostError
from quietwire.client.options import StreamOptions

from ..service.client import noise, tones, until

RATES = [8000, 16000, 24000, 44100, 48000]


def run(enhancer, audio, size, switches=None):
    """All output, ``[channels, samples + delay]``; ``switches`` maps frame numbers to on or off."""
    output = []
    for index, start in enumerate(range(0, audio.shape[1], size)):
        if switches and index in switches:
            enhancer.enabled = switches[index]
        frame = audio[:, start : start + size]
        output.append(enhancer.process(frame))
        assert output[-1].shape == frame.shape
    output.append(enhancer.flush())
    assert output[-1].shape == (len(audio), enhancer.delay)
    return np.concatenate(output, axis=1)


def stereo(seconds, rate):
    return np.stack([tones(seconds, rate, (220, 700, 2300)), tones(seconds, rate, (350, 1900))])


@pytest.mark.parametrize("name", ["crn/pruned", "fcn/pruned"])
@pytest.mark.parametrize("rate", RATES)
def test_sample_n_comes_out_as_sample_n_plus_the_delay_and_the_tail_is_kept(running, rate, name):
    audio = stereo(0.5, rate)
    enhancer = LocalEnhancer(running.variant(name), rate, 2)
    output = run(enhancer, audio, rate // 100)
    assert enhancer.delay / rate < 0.045
    assert not output[:, : enhancer.delay].any()
    np.testing.assert_allclose(output[:, enhancer.delay :], audio, atol=2e-3)


@pytest.mark.parametrize("size", [1, 37, 160, 333, 5000])
def test_frames_of_any_length_give_what_the_network_gives_offline(running, size):
    audio = noise(0.4, 5)
    enhancer = LocalEnhancer(running.variant("crn/original"), 16000)
    output = run(enhancer, audio, size)[:, enhancer.delay :]
    np.testing.assert_allclose(output, enhance(running.variant("crn/original"), audio), atol=1e-5)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_switching_off_and_on_changes_what_is_heard_and_not_when(running, rate):
    audio = noise(0.6, 6, rate)
    enhancer = LocalEnhancer(running.variant("crn/original"), rate)
    size, fade = rate // 100, rate // 100
    always = run(enhancer, audio, size)[:, enhancer.delay :]
    switched = run(enhancer, audio, size, {20: False, 40: True})[:, enhancer.delay :]
    np.testing.assert_array_equal(switched[:, : 20 * size], always[:, : 20 * size])
    np.testing.assert_array_equal(switched[:, 20 * size + fade : 40 * size], audio[:, 20 * size + fade : 40 * size])
    np.testing.assert_array_equal(switched[:, 40 * size + fade :], always[:, 40 * size + fade :])


def test_switching_between_the_sound_and_the_same_sound_is_not_heard(running):
    audio = stereo(0.5, 48000)
    enhancer = LocalEnhancer(running.variant("crn/pruned"), 48000, 2)
    output = run(enhancer, audio, 480, {10: False, 20: True, 25: False, 26: True})
    np.testing.assert_allclose(output[:, enhancer.delay :], audio, atol=2e-3)


def test_after_a_flush_nothing_is_left_of_what_was_before(running):
    enhancer = LocalEnhancer(running.variant("crn/original"), 48000)
    first = run(enhancer, noise(0.2, 7, 48000), 480)
    run(enhancer, noise(0.3, 8, 48000), 480)
    np.testing.assert_array_equal(run(enhancer, noise(0.2, 7, 48000), 480), first)


def test_a_signal_shorter_than_the_delay_is_kept(running):
    audio = tones(0.5)[None, 4000:4100]
    enhancer = LocalEnhancer(running.variant("fcn/pruned"), 16000)
    np.testing.assert_allclose(run(enhancer, audio, 50)[:, enhancer.delay :], audio, atol=2e-3)


def wire(address, rate=16000, channels=1, delay_ms=2000.0, **options):
    return WireEnhancer(address, rate, channels, delay_ms=delay_ms, options=StreamOptions(**options))


@pytest.mark.parametrize("rate", [16000, 48000])
def test_over_the_wire_it_is_the_same(running, rate):
    audio = stereo(0.6, rate)
    enhancer = wire(running.http, rate, 2, model="crn", variant="pruned")
    for _ in range(2):
        output = run(enhancer, audio, rate // 100, {10: False, 20: True})
        assert enhancer.late_samples == 0
        np.testing.assert_allclose(output[:, enhancer.delay :], audio, atol=2e-3)
    enhancer.close()


def test_over_the_wire_the_network_of_the_server_is_heard_where_it_is_on(running):
    audio = noise(0.6, 9)
    enhancer = wire(running.http, model="fcn", variant="original")
    output = run(enhancer, audio, 160, {30: False})[:, enhancer.delay :]
    np.testing.assert_allclose(output[:, :4800], enhance(running.variant("fcn/original"), audio)[:, :4800], atol=1e-4)
    np.testing.assert_array_equal(output[:, 4960:], audio[:, 4960:])
    enhancer.close()


def test_what_does_not_come_back_in_time_is_heard_as_it_was_in_its_place(running):
    audio = noise(0.5, 10)
    enhancer = wire(running.http, delay_ms=0, model="crn", variant="original")
    connected = threading.Event()
    enhancer._thread.loop.call_soon_threadsafe(connected.wait)  # nothing can come back before that
    output = enhancer.process(audio)
    connected.set()
    assert enhancer.flush().shape == (1, 0)
    np.testing.assert_array_equal(output, audio)
    assert enhancer.late_samples == 8000
    enhancer.close()


def test_without_a_server_the_call_goes_on(caplog):
    audio = noise(0.5, 11)
    enhancer = wire("http://127.0.0.1:9", delay_ms=50)
    output = run(enhancer, audio, 160)
    np.testing.assert_array_equal(output[:, enhancer.delay :], audio)
    assert enhancer.failure is not None
    assert "not removed" in caplog.text
    enhancer.close()


def test_a_broken_connection_is_made_again_behind_the_call(running, proxied):
    audio = tones(1.0)[None]
    enhancer = wire(proxied([20000]).url, model="crn", variant="pruned")
    output = run(enhancer, audio, 160)
    assert enhancer.late_samples == 0
    np.testing.assert_allclose(output[:, enhancer.delay :], audio, atol=2e-3)
    enhancer.close()


def at_pace(enhancer, audio, rate=16000):
    """Output of 10 ms at a time, as a call gives and takes them."""
    begin, output = time.monotonic(), []
    for start in range(0, audio.shape[1], rate // 100):
        time.sleep(max(0.0, begin + start / rate - time.monotonic()))
        output.append(enhancer.process(audio[:, start : start + rate // 100]))
    return np.concatenate(output, axis=1)


def test_a_silence_longer_than_the_server_waits_ends_nothing(serve):
    audio = tones(2.0)[None]
    with serve(idle_seconds=0.5) as server:
        enhancer = wire(server.http, model="crn", variant="pruned")
        before = at_pace(enhancer, audio[:, :11200])
        asyncio.run(until(lambda: server.runtime.engine.lanes == 0))  # nothing is sent meanwhile
        output = np.concatenate([before, at_pace(enhancer, audio[:, 11200:]), enhancer.flush()], axis=1)
        np.testing.assert_allclose(output[:, enhancer.delay :], audio, atol=2e-3)
        assert enhancer.late_samples < 0.05 * 16000  # the end of what was on its way
        assert enhancer.failure is None
        enhancer.close()


def test_a_server_that_is_full_is_asked_again(serve, monkeypatch):
    monkeypatch.setattr("quietwire.adapters.wire.FIRST_WAIT", 0.05)
    audio = noise(1.0, 12)
    with serve(max_streams=1) as server:
        other = wire(server.http, model="crn", variant="original")
        other.process(audio[:, :160])
        asyncio.run(until(lambda: server.runtime.engine.lanes == 1))
        enhancer = wire(server.http, model="crn", variant="original", delay_ms=0)
        np.testing.assert_array_equal(at_pace(enhancer, audio[:, :4800]), audio[:, :4800])
        assert enhancer.failure.code == "overloaded"
        other.close()
        asyncio.run(until(lambda: server.runtime.engine.lanes == 0))
        for _ in range(20):
            at_pace(enhancer, audio)
            if enhancer.failure is None:
                break
        assert enhancer.failure is None
        enhancer.close()


def test_a_server_that_is_away_for_hours_is_still_asked(running):
    enhancer = wire(running.http)
    for _ in range(1100):
        enhancer._outgoing = outgoing = asyncio.Queue()
        enhancer._ended(ConnectionLostError("away"), outgoing)
    assert enhancer._outgoing is None
    assert enhancer._wait == LONGEST_WAIT
    assert enhancer._next_attempt < float("inf")
    enhancer.close()


def test_what_the_server_refuses_is_asked_for_once(running):
    enhancer = wire(running.http, model="crn", variant="combined", delay_ms=0)
    at_pace(enhancer, noise(0.3, 13))
    assert enhancer.failure.code == "unknown_model"
    assert enhancer._next_attempt == float("inf")
    enhancer.close()
