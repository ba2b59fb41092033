"""The other paths: variants, health, metrics, documentation, and who may see them."""

import asyncio
import json
import re
import socket
from http.client import HTTPResponse

import httpx
import pytest

from .client import END, encode, live, noise, play, receive, send, until
from .files import post, write

WAV = write(noise(0.5), 16000)


def test_variants_lists_all_that_are_loaded_with_their_figures(running):
    body = httpx.get(f"{running.http}/variants").json()
    rows = {f"{row['model']}/{row['variant']}": row for row in body["variants"]}
    assert rows.keys() == {"crn/original", "crn/pruned", "fcn/original", "fcn/pruned"}
    for name, row in rows.items():
        card = running.variant(name).card
        assert (row["model_bytes"], row["size_ratio"], row["parameters"]) == (card.bytes, card.size_ratio, card.parameters)
        assert row["macs_per_second"] == card.macs_per_second
        assert row["algorithmic_latency_ms"] == {"crn": 32, "fcn": 23.5}[card.model]
        assert row["evaluation"] is None
    assert [row["default"] for row in rows.values()].count(True) == 1
    assert rows["crn/original"]["size_ratio"] == 1
    assert rows["fcn/pruned"]["size_ratio"] < 1
    assert body["not_loaded"] == []


def test_variants_gives_the_evaluation_with_the_name_of_its_set(serve, zoo_folder, tmp_path):
    card = (zoo_folder / "crn" / "original.json").read_text()
    evaluation = '"evaluation": {"set_name": "a set", "pairs": 3, "scores": {"pesq": {"mean": 2.5, "ci95": 0.1}}, "noisy": {}}'
    (tmp_path / "crn").mkdir()
    (tmp_path / "crn" / "original.json").write_text(card.replace('"evaluation": null', evaluation))
    (tmp_path / "crn" / "original.onnx").write_bytes((zoo_folder / "crn" / "original.onnx").read_bytes())
    (tmp_path / "crn" / "pruned.onnx").write_bytes(b"damaged")
    with serve(zoo=tmp_path) as running:
        body = httpx.get(f"{running.http}/variants").json()
    assert body["variants"][0]["evaluation"]["set_name"] == "a set"
    assert body["variants"][0]["evaluation"]["scores"]["pesq"]["mean"] == 2.5
    assert body["not_loaded"] == ["crn/pruned"]


def test_health_and_readiness(running):
    assert httpx.get(f"{running.http}/healthz").status_code == 200
    ready = httpx.get(f"{running.http}/readyz")
    assert ready.status_code == 200
    assert set(ready.json()["variants"]) == {"crn/original", "crn/pruned", "fcn/original", "fcn/pruned"}


