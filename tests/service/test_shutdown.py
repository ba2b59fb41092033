"""SIGTERM to a real process: streams get their time to finish, what is new is refused, the rest is told."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.live import websocket

from .client import END, decode, encode, live, noise, receive, send, talk

ROOT = Path(__file__).parents[2]


@pytest.fixture
def process(zoo_folder):
    """`quietwire serve` on a free port, and the address it prints."""
    command = [sys.executable, "-c", "from quietwire.cli import main; main()", "serve", "--zoo", zoo_folder]
    command += ["--port", "0", "--drain-seconds", "2", "--log-level", "warning"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "QUIETWIRE_ADDRESS_STREAMS": "2"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            yield running, re.search(r"http://\S+:\d+", running.stdout.readline().decode())[0]
        finally:
            running.kill()


def test_a_stop_lets_streams_finish_and_tells_those_that_do_not(process):
    running, address = process
    url = address.replace("http", "ws") + "/ws/enhance"
    audio = noise(1.0)

    async def stop():
        async with live(url, attenuation_limit_db=0) as one, live(url) as other, httpx.AsyncClient(base_url=address) as web:
            finishing, hanging = [], []
            tasks = [asyncio.create_task(receive(one, finishing)), asyncio.create_task(receive(other, hanging))]
            for socket in (one, other):
                await socket.send(encode(audio[:, :8000]))
            assert (await web.get("/readyz")).status_code == 200
            running.send_signal(signal.SIGTERM)
            while (ready := await web.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
            assert ready.json()["reason"] == "draining"
            late = await talk(url, [END])
            upload = await web.post("/enhance", content=b"RIFF", headers={"Content-Type": "audio/wav"})
            assert (upload.status_code, upload.json()["code"], upload.headers["retry-after"]) == (503, "restarting", "2")
            await one.send(encode(audio[:, 8000:]))
            await send(one, END)
            return late, (await tasks[0], finishing), (await tasks[1], hanging)

    late, finished, cut = asyncio.run(stop())
    assert (late.close_code, late.error["code"]) == (1012, "restarting")
    assert finished[0] == 1000
    assert finished[1][-1]["samples_out"] == 16000
    assert (decode(b"".join(part for part in finished[1] if isinstance(part, bytes))) == audio).all()
    assert cut[0] == 1012
    assert cut[1][-1].keys() == {"type", "code", "message"}
    assert cut[1][-1]["code"] == "restarting"
    assert running.wait(10) == 0
    assert running.stderr.read() == b""


def test_a_stream_that_has_ended_is_closed_as_one_although_the_server_is_stopped_meanwhile(serve, monkeypatch):
    close = websocket._close

    async def slowly(*arguments):
        await asyncio.sleep(0.5)
        await close(*arguments)

    async def stop(running):
        async with live(running.url) as one:
            heard = []
            await send(one, END)
            end = asyncio.create_task(receive(one, heard))
            while not any(isinstance(message, dict) and message["type"] == "summary" for message in heard):
                await asyncio.sleep(0.01)
            running.server.should_exit = True
            return await end

    monkeypatch.setattr("service.live.websocket._close", slowly)
    with serve(drain_seconds=5) as running:
        assert asyncio.run(stop(running)) == 1000
