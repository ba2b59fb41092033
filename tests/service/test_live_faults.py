"""Faults of the server, and clients that do not do their part: each ends its own stream only."""

import asyncio
import json
import logging
import socket

import numpy as np
import pytest

from models.offline import enhance
from models.zoo import Variant

from .client import END, encode, live, noise, receive, send, stream, talk, until


class StepError(Exception):
    """Raised by a network on purpose."""


@pytest.fixture
def broken_fcn(monkeypatch):
    """Steps of fcn/pruned raise."""
    step = Variant.step

    def step_or_raise(self, audio, state):
        if self.name == "fcn/pruned":
            raise StepError
        return step(self, audio, state)

    monkeypatch.setattr(Variant, "step", step_or_raise)


def test_a_step_that_fails_ends_the_streams_of_its_batch_and_no_others(running, broken_fcn, caplog):
    async def all_at_once():
        failing = [talk(running.url, [encode(noise(0.5)), END], model="fcn", variant="pruned") for _ in range(3)]
        switching = talk(
            running.url, [encode(noise(0.5)), {"type": "configure", "model": "fcn"}, encode(noise(0.5)), END], variant="pruned"
        )
        working = [stream(running.url, audio, model="fcn", variant="original") for audio in sounds]
        return await asyncio.gather(switching, *failing), await asyncio.gather(*working)

    sounds = [noise(1.0, seed) for seed in range(3)]
    with caplog.at_level(logging.CRITICAL):
        failed, worked = asyncio.run(all_at_once())
    for result in failed:
        assert (result.close_code, result.error["code"]) == (1011, "internal")
        assert "StepError" not in json.dumps(result.error)
    for result, audio in zip(worked, sounds, strict=True):
        np.testing.assert_allclose(result.audio, enhance(running.variant("fcn/original"), audio), atol=1e-4)
    asyncio.run(until(lambda: running.runtime.engine.lanes == 0))
    assert running.runtime.engine.alive


def test_a_stream_after_a_fault_works(running, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Variant, "step", lambda *_: 1 / 0)
        assert asyncio.run(talk(running.url, [encode(noise(0.1)), END])).close_code == 1011
    assert asyncio.run(stream(running.url, noise(0.1))).summary["samples_out"] == 1600


def test_a_client_that_never_reads_is_cut_off_and_others_are_not_delayed(serve, monkeypatch):
    monkeypatch.setattr("service.live.websocket.CLOSE_SECONDS", 0.1)
    monkeypatch.setattr("service.live.transport.LINGER_SECONDS", 0.1)
    audio = noise(20.0, 5, 48000, 2)
    data = encode(audio, "pcm_f32le")

    async def deaf(running):
        """Sends for ever over a connection with a small window, reading nothing."""
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        plain.connect(("127.0.0.1", running.port))
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        query = "sample_rate=48000&channels=2&encoding=pcm_f32le"
        request = (
            f"GET /ws/enhance?{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        with plain:
            await loop.sock_sendall(plain, request.encode())
            await loop.sock_recv(plain, 1024)  # nothing may be sent before the answer, and nothing is read after it
            try:
                for start in range(0, len(data), 1 << 16):
                    part = data[start : start + (1 << 16) - 64]
                    part = part[: len(part) // 8 * 8]
                    header = b"\x82\xfe" + len(part).to_bytes(2, "big") + bytes(4)  # a mask of zeros
                    await loop.sock_sendall(plain, header + part)
            except ConnectionError:
                pass
            await until(lambda: sample("quietwire_errors_total", {"code": "overloaded"}) == 1)
            await until(lambda: not running.server.server_state.connections)

    async def beside():
        task = asyncio.create_task(deaf(running))
        result = await stream(running.url, noise(3.0), variant="original")
        await task
        assert running.runtime.engine.lanes == 0
        return result

    with serve(max_unread_seconds=1, max_ahead_seconds=100) as running:
        sample = running.runtime.metrics.registry.get_sample_value
        result = asyncio.run(beside())
    np.testing.assert_allclose(result.audio, enhance(running.variant("crn/original"), noise(3.0)), atol=1e-4)


def test_a_client_ahead_of_real_time_is_slowed_down_and_loses_nothing(serve):
    with serve(max_ahead_seconds=1) as running:
        result = asyncio.run(stream(running.url, noise(1.5), [8000, 8000, 4000]))
    assert result.summary["samples_out"] == 24000


def test_a_ping_frame_is_answered_while_a_stream_runs(running):
    async def ping():
        async with live(running.url) as connection:
            events = []
            task = asyncio.create_task(receive(connection, events))
            await connection.send(encode(noise(0.1)))
            await (await connection.ping())
            await send(connection, END)
            return await task

    assert asyncio.run(ping()) == 1000
