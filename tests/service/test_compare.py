"""``POST /compare``: what each variant costs on a recording and, with the clean signal, how good it is."""

import importlib.util
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from models.measures import measure
from models.measuring import measure_apart
from models.offline import enhance

from .client import noise, tones
from .files import write
from .test_file_errors import assert_refused

SPEECH = Path(__file__).parents[1] / "data" / "speech_en.flac"
MEASURES = ("pesq", "stoi", "si_sdr")


@pytest.fixture(scope="module")
def speech():
    """Two seconds of clean speech, and the same in noise, ``[samples]`` at 16 kHz on the grid of 16 bits."""
    clean = soundfile.read(SPEECH, dtype="float32")[0][8000:40000]
    noisy = clean + 0.3 * noise(2.0, 5, level=0.2)[0]
    return clean, (np.rint(noisy * 32768) / 32768).astype(np.float32)


def compare(address, data, reference=None, **query):
    files = {"file": ("noisy.wav", data)} | ({} if reference is None else {"reference": ("clean.wav", reference)})
    return httpx.post(f"{address}/compare", files=files, params=query, timeout=300)


def scores(row):
    return {name: row[name] for name in MEASURES}


def test_without_a_reference_a_row_says_what_each_variant_costs(running):
    answer = compare(running.http, write(noise(0.7, rate=44100), 44100), variants="original,pruned", model="fcn")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["audio_seconds"], body["sample_rate"], body["channels"]) == (0.7, 44100, 1)
    assert [row["variant"] for row in body["variants"]] == ["original", "pruned"]
    for row in body["variants"]:
        card = running.variant(f"fcn/{row['variant']}").card
        assert (row["model_bytes"], row["size_ratio"], row["parameters"]) == (card.bytes, card.size_ratio, card.parameters)
        assert row["latency_ms"] > 0
        assert row["real_time_factor"] == pytest.approx(row["latency_ms"] / 700, rel=0.01)
        assert scores(row) == dict.fromkeys(MEASURES)
    assert body["unprocessed"] is None
    assert body["notes"] == []


def test_with_a_reference_the_measures_are_those_of_the_offline_evaluation(running, speech):
    clean, noisy = speech
    body = compare(running.http, write(noisy, 16000, subtype="FLOAT"), write(clean, 16000), variants="original,pruned").json()
    expected = measure(clean, noisy)
    assert scores(body["unprocessed"]) == pytest.approx({name: expected[name] for name in MEASURES}, abs=1e-3)
    for row in body["variants"]:
        expected = measure(clean, enhance(running.variant(f"crn/{row['variant']}"), noisy))
        assert scores(row) == pytest.approx({name: expected[name] for name in MEASURES}, abs=2e-3)
    assert body["notes"] == []


@pytest.mark.parametrize("rate", [16000, 48000])
def test_stereo_at_any_rate_is_measured_on_16_khz_mono(running, rate):
    """The identity network changes nothing, so its figures are the input's, and those of the two channels' mean."""
    clean = np.stack([tones(1.5, rate), tones(1.5, rate, (350, 1900))])
    noisy = clean + np.stack([tones(1.5, rate, (1000, 3000), 0.02)] * 2)
    answer = compare(running.http, write(noisy, rate, subtype="FLOAT"), write(clean, rate, "FLAC", "PCM_24"), variants="pruned")
    body = answer.json()
    assert body["channels"] == 2
    assert body["variants"][0]["si_sdr"] == pytest.approx(body["unprocessed"]["si_sdr"], abs=0.1)
    mono = noisy.mean(axis=0), clean.mean(axis=0)
    assert body["unprocessed"]["si_sdr"] == pytest.approx(measure(mono[1], mono[0])["si_sdr"], abs=0.1)


def test_a_reference_of_another_rate_and_number_of_channels_is_taken(running):
    clean = tones(1.0, 16000, (300, 1200))
    stereo = np.stack([tones(1.0, 44100, (300, 1200))] * 2)
    body = compare(running.http, write(clean, 16000, subtype="FLOAT"), write(stereo, 44100, "FLAC", "PCM_24")).json()
    assert body["unprocessed"]["si_sdr"] > 40


def test_without_names_all_variants_of_the_default_model_are_compared(running):
    rows = compare(running.http, write(noise(0.2), 16000)).json()["variants"]
    assert [(row["model"], row["variant"]) for row in rows] == [("crn", "original"), ("crn", "pruned")]


