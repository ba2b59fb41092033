"""Everything beside the audio: ``ready``, statistics, control messages, the summary, and their order."""

import asyncio
import json

import numpy as np
import pytest
from websockets.asyncio.client import connect

from .client import END, chunks, encode, live, noise, play, send, talk

PING = {"type": "ping"}


def test_ready_says_what_is_in_force(running):
    query = {"model": "fcn", "variant": "pruned", "sample_rate": 48000, "encoding": "pcm_f32le", "attenuation_limit_db": 12}
    result = play(running.url, noise(0.1, 0, 48000, 2), **query)
    card = running.variant("fcn/pruned").card
    expected = {
        "model": "fcn",
        "variant": "pruned",
        "model_bytes": card.bytes,
        "size_ratio": card.size_ratio,
        "parameters": card.parameters,
        "sample_rate": 48000,
        "encoding": "pcm_f32le",
        "channels": 2,
        "attenuation_limit_db": 12,
        "hop_ms": 10,
    }
    assert expected.items() <= result.ready.items()
    assert result.ready["algorithmic_latency_ms"] == pytest.approx(10 + 13.5 + 2 * 47 / 16, abs=1e-3)
    assert len(result.ready["session_id"]) >= 16


def test_ready_comes_before_any_audio_is_sent_and_names_the_defaults(running):
    async def first():
        async with live(running.url) as socket:
            return json.loads(await socket.recv())

    ready = asyncio.run(first())
    assert ready["model"] == "crn"
    assert ready["variant"] in ("original", "pruned")  # the shipped default, `combined`, is not in this zoo
    assert (ready["sample_rate"], ready["encoding"], ready["channels"]) == (16000, "pcm_s16le", 1)
    assert ready["algorithmic_latency_ms"] == 32
    assert ready["attenuation_limit_db"] == 100


def test_session_ids_differ(running):
    assert len({play(running.url, noise(0)).ready["session_id"] for _ in range(5)}) == 5


def test_every_message_gets_one_statistic_after_its_output(running):
    lengths = [1, 0, 160, 159, 1000, 3, 3, 3, 500, 0, 0, 320, 7]
    result = play(running.url, noise(0.3), lengths, model="crn", variant="original")
    statistics = result.of("stats")
    assert [one["seq"] for one in statistics] == list(range(len(lengths) + 1))
    sent, hop = np.cumsum([*lengths, 4800 - sum(lengths)]), running.variant("crn/original").hop
    for index, event in enumerate(result.events):
        if isinstance(event, dict) and event["type"] == "stats":
            hops = sent[event["seq"]] // hop
            ready = (hops - 1) * hop  # a delay of one
            assert result.samples_before(index) >= ready
            assert event["latency_ms"] >= 0
            assert event["queue_ms"] >= 0
            assert event["compute_ms"] >= 0
            assert event["batch"] >= min(hops, 1)
            assert event["model_bytes"] == running.variant("crn/original").card.bytes


def test_statistics_can_be_turned_off(running):
    result = play(running.url, noise(0.2), stats="off")
    assert result.of("stats") == []
    assert result.summary["latency_ms"]["max"] > 0


def test_statistics_once_a_second_cover_all_messages_of_that_second(running):
    async def talk_for_a_second():
        async with live(running.url, stats="second") as socket:
            for message in chunks(encode(noise(0.2))):
                await socket.send(message)
            while not isinstance(message := await socket.recv(), str) or json.loads(message)["type"] != "stats":
                pass
        return json.loads(message)

    statistics = asyncio.run(talk_for_a_second())
    latency = statistics.pop("latency_ms")
    assert statistics == {"type": "stats", "window_ms": 1000, "chunks": 10}
    assert 0 < latency["p50"] <= latency["p95"] <= latency["max"]


def test_empty_messages_change_nothing_but_the_count(running):
    audio = noise(0.1)
    plain = play(running.url, audio, [])
    holes = play(running.url, audio, [0, 0, 100, 0, 0, 0])
    assert holes.data == plain.data
    assert len(holes.of("stats")) == 7


