"""Clients that send what is slow to parse: it is taken a little at a time, and everybody else has a turn in between."""

import asyncio
import contextlib
import json
import socket
import struct

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from service.http.connection import MOST_BYTES, HttpConnection
from service.live import transport
from service.live.session import Session
from service.live.transport import Transport

from .client import END, HEAD, encode, noise, talk
from .files import post, write
from .test_file_errors import FORM, WAV, assert_refused

LARGE = 1 << 18  # bytes of one read from a socket


@contextlib.asynccontextmanager
async def connection(app, transport=Transport, buffers=None):
    """The server's end of a connection, and the client's socket; with so many bytes in the kernel's buffers."""
    config = uvicorn.Config(app, http=HttpConnection, ws=transport, log_config=None, lifespan="off")
    config.load()
    listening = socket.create_server(("127.0.0.1", 0))
    client = socket.socket()
    if buffers is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
    client.connect(listening.getsockname())
    client.setblocking(False)
    accepted, _ = listening.accept()
    if buffers is not None:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
    listening.close()
    loop = asyncio.get_running_loop()
    wire, protocol = await loop.connect_accepted_socket(
        lambda: HttpConnection(config=config, server_state=ServerState(), app_state={}), accepted
    )
    try:
        yield protocol, client
    finally:
        wire.abort()
        client.close()
        await asyncio.sleep(0)


async def read_to(client, end):
    """What the server sends, up to these bytes."""
    loop, received = asyncio.get_running_loop(), b""
    while not received.endswith(end):
        more = await loop.sock_recv(client, 65536)
        assert more, received
        received += more
    return received


async def body_of(receive):
    parts = []
    while (message := await receive()).get("more_body"):
        parts.append(message["body"])
    return b"".join([*parts, message["body"]])


async def answer(send, status, body):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def test_a_body_in_chunks_of_a_byte_comes_whole_and_a_little_at_a_time():
    body = bytes(range(256)) * 150
    chunks = b"".join(b"1\r\n%c\r\n" % value for value in body) + b"0\r\n\r\n"
    assert LARGE > len(chunks) > 20 * MOST_BYTES
    received = []

    async def app(scope, receive, send):
        received.append(await body_of(receive))
        await answer(send, 200, b"all")

    async def upload():
        async with connection(app) as (protocol, client):
            head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            protocol.data_received(head + chunks)
            at_once = len(protocol.cycle.body)
            await read_to(client, b"all")
            await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await read_to(client, b"all")  # the connection goes on
            return at_once

    assert 0 < asyncio.run(upload()) < MOST_BYTES
    assert received == [body, b""]


def test_a_large_upload_that_is_read_slowly_is_not_piled_up():
    body = bytes(range(256)) * 40_000
    piled = []

    async def app(scope, receive, send):
        parts = []
        while (message := await receive()).get("more_body"):
            parts.append(message["body"])
            piled.append(len(protocols[0]._kept))
            await asyncio.sleep(0.0005)
        await answer(send, 200, b"%d" % (b"".join(parts) + message["body"] == body))

    protocols = []

    async def upload():
        async with connection(app) as (protocol, client):
            protocols.append(protocol)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await read_to(client, b"1")

    asyncio.run(upload())
    assert max(piled) <= 2 * LARGE


def test_frames_of_a_client_that_was_refused_are_taken_a_few_at_a_time():
    ping = b"\x89\x80\0\0\0\0"
    handled = []

    class Counting(Transport):
        def handle_ping(self):
            handled.append(1)
            super().handle_ping()

    async def app(scope, receive, send):  # refuses, as the service does
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "{}"})
        await send({"type": "websocket.close", "code": 4401})

    async def flood():
        async with connection(app, Counting) as (protocol, client):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, HEAD)
            await read_to(client, b"\x88\x02" + struct.pack("!H", 4401))
            protocol.transport.get_protocol().data_received(ping * (LARGE // 6))
            at_once = len(handled)
            for _ in range(200):
                await asyncio.sleep(0)
            return at_once

    assert asyncio.run(flood()) <= transport.MOST_BYTES // 6
    assert len(handled) == LARGE // 6


def test_a_stream_on_a_connection_that_had_an_answer_before_is_not_cut_off(monkeypatch):
    monkeypatch.setattr("service.http.connection.READ_SECONDS", 0.3)

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await answer(send, 200, bytes(60_000))
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "bytes": message["bytes"]})

    async def upgrade():
        async with connection(app, buffers=4096) as (protocol, client):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.05)
            assert protocol.transport.get_write_buffer_size() > 0  # the end of the answer is waited for
            await read_to(client, bytes(60_000))
            await loop.sock_sendall(client, HEAD)
            assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 101")
            echoes = []
            for _ in range(12):
                await asyncio.sleep(0.05)
                await loop.sock_sendall(client, b"\x82\x84\0\0\0\0abcd")
                echoes.append(await loop.sock_recv(client, 100))
            return echoes

    assert asyncio.run(upgrade()) == [b"\x82\x04abcd"] * 12


def test_a_body_that_breaks_the_rules_after_its_answer_is_cut_off_without_a_word(caplog):
    async def app(scope, receive, send):
        await answer(send, 401, b"no")

    async def talk():
        async with connection(app) as (_, client):
            loop = asyncio.get_running_loop()
            head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            await loop.sock_sendall(client, head + b"1\r\na\r\n")
            await read_to(client, b"no")
            await loop.sock_sendall(client, b"zz\r\nbad\r\n")
            return await loop.sock_recv(client, 4096)

    assert asyncio.run(talk()) == b""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("charset", ["punycode", "undefined", "utf-7", "nonsense"])
def test_a_form_in_an_encoding_of_the_client_s_choice_is_refused(running, charset):
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    message = assert_refused(post(running.http, FORM + WAV + b"\r\n--x--\r\n", kind), 400, "bad_request")
    assert "UTF-8" in message


def test_a_form_in_utf_8_may_say_so_and_have_short_fields_beside_the_file(running):
    field = b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\n%b\r\n'
    kind = "multipart/form-data; boundary=x; charset=UTF-8"
    file = FORM + WAV + b"\r\n--x--\r\n"
    assert post(running.http, field % "Größe".encode() + file, kind).status_code == 200
    assert_refused(post(running.http, field % (b"x" * 5000) + file, kind), 400, "bad_request")


def test_an_optional_file_that_a_form_left_empty_was_not_sent(running):
    files = {"file": ("noisy.wav", write(noise(0.5), 16000)), "reference": ("", b"")}
    answered = httpx.post(f"{running.http}/compare", files=files, params={"variants": "original"}, timeout=60)
    assert answered.status_code == 200, answered.text
    assert answered.json()["unprocessed"] is None


def test_a_long_text_message_is_refused_unread(running):
    deep = json.dumps({"type": "ping", "x": [[]] * 10_000})
    result = asyncio.run(talk(running.url, [encode(noise(0.1)), deep, END]))
    assert (result.close_code, result.error["code"]) == (4400, "bad_request")
    assert "16384 characters" in result.error["message"]


def test_the_summary_is_the_last_message_also_where_it_has_to_wait(running, monkeypatch):
    totals = Session._totals

    def full(session):  # as where the last audio has filled the buffers
        session._transport.writable.clear()
        asyncio.get_running_loop().call_later(1.3, session._transport.writable.set)
        return totals(session)

    monkeypatch.setattr(Session, "_totals", full)
    result = asyncio.run(talk(running.url, [encode(noise(0.1)), END], stats="second"))
    assert result.summary["samples_out"] == 1600
