"""Several worker processes on one port: real processes, signals and sockets."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket

import httpx
import numpy as np
import psutil
import pytest

from models.offline import enhance
from service.processes.worker import share
from service.settings import Settings

from .client import END, encode, live, noise, receive, send, stream, until
from .process import started

DEATHS = "quietwire_worker_deaths_total"
PRUNED_SECONDS = 'quietwire_audio_seconds_total{variant="crn/pruned"}'  # of live audio


async def shows(served, name, value):
    """Wait until the metrics say so: a worker tells the others its values once a second."""
    await until(lambda: abs(served.metric(name) - value) < 1e-6)


@contextlib.contextmanager
def two_workers(zoo, folder, *flags):
    """`quietwire serve --workers 2`, with ``folder`` for temporary files."""
    flags = ["--workers", 2, "--drain-seconds", 10, "--log-level", "warning", *flags]
    with started(folder, "--zoo", zoo, *flags, variants=["crn/original", "crn/pruned"]) as served:
        yield served


@pytest.fixture(scope="module")
def served(zoo_folder, tmp_path_factory):
    """Room for two streams; its folder holds its variants as well."""
    folder = tmp_path_factory.mktemp("workers")
    shutil.copytree(zoo_folder, folder / "zoo")
    with two_workers(folder / "zoo", folder, "--max-streams", "2") as one:
        yield one


def test_streams_go_to_the_workers_with_room(served, running):
    audio = [noise(1.0, seed) for seed in (1, 2)]

    async def play():
        async with contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(live(served.url, variant="original")) for _ in audio]
            for socket in sockets:
                assert '"ready"' in await socket.recv()
            assert list(served.connections().values()) == [1, 1]
            refused = await stream(served.url, audio[0])
            assert (refused.close_code, refused.error["code"]) == (4429, "overloaded")
            events = [[], []]
            for socket, sound in zip(sockets, audio, strict=True):
                await socket.send(encode(sound))
                await send(socket, END)
            assert [await receive(*pair) for pair in zip(sockets, events, strict=True)] == [1000, 1000]
        return [b"".join(part for part in one if isinstance(part, bytes)) for one in events]

    for output, sound in zip(asyncio.run(play()), audio, strict=True):
        expected = encode(enhance(running.variant("crn/original"), sound))
        np.testing.assert_allclose(np.frombuffer(output, "<i2"), np.frombuffer(expected, "<i2"), atol=4)


def test_any_worker_shows_what_all_have_counted(served):
    async def play():
        before = served.metric(PRUNED_SECONDS)
        await shows(served, "quietwire_workers", 2)
        async with live(served.url, variant="pruned") as one, live(served.url, variant="pruned") as two:
            for socket in (one, two):
                await socket.recv()
            await shows(served, "quietwire_live_streams", 2)
            for socket in (one, two):
                await socket.send(encode(noise(0.5)))
                await send(socket, END)
                assert await receive(socket, []) == 1000
        await shows(served, "quietwire_live_streams", 0)
        await shows(served, PRUNED_SECONDS, before + 1.0)

    asyncio.run(play())


def test_a_hang_up_signal_replaces_every_worker_while_streams_go_on(served):
    before = served.workers

    async def play():
        async with live(served.url) as socket:
            await socket.recv()
            served.process.send_signal(signal.SIGHUP)
            await until(lambda: served.workers - before)
            await socket.send(encode(noise(0.5)))
            await send(socket, END)
            assert await receive(socket, []) == 1000
        await until(lambda: len(served.workers) == 2 and not served.workers & before)
        assert (await stream(served.url, noise(0.1))).close_code == 1000

    asyncio.run(play())


def test_a_restart_is_given_up_when_a_new_worker_cannot_start(served):
    before, zoo = served.workers, served.folder / "zoo"
    zoo.rename(served.folder / "elsewhere")
    served.process.send_signal(signal.SIGHUP)
    asyncio.run(until(lambda: "the restart is given up" in served.log))
    (served.folder / "elsewhere").rename(zoo)
    assert re.search(r"worker \d+ has died \(no variant could be loaded", served.log)
    assert served.workers == before
    assert asyncio.run(stream(served.url, noise(0.1))).close_code == 1000


def test_a_worker_that_dies_is_replaced_and_what_it_counted_stays(served):
    async def play():
        before, workers = served.metric(PRUNED_SECONDS), served.workers
        assert (await stream(served.url, noise(0.5), variant="pruned")).close_code == 1000
        await shows(served, PRUNED_SECONDS, before + 0.5)
        for pid in workers:  # whichever served the stream
            os.kill(pid, signal.SIGKILL)
            await until(lambda: pid not in served.workers and len(served.workers) == 2)  # noqa: B023
            assert f"worker {pid} has died (signal 9)" in served.log
            await shows(served, "quietwire_workers", 2)
        assert served.metric(PRUNED_SECONDS) == pytest.approx(before + 0.5)
        assert (await stream(served.url, noise(0.1))).close_code == 1000

    asyncio.run(play())


def test_a_full_disk_when_a_worker_dies_costs_the_others_nothing_and_its_counts_are_kept_later(served):
    async def play():
        deaths, before = (served.metric(name) for name in (DEATHS, PRUNED_SECONDS))
        [folder] = served.folder.glob("quietwire-*")
        (folder / "retired.part").mkdir()  # nothing can be written there
        for pid in served.workers:
            os.kill(pid, signal.SIGKILL)
            await until(lambda: pid not in served.workers and len(served.workers) == 2)  # noqa: B023
            await until(lambda: f"worker {pid} has died (signal 9)" in served.log)  # noqa: B023
        assert served.log.count("the counts of a worker that has ended cannot be kept for now: Is a directory") >= 2
        assert (await stream(served.url, noise(0.1))).close_code == 1000
        (folder / "retired.part").rmdir()
        await shows(served, DEATHS, deaths + 2)
        await shows(served, "quietwire_workers", 2)
        assert served.metric(PRUNED_SECONDS) == pytest.approx(before)

    asyncio.run(play())


def test_a_stop_lets_the_streams_of_all_workers_finish(zoo_folder, tmp_path):
    audio = noise(1.0)

    async def stop(served):
        async with live(served.url, attenuation_limit_db=0) as one, live(served.url, attenuation_limit_db=0) as two:
            for socket in (one, two):
                await socket.recv()
                await socket.send(encode(audio[:, :8000]))
            served.process.send_signal(signal.SIGTERM)
            await until(lambda: httpx.get(f"{served.http}/readyz").json()["reason"] == "draining")  # full it was before
            received = []
            for socket in (one, two):
                events = []
                await socket.send(encode(audio[:, 8000:]))
                await send(socket, END)
                assert await receive(socket, events) == 1000
                received.append(b"".join(part for part in events if isinstance(part, bytes)))
        return received

    with two_workers(zoo_folder, tmp_path, "--max-streams", "2") as served:
        received = asyncio.run(stop(served))
        assert served.process.wait(20) == 0
        assert served.log == ""
    assert received == [encode(audio)] * 2
    assert list(tmp_path.glob("quietwire-*")) == []


def test_workers_that_cannot_start_end_in_one_sentence(quietwire, tmp_path):
    code, out, error = quietwire("serve", "--workers", "2", "--port", "0", "--zoo", tmp_path)
    assert (code, out) == (1, "")
    assert error.startswith("quietwire: ")
    assert str(tmp_path) in error
    assert error.count("\n") == 1


def listens_on(address):
    with contextlib.suppress(OSError), socket.create_server((address, 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.skipif(
    "::1" not in {found[4][0] for found in socket.getaddrinfo("localhost", None)} or not listens_on("::1"),
    reason="localhost has no IPv6 address here",
)
def test_workers_listen_on_all_addresses_of_a_host(zoo_folder, tmp_path):
    with two_workers(zoo_folder, tmp_path, "--host", "localhost") as served:
        for address in ("127.0.0.1", "[::1]"):
            assert httpx.get(f"http://{address}:{served.port}/readyz").status_code == 200


def test_what_is_counted_for_the_whole_server_is_divided():
    settings = Settings(workers=3, max_streams=100, uploads=2)
    parts = [share(settings, index) for index in range(3)]
    assert [part.max_streams for part in parts] == [34, 33, 33]
    assert [part.uploads for part in parts] == [1, 1, 1]
    assert [part.drain_seconds for part in parts] == [settings.drain_seconds] * 3


def test_workers_do_not_outlive_their_supervisor(served):  # the last test, as it leaves nothing to the others
    workers = [psutil.Process(pid) for pid in served.workers]
    assert len(workers) == 2
    served.process.kill()
    assert psutil.wait_procs(workers, 20)[1] == []
    assert list(served.folder.glob("quietwire-*")) == []