def test_ping_is_answered_by_pong(running):
    result = asyncio.run(talk(running.url, [PING, encode(noise(0.05)), PING, END]))
    assert result.of("pong") == [{"type": "pong"}] * 2


def test_end_without_audio_gives_an_empty_summary(running):
    result = asyncio.run(talk(running.url, [END]))
    assert [event["type"] for event in result.events] == ["ready", "summary"]
    summary = result.summary
    assert (summary["samples_in"], summary["samples_out"], summary["audio_seconds"]) == (0, 0, 0)
    assert summary["latency_ms"] == {"p50": 0, "p95": 0, "p99": 0, "max": 0}


def test_the_summary_counts(running):
    result = play(running.url, noise(0.5, channels=2), model="fcn", variant="original")
    summary = result.summary
    assert (summary["samples_in"], summary["samples_out"], summary["audio_seconds"]) == (8000, 8000, 0.5)
    assert summary["model_bytes"] == running.variant("fcn/original").card.bytes
    assert summary["samples_repaired"] == 0
    assert summary["real_time_factor"] > 0
    latency = summary["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert latency["max"] == pytest.approx(max(one["latency_ms"] for one in result.of("stats")), abs=0.01)


def test_end_never_overtakes_audio_that_was_sent_in_one_piece(running):
    result = asyncio.run(talk(running.url, [encode(noise(5.0)), END], variant="original"))
    assert result.summary["samples_out"] == len(result.audio[0]) == 80000


def test_nothing_sent_after_end_counts(running):
    async def too_much():
        async with live(running.url) as socket:
            for message in (encode(noise(0.1)), END, encode(noise(0.1)), PING):
                await send(socket, message)
            events = [message async for message in socket]
        return socket.close_code, events

    code, events = asyncio.run(too_much())
    assert code == 1000
    assert json.loads(events[-1])["samples_out"] == 1600


def test_values_that_are_no_sound_are_repaired_and_counted(running):
    audio = np.tile(np.float32(0.25), 4000)
    broken = audio.copy()
    values = {100: np.nan, 200: np.inf, 300: -np.inf, 400: 1e30, 500: -1.5, 600: -np.nan}
    repaired = audio.copy()
    for index, value in values.items():
        broken[index] = value
        repaired[index] = np.sign(value) if np.isfinite(value) else 0
    query = {"encoding": "pcm_f32le", "model": "fcn", "variant": "original"}
    result = play(running.url, broken, **query)
    assert result.summary["samples_repaired"] == len(values)
    assert np.array_equal(result.audio, play(running.url, repaired, **query).audio)
    assert np.isfinite(result.audio).all()


def test_repaired_values_come_through_a_bypass_as_stated(running):
    broken = np.array([0.5, np.nan, np.inf, -np.inf, 7, -7, 1, -1, 0.25], np.float32)
    result = play(running.url, broken, [2, 2], encoding="pcm_f32le", attenuation_limit_db=0)
    assert result.audio[0].tolist() == [0.5, 0, 0, 0, 1, -1, 1, -1, 0.25]
    assert result.summary["samples_repaired"] == 5


def test_a_client_that_offers_compression_is_served_without_it(running):
    async def offer():
        async with connect(running.url, proxy=None) as socket:
            return socket.response.headers.get("Sec-WebSocket-Extensions"), json.loads(await socket.recv())

    extensions, ready = asyncio.run(offer())
    assert (extensions, ready["type"]) == (None, "ready")


def test_unknown_fields_of_control_messages_and_unknown_parameters_are_ignored(running):
    messages = [PING | {"id": 7}, {"type": "configure", "volume": 3, "variant": None}, END | {"reason": "done"}]
    result = asyncio.run(talk(running.url, messages, language="en"))
    assert [event["type"] for event in result.events] == ["ready", "pong", "configured", "summary"]
