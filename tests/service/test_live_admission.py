"""Who is let in: keys, origins, and room."""

import asyncio
import json

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from .client import END, encode, live, noise, send, stream, talk, until

KEYS = ["first-key", "second-kéy"]


@pytest.fixture(scope="module")
def guarded(serve):
    with serve(api_keys=KEYS, allowed_origins=["https://good.example"]) as running:
        yield running


@pytest.mark.parametrize(
    "query", [{}, {"token": ""}, {"token": "first-ke"}, {"token": "first-key2"}, {"token": "k\u00e9y\u4e00"}]
)
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": "Basic first-key"}]
)
def test_no_stream_without_a_valid_key(guarded, headers, query):
    result = asyncio.run(talk(guarded.url, [END], headers, **query))
    assert (result.close_code, result.error["code"]) == (4401, "unauthorized")
    assert [event["type"] for event in result.events] == ["error"]


@pytest.mark.parametrize("key", KEYS)
def test_a_valid_key_is_taken_from_the_parameter(guarded, key):
    assert asyncio.run(stream(guarded.url, noise(0.1), token=key)).summary["samples_out"] == 1600


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_a_valid_key_is_taken_from_the_header(guarded, scheme):
    headers = {"Authorization": f"{scheme} first-key"}
    assert asyncio.run(stream(guarded.url, noise(0.1), headers=headers)).summary["samples_out"] == 1600


def test_where_no_key_is_asked_for_any_is_welcome(running):
    headers = {"Authorization": "Bearer whatever"}
    assert asyncio.run(stream(running.url, noise(0.1), headers=headers)).summary["samples_out"] == 1600


def test_a_page_that_is_not_on_the_list_is_refused(guarded):
    headers = {"Authorization": "Bearer first-key", "Origin": "https://evil.example"}
    result = asyncio.run(talk(guarded.url, [END], headers))
    assert (result.close_code, result.error["code"]) == (4403, "forbidden_origin")


@pytest.mark.parametrize("origin", [{"Origin": "https://good.example"}, {}], ids=["listed", "none, as outside browsers"])
def test_a_page_on_the_list_is_let_in(guarded, origin):
    headers = {"Authorization": "Bearer first-key", **origin}
    assert asyncio.run(stream(guarded.url, noise(0.1), headers=headers)).summary["samples_out"] == 1600


def test_one_stream_too_many_is_refused_until_another_ends(serve):
    async def full():
        async with live(running.url) as first, httpx.AsyncClient(base_url=running.http) as web:
            await first.recv()
            ready = await web.get("/readyz")
            refused = await talk(running.url, [END])
            await first.send(encode(noise(0.1)))
            await send(first, END)
            try:
                while True:
                    message = await first.recv()
            except ConnectionClosed:
                summary = json.loads(message)
            await until(lambda: running.runtime.has_room)
            again = await talk(running.url, [END])
            return ready, refused, summary, first.close_code, again, (await web.get("/readyz")).status_code

    with serve(max_streams=1) as running:
        ready, refused, summary, close_code, again, status = asyncio.run(full())
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "2")
    assert (refused.close_code, refused.error["code"]) == (4429, "overloaded")
    assert (summary["samples_out"], close_code) == (1600, 1000)
    assert again.summary["samples_out"] == 0
    assert status == 200


def test_a_machine_too_slow_for_another_stream_takes_none_and_says_so_until_it_is_faster(serve):
    with serve(max_load=0.5) as running:
        capacity = running.runtime.capacity
        capacity.slowdown *= 1e6
        result = asyncio.run(talk(running.url, [END]))
        ready = httpx.get(f"{running.http}/readyz")
        capacity.slowdown /= 1e6
        again = asyncio.run(talk(running.url, [END]))
    assert (result.close_code, result.error["code"]) == (4429, "overloaded")
    assert (ready.status_code, ready.json()["reason"]) == (503, "no room for another stream")
    assert again.close_code == 1000


def test_a_stream_may_not_switch_to_a_variant_for_which_there_is_no_time(serve):
    with serve(max_load=0.5) as running:
        capacity = running.runtime.capacity
        fixed, row = capacity._times["fcn/original"]
        capacity._times["fcn/original"] = fixed, row * 1e6
        result = asyncio.run(talk(running.url, [{"type": "configure", "model": "fcn"}, END], variant="original"))
    assert (result.close_code, result.error["code"]) == (4429, "overloaded")
    assert "fcn/original" in result.error["message"]


def test_a_stream_may_switch_to_a_variant_that_takes_less_however_busy_the_machine_is(serve, monkeypatch):
    async def switch(capacity):
        async with live(running.url, model="fcn", variant="original") as connection:
            await connection.recv()
            monkeypatch.setattr(capacity, "cost", lambda variant: {"fcn/original": 2e6, "crn/pruned": 1e6}[variant.name])
            await send(connection, {"type": "configure", "model": "crn", "variant": "pruned"})
            return json.loads(await connection.recv())

    with serve(max_load=0.5) as running:
        answer = asyncio.run(switch(running.runtime.capacity))
    assert (answer["type"], answer["model"], answer["variant"]) == ("configured", "crn", "pruned")
