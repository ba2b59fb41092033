"""Security headers, what can be closed off, TLS, and proxies that are believed or not."""

import asyncio
import re
import shutil
import socket
import ssl
import subprocess

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect

from models.offline import enhance
from service.settings import SettingsError, load_settings

from .client import END, chunks, decode, encode, noise, receive, send, stream
from .files import post, write

PATHS = ["/", "/web/app.js", "/healthz", "/readyz", "/variants", "/metrics", "/docs", "/openapi.json", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_the_headers(running, path):
    headers = httpx.get(running.http + path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "strict-transport-security" not in headers
    assert len(headers.get_list("content-security-policy")) == 1


def test_so_have_files_refusals_and_faults(running, serve, monkeypatch):
    good, bad = post(running.http, write(noise(0.1), 16000)), post(running.http, b"no file")
    monkeypatch.setattr("service.http.routes.enhance_file", lambda *_, **__: 1 / 0)
    fault = post(running.http, write(noise(0.1), 16000))
    assert (good.status_code, bad.status_code, fault.status_code) == (200, 415, 500)
    for answer in (good, bad, fault):
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["cache-control"] == "no-store"


def test_the_pages_own_policy_and_caching_stay(running):
    headers = httpx.get(running.http + "/").headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-cache"
    assert httpx.get(running.http + "/web/app.js").headers["cross-origin-resource-policy"] == "cross-origin"


def status(running, path, **headers):
    return httpx.get(running.http + path, headers=headers).status_code


def test_metrics_and_documentation_can_be_closed_off(serve):
    with serve(metrics_access="off", docs_access="off") as running:
        for path in ("/metrics", "/docs", "/docs/swagger-ui-bundle.js", "/redoc", "/openapi.json"):
            answer = httpx.get(running.http + path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert status(running, "/healthz") == status(running, "/variants") == 200


def test_they_can_be_opened_to_all_or_kept_to_those_with_a_key(serve):
    with serve(api_keys=["the-key"], metrics_access="open", docs_access="key") as running:
        assert [status(running, path) for path in ("/metrics", "/docs", "/openapi.json", "/variants")] == [200, 401, 401, 401]
        assert status(running, "/docs", Authorization="Bearer the-key") == status(running, "/docs/swagger-ui.css") == 200


def test_the_documentation_takes_nothing_from_other_servers(running):
    page = httpx.get(running.http + "/docs")
    assert "http" not in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"].partition("style-src")[0]
    found = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(found) == 4
    for name in found:
        answer = httpx.get(f"{running.http}/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] in ("text/javascript", "text/css", "image/png")


def test_its_files_are_no_way_to_others(running):
    for path in ("/docs/../app.py", "/docs/%2e%2e/core.py", "/docs/start.js?path=/etc/passwd", "/docs/redoc.standalone.js"):
        answer = httpx.get(running.http + path)
        assert answer.status_code in (401, 404) or answer.text.startswith("SwaggerUIBundle(")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out certificate.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


def test_streams_and_files_go_over_tls_where_there_is_a_certificate(serve, certificate):
    settings = {"tls_certificate": certificate / "certificate.pem", "tls_key": certificate / "key.pem"}
    trust = ssl.create_default_context(cafile=certificate / "certificate.pem")

    async def over_tls(running):
        events = []
        async with connect(running.url.replace("ws:", "wss:"), ssl=trust, compression=None, proxy=None) as connection:
            task = asyncio.create_task(receive(connection, events))
            for message in chunks(encode(noise(0.5), "pcm_s16le")):
                await connection.send(message)
            await send(connection, END)
            return await task, events

    with serve(**settings, hsts_seconds=600) as running:
        code, events = asyncio.run(over_tls(running))
        address = running.http.replace("http:", "https:")
        answer = httpx.get(address + "/variants", verify=trust)
        with pytest.raises(httpx.HTTPError):
            httpx.get(running.http + "/variants")
        expected = enhance(running.variant("crn/original"), noise(0.5))
    assert (code, events[-1]["samples_out"]) == (1000, 8000)
    audio = b"".join(event for event in events if isinstance(event, bytes))
    np.testing.assert_allclose(decode(audio), expected, atol=1e-4)
    assert answer.headers["strict-transport-security"] == "max-age=600"


def test_who_says_nothing_over_tls_is_cut_off_as_without(serve, certificate, monkeypatch):
    monkeypatch.setattr("service.processes.acceptor.HEAD_SECONDS", 0.3)
    settings = {"tls_certificate": certificate / "certificate.pem", "tls_key": certificate / "key.pem"}
    with serve(**settings) as running, socket.create_connection(("127.0.0.1", running.port), timeout=20) as silent:
        assert silent.recv(1) == b""


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"tls_certificate": "none.pem"}, "tls_certificate"),
        ({"tls_key": "key.pem"}, "tls_key"),
        ({"trusted_proxies": ["proxy.example"]}, "trusted_proxies"),
        ({"trusted_proxies": ["*"]}, "trusted_proxies"),
        ({"metrics_access": "maybe"}, "metrics_access"),
        ({"key_streams": 0}, "key_streams"),
    ],
)
def test_what_cannot_be_used_is_named(settings, name):
    with pytest.raises(SettingsError, match=name):
        load_settings(**settings)


@pytest.mark.parametrize(
    ("trusted", "owner"), [([], "127.0.0.1"), (["10.0.0.0/8"], "127.0.0.1"), (["127.0.0.0/8", "10.0.0.0/8"], "198.51.100.7")]
)
def test_only_proxies_that_are_named_may_say_who_the_client_is(serve, monkeypatch, trusted, owner):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own way in
    headers = {"X-Forwarded-For": "203.0.113.1, 198.51.100.7, 10.1.1.1"}  # the first is the client's invention
    with serve(address_audio_seconds=100, trusted_proxies=trusted) as running:
        asyncio.run(stream(running.url, noise(0.1), headers=headers))
        assert list(running.runtime.quotas._accounts) == [owner]
        assert post(running.http, write(noise(0.1), 16000), headers=headers).status_code == 200
        assert list(running.runtime.quotas._accounts) == [owner]