def test_metrics_count_what_happened(serve):
    with serve() as running:
        play(running.url, noise(1.0), model="fcn", variant="original")
        play(running.url, noise(0.1), sample_rate=7000)
        post(running.http, WAV, model="crn", variant="pruned")
        answer = httpx.get(f"{running.http}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert "quietwire_ready 1.0" in lines
    assert "quietwire_live_streams 0.0" in lines
    assert "quietwire_streams_admitted_total 1.0" in lines
    assert 'quietwire_errors_total{code="bad_request"} 1.0' in lines
    assert "quietwire_chunk_latency_seconds_count 50.0" in lines
    assert 'quietwire_audio_seconds_total{variant="fcn/original"} 1.0' in lines
    assert 'quietwire_file_seconds_total{variant="crn/pruned"} 0.5' in lines
    assert any(line.startswith('quietwire_step_seconds_count{variant="fcn/original"}') for line in lines)
    assert any(line.startswith("quietwire_batch_rows_count") for line in lines)


def test_audio_is_counted_while_it_is_live_and_under_the_variant_that_it_went_through(serve):
    def seconds(variant):
        text = httpx.get(f"{running.http}/metrics").text
        found = re.search(rf'^quietwire_audio_seconds_total{{variant="{variant}"}} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def count():
        async with live(running.url, variant="original") as connection:
            await connection.send(encode(noise(1.0)))
            await until(lambda: seconds("crn/original") == 1.0)
            await send(connection, {"type": "configure", "variant": "pruned"})
            await connection.send(encode(noise(0.5)))
            await until(lambda: seconds("crn/pruned") == 0.5)
            await send(connection, END)
            assert await receive(connection, []) == 1000

    with serve() as running:
        asyncio.run(count())
        assert (seconds("crn/original"), seconds("crn/pruned")) == (1.0, 0.5)


def test_the_documentation_covers_every_path(running):
    assert "swagger" in httpx.get(f"{running.http}/docs").text.lower()
    paths = httpx.get(f"{running.http}/openapi.json").json()["paths"]
    assert {"/enhance", "/variants", "/healthz", "/readyz", "/metrics"} <= paths.keys()
    enhance = paths["/enhance"]["post"]
    assert {"400", "401", "404", "408", "413", "415", "422", "503"} <= enhance["responses"].keys()
    assert {item["name"] for item in enhance["parameters"]} == {"model", "variant", "attenuation_limit_db", "format"}
    assert "multipart/form-data" in enhance["requestBody"]["content"]


def test_the_page_is_served(running):
    answer = httpx.get(running.http)
    assert answer.headers["content-type"].startswith("text/html")
    assert "<html" in answer.text.lower()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not_found"), ("GET", "/enhance", 405, "bad_request"), ("POST", "/variants", 405, "bad_request")],
)
def test_a_wrong_path_or_method_is_answered_in_json(running, method, path, status, code):
    answer = httpx.request(method, running.http + path)
    assert answer.status_code == status
    assert answer.json().keys() == {"code", "message"}
    assert answer.json()["code"] == code


def test_a_fault_of_the_server_is_answered_in_json_without_details(running, monkeypatch, caplog):
    import service.http.routes

    monkeypatch.setattr(service.http.routes, "enhance_file", lambda *_, **__: {}["secret"])
    with caplog.at_level("CRITICAL"):
        answer = post(running.http, WAV)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    monkeypatch.undo()
    assert post(running.http, WAV).status_code == 200


@pytest.fixture(scope="module")
def guarded(serve):
    with serve(api_keys=["the-key"], allowed_origins=["https://good.example"]) as running:
        yield running


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer no-key"}, {"Authorization": "the-key"}])
@pytest.mark.parametrize("path", ["/variants", "/enhance", "/metrics", "/nowhere"])
def test_a_key_is_asked_for(guarded, path, headers):
    answer = httpx.request("POST" if path == "/enhance" else "GET", guarded.http + path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_a_key_opens_by_header_and_by_parameter(guarded):
    headers = {"Authorization": "Bearer the-key"}
    assert httpx.get(f"{guarded.http}/variants", headers=headers).status_code == 200
    assert httpx.get(f"{guarded.http}/variants?token=the-key").status_code == 200
    assert post(guarded.http, WAV, headers=headers).status_code == 200
    assert post(guarded.http, WAV, token="the-key").status_code == 200


def test_a_key_beyond_ascii_opens_by_header_and_by_parameter(serve):
    key = "schlüssel"
    with serve(api_keys=[key]) as running:
        header = [(b"Authorization", f"Bearer {key}".encode())]
        assert httpx.get(f"{running.http}/variants", headers=header).status_code == 200
        assert httpx.get(f"{running.http}/variants", params={"token": key}).status_code == 200
        assert httpx.get(f"{running.http}/variants", headers={"Authorization": b"Bearer schl\xfc"}).status_code == 401


@pytest.mark.parametrize("head", ["GET / HTTP/1.1", "POST /enhance HTTP/1.1\r\nHost: x\r\nContent-Length: -1", "nonsense"])
def test_what_is_no_http_is_answered_in_json(running, head):
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(head.encode() + b"\r\n\r\n")
        answer = HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")
        body = json.loads(answer.read())
    assert body.keys() == {"code", "message"}
    assert body["code"] == "bad_request"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json"])
def test_health_and_documentation_need_no_key(guarded, path):
    assert httpx.get(guarded.http + path).status_code == 200


def test_a_page_that_is_not_on_the_list_may_not_upload(guarded):
    headers = {"Authorization": "Bearer the-key", "Origin": "https://evil.example"}
    answer = post(guarded.http, WAV, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_origin")
    assert post(guarded.http, WAV, headers=headers | {"Origin": "https://good.example"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/variants", "/metrics", "/docs", "/openapi.json"])
def test_head_is_answered_as_get_is_without_the_body(running, path):
    head, full = httpx.head(f"{running.http}{path}"), httpx.get(f"{running.http}{path}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == full.headers["content-type"]


def test_a_parameter_without_a_value_is_one_that_was_not_given(running):
    query = "model=&variant=&attenuation_limit_db=&format="
    answer = httpx.post(f"{running.http}/enhance?{query}", content=WAV, headers={"Content-Type": "audio/wav"})
    assert answer.status_code == 200, answer.text
