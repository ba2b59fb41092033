"""What one key or one address may use, on a clock of its own and over a real server."""

import asyncio
import contextlib

import httpx
import pytest

from service.admission.quotas import Client, HourlySum, Quotas, subscriber
from service.errors import ServiceError
from service.settings import Settings

from .client import END, encode, live, noise, receive, stream, talk, until
from .files import post, write

KEYS = ["one-key", "two-key"]


class Clock:
    now = 1e6

    def __call__(self):
        return self.now


def client(key=b"a", address="10.0.0.1"):
    return Client(key, address)


def refused(quotas, who, kind="streams"):
    with pytest.raises(ServiceError) as caught, quotas.lease(who, kind):
        pass
    assert caught.value.code == "overloaded"
    return caught.value


def test_seconds_are_forgotten_after_an_hour():
    total = HourlySum()
    for minute in range(120):
        total.add(1.0, minute * 60.0)
        assert total.total(minute * 60.0) == min(minute + 1, 61)
    assert total.relief(119 * 60.0) <= 121
    assert total.total(1e6) == 0


def test_streams_at_once_are_counted_by_key_and_given_back():
    quotas = Quotas(Settings(key_streams=2))
    with quotas.lease(client(), "streams"), quotas.lease(client(address="10.0.0.2"), "streams"):
        refused(quotas, client(address="10.0.0.3"))
        with quotas.lease(client(b"b"), "streams"), quotas.lease(client(), "uploads"):
            pass  # neither another key's nor another kind's matter
    with quotas.lease(client(), "streams"):
        pass


def test_a_refusal_leaves_no_trace():
    quotas = Quotas(Settings(key_streams=5, address_streams=1))
    with quotas.lease(client(), "streams"):
        for _ in range(10):
            assert "address" in refused(quotas, client()).message
    with contextlib.ExitStack() as stack:
        for index in range(5):
            stack.enter_context(quotas.lease(client(address=f"10.0.1.{index}"), "streams"))
        assert "key" in refused(quotas, client(address="10.0.1.9")).message


def test_audio_is_counted_by_the_hour_however_many_streams_it_comes_in():
    clock = Clock()
    quotas = Quotas(Settings(address_audio_seconds=100), clock)
    with quotas.lease(client(None), "streams") as one, quotas.lease(client(None), "uploads") as two:
        one.charge(30)
        one.charge(60)
        with pytest.raises(ServiceError):
            two.charge(40)
        error = refused(quotas, client(None))
        assert 3600 < error.retry_seconds < 3662
    clock.now += error.retry_seconds
    with quotas.lease(client(None), "streams") as one:
        one.charge(99)


def test_owners_are_forgotten_when_they_are_gone():
    clock = Clock()
    quotas = Quotas(Settings(address_streams=1, address_audio_seconds=10), clock)
    for index in range(50):
        with quotas.lease(client(address=f"10.0.1.{index}"), "streams") as lease:
            lease.charge(1)
    clock.now += 3700
    with quotas.lease(client(), "streams"):
        assert len(quotas._accounts) == 1


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("unix", "", False),
    ],
)
def test_an_address_stands_for_what_one_subscriber_has(first, second, same):
    assert (subscriber(first) == subscriber(second)) is same


def test_a_key_with_all_its_streams_is_refused_and_another_is_not(serve):
    async def fill(running):
        async with live(running.url, token="one-key") as first:
            events = []
            task = asyncio.create_task(receive(first, events))
            await first.send(encode(noise(0.1)))
            await until(lambda: len(events) > 1)
            more = await talk(running.url, [END], token="one-key")
            other = await stream(running.url, noise(0.1), token="two-key")
            await first.close()
            await task
        await until(lambda: not running.runtime._streams)
        return more, other, await stream(running.url, noise(0.1), token="one-key")

    with serve(api_keys=KEYS, key_streams=1) as running:
        more, other, again = asyncio.run(fill(running))
    assert (more.close_code, more.error["code"]) == (4429, "overloaded")
    assert [event["type"] for event in more.events] == ["error"]
    assert other.summary["samples_out"] == again.summary["samples_out"] == 1600


def test_a_stream_over_the_hours_audio_is_ended_and_so_are_uploads_refused(serve):
    async def talkative(running):
        async def audio():
            for index in range(100):
                yield encode(noise(0.1, index))
                await asyncio.sleep(0.02)

        return await talk(running.url, audio())

    with serve(address_audio_seconds=1.5) as running:
        wav = write(noise(0.2), 16000)
        assert post(running.http, wav).status_code == 200
        result = asyncio.run(talkative(running))
        assert (result.close_code, result.error["code"]) == (4429, "overloaded")
        assert "1.5 seconds" in result.error["message"]
        answer = post(running.http, wav)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert 3500 < int(answer.headers["retry-after"]) < 3700
        assert httpx.get(f"{running.http}/readyz").status_code == 200  # for everybody else


def test_uploads_at_once_are_counted_by_key(serve):
    headers = {"Authorization": "Bearer one-key"}
    with serve(api_keys=KEYS, key_uploads=1) as running:
        key = running.runtime.access.identify({"authorization": "Bearer one-key"}, None, "").key
        with running.runtime.files.upload(Client(key, "")):
            answer = post(running.http, write(noise(0.1), 16000), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert post(running.http, write(noise(0.1), 16000), headers={"Authorization": "Bearer two-key"}).status_code == 200
        assert post(running.http, write(noise(0.1), 16000), headers=headers).status_code == 200
