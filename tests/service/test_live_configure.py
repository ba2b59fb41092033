"""Changing the variant or the attenuation limit in the middle of a stream."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.offline import enhance

from .client import END, encode, noise, talk, tones


def switch_to(name):
    """The message that asks for ``model/variant``."""
    return dict(zip(("type", "model", "variant"), ("configure", *name.split("/")), strict=True))


CRN, FCN, OTHER = switch_to("crn/pruned"), switch_to("fcn/pruned"), switch_to("fcn/original")
START = {"model": "crn", "variant": "pruned", "encoding": "pcm_f32le"}


def converse(running, audio, changes, lengths=(), **query):
    """A float stream with control messages before the samples with those numbers, otherwise cut as told."""
    audio = np.atleast_2d(audio)
    ends = {position for position, _ in changes} | set(np.cumsum(lengths).tolist()) | {0, audio.shape[1]}
    positions = sorted(position for position in ends if position <= audio.shape[1])
    messages = []
    for begin, end in zip(positions, [*positions[1:], None], strict=True):
        messages += [message for position, message in changes if position == begin]
        if end is not None:
            messages.append(encode(audio[:, begin:end], "pcm_f32le"))
    return asyncio.run(talk(running.url, [*messages, END], channels=len(audio), **START | query))


def assert_unchanged(result, audio, tolerance=2e-3):
    audio = np.atleast_2d(audio)
    assert result.summary["samples_out"] == audio.shape[1] == result.audio.shape[1]
    np.testing.assert_allclose(result.audio, audio, atol=tolerance, rtol=0)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_switching_back_and_forth_is_not_heard(running, rate):
    audio = np.stack([tones(1.5, rate), tones(1.5, rate, (350, 1900, 4200), 0.05)])
    positions = [round(rate * time) for time in (0.1, 0.5, 0.7, 0.9001, 1.3333)]
    changes = [(position, [FCN, CRN][index % 2]) for index, position in enumerate(positions)]
    result = converse(running, audio, changes, [rate // 50] * 75, sample_rate=rate)
    assert_unchanged(result, audio)
    configured = result.of("configured")
    assert [one["model"] for one in configured] == ["fcn", "crn", "fcn", "crn", "fcn"]
    latencies = [one["algorithmic_latency_ms"] for one in configured]
    assert latencies[0] - latencies[1] == pytest.approx(-8.5, abs=1e-3)
    assert result.summary["model_bytes"] == running.variant("fcn/pruned").card.bytes


POSITIONS = st.one_of(st.integers(0, 8000), st.integers(0, 40).map(lambda steps: 2000 + 37 * steps))


@settings(max_examples=20, deadline=None)
@given(
    switches=st.lists(st.tuples(POSITIONS, st.sampled_from([CRN, FCN])), max_size=12),
    lengths=st.lists(st.integers(1, 1500), max_size=12),
    rate=st.sampled_from([16000, 16000, 22050]),
)
def test_no_storm_of_switches_is_heard(running_either_way, switches, lengths, rate):
    audio = tones(0.6, rate)
    result = converse(running_either_way, audio, switches, lengths, sample_rate=rate, stats="off")
    assert_unchanged(result, audio)
    assert len(result.of("configured")) == len(switches)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_switching_every_10_ms_takes_no_more_room_than_one_stream_has(serve, rate):
    audio = np.stack([tones(2.0, rate, (220, 700, 2300)), tones(2.0, rate, (350, 1900))])
    changes = [(rate // 100 * index + 3, [FCN, CRN][index % 2]) for index in range(200)]
    with serve(max_streams=1) as running:
        result = converse(running, audio, changes, [rate // 200] * 400, sample_rate=rate)
        assert_unchanged(result, audio)
        assert running.runtime.engine.lanes == 0


def test_a_hundred_switches_at_one_sample_end_with_the_last(running):
    audio = tones(0.5)
    changes = [(4000, [FCN, CRN][index % 2]) for index in range(101)]
    result = converse(running, audio, changes)
    assert_unchanged(result, audio)
    assert result.of("configured")[-1]["model"] == "fcn"


@pytest.mark.parametrize(
    ("old", "new"), [("crn/pruned", "fcn/pruned"), ("crn/pruned", "fcn/original"), ("fcn/pruned", "crn/original")]
)
def test_the_last_of_the_switches_at_a_sample_takes_effect_from_it_on(running, old, new):
    """Before: exactly the old network's output. After 10 ms: the new one's, as if it had been on all the time."""
    audio = noise(1.2, 8)
    model, variant = old.split("/")
    result = converse(running, audio, [(9650, OTHER), (9650, switch_to(new))], [320] * 60, model=model, variant=variant)
    outputs = [enhance(running.variant(name), audio)[0] for name in (old, new)]
    rise = np.clip((np.arange(19200) - 9650 + 0.5) / 160, 0, 1)
    np.testing.assert_allclose(result.audio[0], outputs[0] * (1 - rise) + outputs[1] * rise, atol=1e-4)


def test_a_configure_before_the_first_sample_holds_from_the_beginning(running):
    audio = noise(0.4, 9)
    changes = [(0, {"type": "configure", "variant": "original"}), (0, {"type": "configure", "attenuation_limit_db": 20})]
    result = converse(running, audio, changes)
    expected = 0.1 * audio + 0.9 * enhance(running.variant("crn/original"), audio)
    np.testing.assert_allclose(result.audio[:, 160:], expected[:, 160:], atol=1e-4)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_new_limit_fades_in_over_10_ms_from_its_sample_on(running, rate):
    audio = noise(0.6, 7, rate)
    query = {"variant": "original", "sample_rate": rate}
    position, ramp = round(0.31 * rate), rate // 100
    change = {"type": "configure", "attenuation_limit_db": 100}
    result = converse(running, audio, [(position, change)], [rate // 50] * 30, **query, attenuation_limit_db=0)
    enhanced = converse(running, audio, [], **query).audio
    assert np.array_equal(result.audio[:, :position], audio[:, :position])
    np.testing.assert_allclose(result.audio[:, position + ramp :], enhanced[:, position + ramp :], atol=1e-5)
    gains = 1 - np.arange(1, ramp + 1) / ramp
    part = slice(position, position + ramp)
    np.testing.assert_allclose(result.audio[:, part], gains * audio[:, part] + (1 - gains) * enhanced[:, part], atol=1e-5)


def test_configured_repeats_the_fields_of_ready(running):
    change = {"type": "configure", "model": "fcn", "variant": "original", "attenuation_limit_db": 30}
    result = asyncio.run(talk(running.url, [change, END], **START))
    configured = result.of("configured")[0]
    assert configured.keys() == result.ready.keys()
    assert configured["session_id"] == result.ready["session_id"]
    changed = {key for key in configured if configured[key] != result.ready[key]}
    assert {"model", "variant", "model_bytes", "attenuation_limit_db", "algorithmic_latency_ms"} <= changed | {"type"}


def test_a_part_that_is_not_named_stays_as_it_is(running):
    result = asyncio.run(talk(running.url, [{"type": "configure", "model": "fcn"}, {"type": "configure"}, END], **START))
    for configured in result.of("configured"):
        assert (configured["model"], configured["variant"], configured["attenuation_limit_db"]) == ("fcn", "pruned", 100)


def test_a_variant_that_is_not_loaded_ends_the_stream(running):
    result = asyncio.run(
        talk(running.url, [encode(noise(0.1), "pcm_f32le"), {"type": "configure", "variant": "combined"}], **START)
    )
    assert (result.close_code, result.error["code"]) == (4404, "unknown_model")
    assert "crn/pruned" in result.error["message"]