def test_a_name_may_carry_its_model_and_counts_once(running):
    answer = compare(running.http, write(noise(0.2), 16000), variants="fcn/pruned,crn/original,fcn/pruned, original")
    rows = answer.json()["variants"]
    assert [(row["model"], row["variant"]) for row in rows] == [("fcn", "pruned"), ("crn", "original")]


def test_a_silent_reference_gives_no_figures_rather_than_wrong_ones(running):
    silence = np.zeros((1, 16000), dtype=np.float32)
    body = compare(running.http, write(noise(1.0), 16000), write(silence, 16000)).json()
    assert scores(body["unprocessed"]) == dict.fromkeys(MEASURES)


def test_where_the_packages_are_missing_the_figures_are_null_and_a_sentence_says_what_to_install(running, speech, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("pesq", "pystoi") else find(name))
    clean, noisy = speech
    body = compare(running.http, write(noisy, 16000), write(clean, 16000), variants="original").json()
    assert (body["unprocessed"]["pesq"], body["unprocessed"]["stoi"]) == (None, None)
    assert body["unprocessed"]["si_sdr"] == pytest.approx(measure(clean, noisy)["si_sdr"], abs=1e-2)
    (note,) = body["notes"]
    assert "quietwire[metrics]" in note


def test_a_measuring_program_that_dies_costs_its_figures_and_not_the_answer(running, speech, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    clean, noisy = speech
    body = compare(running.http, write(noisy, 16000), write(clean, 16000), variants="original").json()
    assert body["variants"][0]["pesq"] is None
    assert body["variants"][0]["si_sdr"] is not None
    assert "PESQ" in body["notes"][0]


WAV = write(noise(0.2), 16000)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"variants": "original,"}, 400, "bad_request"),
        ({"variants": "original,combined"}, 404, "unknown_model"),
        ({"variants": "rnn/original"}, 404, "unknown_model"),
        ({"model": "rnn"}, 404, "unknown_model"),
    ],
)
def test_variants_that_cannot_be_compared_are_refused(running, query, status, code):
    assert_refused(compare(running.http, WAV, **query), status, code)


def test_bodies_that_are_no_form_with_a_file_are_refused(running):
    address = f"{running.http}/compare"
    assert_refused(httpx.post(address, content=WAV, headers={"Content-Type": "audio/wav"}), 415, "unsupported_media")
    assert_refused(httpx.post(address, files={"reference": ("a.wav", WAV)}), 400, "bad_request")
    assert_refused(httpx.post(address, files={"file": ("a.wav", WAV)}, data={"reference": "text"}), 400, "bad_request")


def test_files_that_cannot_be_used_are_refused_and_the_reference_is_named(running):
    assert_refused(compare(running.http, b"no audio"), 415, "unsupported_media")
    assert "reference" in assert_refused(compare(running.http, WAV, b"no audio"), 415, "unsupported_media")
    longer = assert_refused(compare(running.http, WAV, write(noise(0.5), 16000)), 422, "unprocessable")
    assert "0.50 s" in longer


def test_caps_on_bytes_and_length_hold(serve):
    with serve(max_file_bytes=20000, max_compare_seconds=0.4) as running:
        assert compare(running.http, WAV, WAV).status_code == 200
        assert_refused(compare(running.http, write(noise(0.5), 16000)), 413, "too_large")
        assert_refused(compare(running.http, WAV, write(noise(0.9), 16000)), 413, "too_large")
        assert_refused(compare(running.http, write(noise(4.0), 16000), WAV), 413, "too_large")


def test_the_current_folder_is_not_where_measures_come_from(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit(1)")
    (tmp_path / "json.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    clean = tones(1.0)
    rows, notes = measure_apart(clean, [clean])
    assert notes == []
    assert rows[0]["stoi"] == pytest.approx(1, abs=1e-3)


def test_a_full_queue_of_uploads_is_said_with_a_time_to_retry(serve):
    with (
        serve(uploads=1) as running,
        running.runtime.files.work(),
        running.runtime.files.work(),
    ):
        answer = compare(running.http, WAV)
    assert_refused(answer, 503, "overloaded")
    assert "retry-after" in answer.headers


def test_the_documentation_covers_the_comparison(running):
    post = httpx.get(f"{running.http}/openapi.json").json()["paths"]["/compare"]["post"]
    assert {item["name"] for item in post["parameters"]} == {"variants", "model"}
    assert {"200", "400", "404", "413", "415", "422", "503"} <= post["responses"].keys()
    assert "reference" in post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
