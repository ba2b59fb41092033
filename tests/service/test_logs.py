"""Log lines: one for every stream that was, for people or machines, without anything that is nobody's business."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.telemetry.logs import ConsoleFormatter, JsonFormatter, fields

from .client import END, encode, live, noise, receive, send, stream, talk, until

ROOT = Path(__file__).parents[2]


def record(message="hello", values=None, error=None):
    made = logging.LogRecord("service.x", logging.WARNING, "x.py", 1, message, (), error and (type(error), error, None))
    made.__dict__.update(fields(values) if values else {})
    return made


def test_json_lines_are_one_object_each_whatever_is_in_them():
    line = JsonFormatter().format(record('two\nlines "quoted" \ud800', {"latency_ms": {"p50": 1.5}}, ValueError("a\nb")))
    assert "\n" not in line
    content = json.loads(line)
    assert (content["level"], content["logger"], content["latency_ms"]) == ("warning", "service.x", {"p50": 1.5})
    assert content["time"].endswith("Z")
    assert "ValueError" in content["traceback"]


def test_console_lines_end_with_the_values():
    line = ConsoleFormatter(process=False).format(record("stream ended", {"samples_in": 16000, "latency_ms": {"p50": 1.5}}))
    assert line.endswith("WARNING service.x: stream ended samples_in=16000 latency_ms=p50:1.5")


@pytest.fixture
def ended(serve, caplog):
    """Runs streams against a server; gives the values of their lines."""

    def run(work, **settings):
        with caplog.at_level("INFO", "service.live.session"), serve(**settings) as running:
            asyncio.run(work(running))
            asyncio.run(until(lambda: not running.runtime._streams))
        lines = [one for one in caplog.records if one.getMessage() == "stream ended"]
        return [one.fields for one in lines]

    return run


def test_a_stream_has_one_line_with_what_it_was(ended):
    async def work(running):
        results.append(await stream(running.url, noise(0.5), model="fcn", variant="original"))

    results = []
    (line,) = ended(work)
    assert line["session_id"] == results[0].ready["session_id"]
    assert (line["model"], line["variant"], line["close_code"], line["reason"]) == ("fcn", "original", 1000, "end")
    assert (line["samples_in"], line["samples_out"], line["audio_seconds"], line["resets"]) == (8000, 8000, 0.5, 0)
    assert set(line["latency_ms"]) == {"p50", "p95", "p99", "max"}
    assert line["connected_seconds"] > 0


def test_the_line_says_how_a_stream_ended(ended):
    async def work(running):
        await talk(running.url, [encode(noise(0.1)), b"odd"])
        async with live(running.url) as socket:
            events = []
            task = asyncio.create_task(receive(socket, events))
            await socket.send(encode(noise(0.1)))
            await until(lambda: len(events) > 1)
            await socket.close(4001)
            await task
        await talk(running.url, [bytes(20000)])
        await talk(running.url, [END], sample_rate=1)  # never was a stream

    lines = ended(work, max_message_bytes=10000)
    assert sorted((line["close_code"], line["reason"]) for line in lines) == [
        (4001, "client"),
        (4400, "bad_request"),
        (4413, "too_large"),
    ]
    assert all(line["samples_in"] == 1600 for line in lines if line["reason"] != "too_large")


def test_a_server_that_logs_everything_in_json_tells_no_secret(zoo_folder):
    """The real command, at its most talkative, with keys in headers and parameters."""
    command = [sys.executable, "-c", "from quietwire.cli import main; main()", "serve", "--zoo", zoo_folder, "--port", "0"]
    command += ["--log-level", "debug", "--log-format", "json", "--drain-seconds", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "QUIETWIRE_API_KEYS": '["hush-key"]'}

    async def use(address):
        url = address.replace("http", "ws") + "/ws/enhance"
        result = await stream(url, noise(0.1), token="hush-key")
        await stream(url, noise(0.1), headers={"Authorization": "Bearer hush-key"})
        await talk(url, [END], token="hush-wrong")
        async with live(url, token="hush-key") as socket:
            await send(socket, {"type": "hush-type"})
            await receive(socket, [])
        async with httpx.AsyncClient(base_url=address) as web:
            for path in ("/variants?token=hush-key", "/nowhere?token=hush-key", "/enhance?token=hush-key&format=hush"):
                await web.post(path, content=b"hush-body", headers={"Content-Type": "audio/wav"})
        return result

    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            address = next(word for word in process.stdout.readline().split() if word.startswith("http"))
            result = asyncio.run(use(address))
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=20)[1]
    lines = [json.loads(line) for line in said.splitlines()]
    assert "hush" not in said
    ended = [line for line in lines if line["message"] == "stream ended"]
    assert len(ended) == 3
    assert ended[0]["session_id"] == result.ready["session_id"]
