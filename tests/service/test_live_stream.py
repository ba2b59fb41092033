"""What comes back is the network's output for what was sent, however it was cut and whoever else is there."""

import asyncio
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.offline import enhance

from .client import chunks, encode, live, noise, play, stream, tones

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 12345]
NAMES = ["crn/original", "fcn/original"]
MODELS = [{"model": "crn", "variant": "original"}, {"model": "fcn", "variant": "original"}]
IDENTITIES = [{"model": "crn", "variant": "pruned"}, {"model": "fcn", "variant": "pruned"}]


def near(actual, expected, tolerance=1e-4):
    np.testing.assert_allclose(actual, expected, atol=tolerance, rtol=0)


def name_of(query):
    return f"{query['model']}/{query['variant']}"


@pytest.mark.parametrize("query", MODELS, ids=name_of)
@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 2000)), max_size=15), seed=st.integers(0, 99))
def test_a_stream_in_any_cuts_gives_what_the_network_gives_offline(running_either_way, query, lengths, seed):
    audio = noise(0.35, seed)
    result = play(running_either_way.url, audio, lengths, **query)
    assert result.summary["samples_out"] == audio.shape[1]
    near(result.audio, enhance(running_either_way.variant(name_of(query)), audio))


def test_streams_of_all_kinds_at_once_give_what_each_gives_alone(running_either_way):
    async def alone():
        return [await stream(running_either_way.url, audio, lengths, **query) for audio, lengths, query in kinds]

    async def together():
        return await asyncio.gather(
            *(stream(running_either_way.url, audio, lengths, **query) for audio, lengths, query in kinds)
        )

    kinds = []
    for index in range(24):
        rate = [16000, 48000, 8000, 16000, 44100][index % 5]
        query = {**[*MODELS, *IDENTITIES][index % 4], "sample_rate": rate, "encoding": "pcm_f32le"}
        lengths = np.random.default_rng(index).integers(0, rate // 20, 30).tolist()
        kinds.append((noise(0.5 + 0.02 * index, index, rate, 1 + index % 2), lengths, query))
    batches = set()
    for single, shared in zip(asyncio.run(alone()), asyncio.run(together()), strict=True):
        assert shared.summary["samples_out"] == single.summary["samples_out"]
        near(shared.audio, single.audio)
        batches |= {stats["batch"] for stats in shared.of("stats")}
    assert max(batches) > 1  # they did meet in the engine


@pytest.mark.parametrize("rate", RATES)
def test_as_many_samples_come_back_as_were_sent(running, rate):
    async def all_kinds():
        tasks = {}
        async with asyncio.TaskGroup() as group:
            for channels in (1, 2):
                for encoding in ("pcm_s16le", "pcm_f32le"):
                    for samples in (0, 1, 2, 77, 441, 3001):
                        audio = noise(samples / rate, samples, rate, channels)
                        query = {"sample_rate": rate, "encoding": encoding, "model": ["crn", "fcn"][samples % 2]}
                        task = group.create_task(stream(running.url, audio, [5], **query))
                        tasks[task] = channels, samples
        return [(task.result(), *kind) for task, kind in tasks.items()]

    for result, channels, samples in asyncio.run(all_kinds()):
        assert result.audio.shape == (channels, samples)
        assert (result.summary["samples_in"], result.summary["samples_out"]) == (samples, samples)
        assert result.summary["audio_seconds"] == pytest.approx(samples / rate, abs=1e-6)


@pytest.mark.parametrize("query", IDENTITIES, ids=name_of)
@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_output_sample_n_belongs_to_input_sample_n_of_the_same_channel(running, query, rate):
    left, right = tones(0.6, rate, (180, 900, 3100), 0.1), tones(0.6, rate, (430, 2600, 6100), 0.05)
    result = play(running.url, np.stack([left, right]), sample_rate=rate, encoding="pcm_f32le", **query)
    near(result.audio, np.stack([left, right]), 1e-3)


def test_channels_are_enhanced_each_on_its_own(running):
    audio = noise(0.4, 3, channels=2)
    stereo = play(running.url, audio, **MODELS[0])
    for channel in range(2):
        near(stereo.audio[channel], play(running.url, audio[channel], **MODELS[0]).audio[0])


@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_limit_of_0_db_gives_the_input_back_bit_by_bit(running, rate):
    audio = noise(0.5, 1, rate, 2, level=2.0)
    assert np.abs(audio).max() == 1.0
    result = play(running.url, audio, sample_rate=rate, attenuation_limit_db=0)
    assert np.array_equal(result.audio, audio)


@pytest.mark.parametrize("limit", [6, 20])
def test_an_attenuation_limit_lets_that_much_of_the_input_through(running, limit):
    audio, share = noise(0.4, 2), 10 ** (-limit / 20)
    result = play(running.url, audio, attenuation_limit_db=limit, encoding="pcm_f32le", **MODELS[0])
    near(result.audio, share * audio + (1 - share) * enhance(running.variant("crn/original"), audio))


def test_a_stream_does_not_hear_the_one_that_had_its_place_before(serve):
    with serve(max_streams=1) as running:
        first = play(running.url, noise(0.3, 5), **MODELS[0])
        loud = play(running.url, noise(0.3, 6, level=3.0), **MODELS[0])
        again = play(running.url, noise(0.3, 5), **MODELS[0])
    near(again.audio, first.audio)
    assert loud.summary["samples_out"] == 4800


@pytest.mark.parametrize("query", MODELS, ids=name_of)
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_output_is_as_late_as_the_latency_that_is_claimed(running, query, rate):
    """Sent a millisecond at a time: after each one, output is there up to the latency before it."""
    step = rate // 1000

    async def lags():
        sent = received = 0
        async with live(running.url, sample_rate=rate, **query) as socket:
            ready = json.loads(await socket.recv())
            for message in chunks(encode(noise(0.15, 4, rate)), 0.001, rate):
                await socket.send(message)
                sent += step
                while isinstance(answer := await socket.recv(), bytes):  # statistics follow the output
                    received += len(answer) // 2
                found.append(sent - received)
        return ready["algorithmic_latency_ms"] / 1000 * rate

    found = []
    latency = asyncio.run(lags())
    assert max(found) <= latency
    assert max(found) >= latency - 2 * step
