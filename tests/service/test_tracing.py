"""Traces, as a collector gets them: what the spans say, whose they are, and that there is nothing of it when it is off."""

import asyncio
import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from service.settings import SettingsError, load_settings

from .client import END, noise, play, talk
from .files import post, post_form, write

ROOT = Path(__file__).parents[2]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
WAV = write(noise(0.5), 16000)


class Collector(http.server.ThreadingHTTPServer):
    """Takes what is exported to it over OTLP/HTTP."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, bytes]] = []

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self):
        """By name, in the order in which they came, each with its attributes as a dict beside it."""
        found = {}
        for path, body in self.requests:
            assert path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                (service,) = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
                assert service == "quietwire"
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    values = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
                    found.setdefault(span.name, []).append((span, values))
        return found


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.requests.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_stream_is_one_span_of_its_clients_trace_with_what_it_was(serve, collector):
    with serve(telemetry_endpoint=collector.endpoint) as running:
        result = play(running.url, noise(0.5), headers=TRACEPARENT, model="fcn", variant="original", token="hush-key")
    ((span, values),) = collector.spans["WS /ws/enhance"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    expected = {"session_id": result.ready["session_id"], "model": "fcn", "variant": "original", "encoding": "pcm_s16le"}
    expected |= {
        "samples_in": 8000,
        "samples_out": 8000,
        "audio_seconds": 0.5,
        "resets": 0,
        "close_code": 1000,
        "reason": "end",
    }
    assert {name: values[f"quietwire.{name}"] for name in expected} == expected
    assert values["quietwire.latency_ms.p99"] == result.summary["latency_ms"]["p99"]
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert b"hush" not in b"".join(body for _, body in collector.requests)


def test_a_stream_that_was_turned_away_is_one_too(serve, collector):
    with serve(telemetry_endpoint=collector.endpoint) as running:
        asyncio.run(talk(running.url, [END], sample_rate=1))
    ((span, values),) = collector.spans["WS /ws/enhance"]
    assert (values["quietwire.close_code"], values["quietwire.reason"]) == (4400, "bad_request")
    assert not span.parent_span_id


def test_files_are_spans_with_what_was_done(serve, collector):
    with serve(telemetry_endpoint=collector.endpoint, api_keys=["hush-key"]) as running:
        post(running.http, WAV, headers=TRACEPARENT, model="crn", variant="pruned", token="hush-key")
        post_form(running.http, WAV, token="hush-wrong")
        httpx.post(f"{running.http}/compare?token=hush-key&variants=crn/original,fcn/pruned", files={"file": WAV}, timeout=300)
        httpx.get(f"{running.http}/variants", headers={"Authorization": "Bearer hush-key"})
        httpx.get(f"{running.http}/healthz")
        httpx.get(f"{running.http}/metrics?token=hush-key")
    spans = collector.spans
    assert spans.keys() == {"POST /enhance", "POST /compare", "GET /variants"}
    (enhanced, did), (_, refused) = spans["POST /enhance"]
    assert (enhanced.trace_id.hex(), enhanced.parent_span_id.hex()) == (TRACE, PARENT)
    assert (did["http.response.status_code"], did["http.request.method"], did["http.route"]) == (200, "POST", "/enhance")
    assert (did["quietwire.model"], did["quietwire.variant"], did["quietwire.audio_seconds"]) == ("crn", "pruned", 0.5)
    assert did["quietwire.latency_ms.enhance"] > 0
    assert (refused["http.response.status_code"], refused["quietwire.reason"]) == (401, "unauthorized")
    ((_, compared),) = spans["POST /compare"]
    assert [one.string_value for one in compared["quietwire.variants"].values] == ["crn/original", "fcn/pruned"]
    assert b"hush" not in b"".join(body for _, body in collector.requests)


def test_a_fault_is_told_as_one_without_what_it_said(serve, collector, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("hush")

    with serve(telemetry_endpoint=collector.endpoint) as running:
        monkeypatch.setattr("service.http.routes.enhance_file", fail)
        assert post(running.http, WAV).status_code == 500
    ((span, values),) = collector.spans["POST /enhance"]
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert (values["http.response.status_code"], values["error.type"]) == (500, "RuntimeError")
    assert b"hush" not in collector.requests[0][1]


def test_a_name_or_method_that_a_client_made_up_becomes_no_name_of_a_span(serve, collector):
    with serve(telemetry_endpoint=collector.endpoint) as running:
        httpx.request("HUSH", f"{running.http}/enhance")
        httpx.get(f"{running.http}/hush")
    assert collector.spans.keys() == {"HTTP /enhance"}


def test_a_collector_that_is_gone_holds_up_nothing(serve, monkeypatch):
    monkeypatch.setattr("service.telemetry.tracing.FLUSH_SECONDS", 0.2)
    with serve(telemetry_endpoint="http://127.0.0.1:1") as running:
        assert play(running.url, noise(0.5)).summary["samples_out"] == 8000
        assert post(running.http, WAV).status_code == 200


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://collector:4317", "http://", "http://collector:4318/?key=x"])
def test_an_endpoint_that_cannot_be_one_is_named(endpoint):
    with pytest.raises(SettingsError, match="telemetry_endpoint"):
        load_settings(telemetry_endpoint=endpoint)


def test_it_is_said_which_packages_are_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"quietwire\[telemetry\]"):
        load_settings(telemetry_endpoint="http://127.0.0.1:4318")


WATCHED = """
import json, sys
from quietwire.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "service.telemetry.tracing")))))
"""


def test_when_off_nothing_is_loaded_or_sent_whatever_the_environment_says(zoo_folder, collector):
    """The real command, with FastAPI's own telemetry asked for: its spans would hold the token."""
    command = [sys.executable, "-c", WATCHED, "serve", "--zoo", zoo_folder, "--port", "0", "--drain-seconds", "0"]
    asked = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    environment = os.environ | asked | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = next(word for word in process.stdout.readline().split() if word.startswith("http"))
            play(address.replace("http", "ws") + "/ws/enhance", noise(0.1), token="hush")
            assert httpx.get(f"{address}/variants?token=hush").status_code == 200
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            loaded = json.loads(process.communicate(timeout=30)[0].splitlines()[-1])
    assert [name for name in loaded if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "service."))] == []
    assert collector.requests == []
