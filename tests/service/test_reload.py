"""SIGHUP to a server of one process: the folder of variants read again under live streams."""

import asyncio
import contextlib
import gc
import hashlib
import shutil
import signal
import weakref

import httpx
import numpy as np
import onnx
import pytest

from models.card import load_card
from models.offline import enhance
from models.zoo import load_variant, load_zoo

from .client import END, decode, encode, live, noise, receive, send, stream, until
from .process import started

SOUND = noise(2.0, 9)
PATIENCE = 60  # a reload gives way to everything else on the machine


@pytest.fixture
def folder(zoo_folder, tmp_path):
    """A folder of variants of one's own."""
    return shutil.copytree(zoo_folder, tmp_path / "zoo")


def replace(folder, name, by):
    """Put the network of ``by`` in the place of another of its family, with a card that says so."""
    model = onnx.load(folder / f"{by}.onnx")
    for entry in model.metadata_props:
        if entry.key == "variant":
            entry.value = name.split("/")[1]
    data = model.SerializeToString()
    card = load_card(folder / f"{by}.json")
    (folder / f"{name}.onnx").write_bytes(data)
    facts = {"variant": name.split("/")[1], "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    card.model_copy(update=facts).save(folder / f"{name}.json")


@contextlib.asynccontextmanager
async def half_way(url, variant):
    """A live stream after its first second; gives its socket, its events and the task that receives them."""
    async with live(url, variant=variant) as socket:
        events = []
        task = asyncio.create_task(receive(socket, events))
        await socket.send(encode(SOUND[:, :16000]))
        await until(lambda: sum(len(one) for one in events if isinstance(one, bytes)) > 16000, PATIENCE)
        yield socket, events, task


async def finish(socket, events, task):
    """Its second second, sent; all it gave."""
    await socket.send(encode(SOUND[:, 16000:]))
    await send(socket, END)
    assert await task == 1000
    return decode(b"".join(one for one in events if isinstance(one, bytes)))


def loaded(served):
    """``/variants`` by name."""
    rows = httpx.get(f"{served.http}/variants").json()["variants"]
    return {f"{row['model']}/{row['variant']}": row for row in rows}


def test_a_live_stream_keeps_its_network_and_a_new_one_gets_what_is_in_the_folder_now(folder, tmp_path):
    before = load_variant(folder / "crn/original.onnx")

    async def through_a_reload(served):
        async with half_way(served.url, "original") as kept:
            replace(folder, "crn/original", "crn/pruned")
            shutil.rmtree(folder / "fcn")
            served.process.send_signal(signal.SIGHUP)
            await until(lambda: "were read again" in served.log, PATIENCE)
            new = await stream(served.url, SOUND, variant="original")
            return await finish(*kept), new

    with started(tmp_path, "--zoo", folder) as served:
        assert set(loaded(served)) == {"crn/original", "crn/pruned", "fcn/original", "fcn/pruned"}
        kept, new = asyncio.run(through_a_reload(served))
        assert set(loaded(served)) == {"crn/original", "crn/pruned"}
        upload = httpx.post(f"{served.http}/enhance?variant=original", content=b"", headers={"Content-Type": "audio/wav"})
        assert upload.status_code == 422
        assert asyncio.run(stream(served.url, noise(0.1), model="fcn")).close_code == 4404
        assert "crn/original has changed, fcn/original is gone, fcn/pruned is gone" in served.log
    after = load_variant(folder / "crn/original.onnx")
    np.testing.assert_allclose(kept, enhance(before, SOUND), atol=2e-4)
    np.testing.assert_allclose(new.audio, enhance(after, SOUND), atol=2e-4)
    assert np.abs(enhance(before, SOUND) - enhance(after, SOUND)).max() > 0.01


def test_a_file_that_is_damaged_leaves_what_was_loaded_in_force_and_says_so(folder, tmp_path):
    with started(tmp_path, "--zoo", folder) as served:
        before = loaded(served)
        (folder / "crn/original.onnx").write_bytes(b"half of a copy")
        served.process.send_signal(signal.SIGHUP)
        asyncio.run(until(lambda: "crn/original cannot be loaded and stays as it was" in served.log, PATIENCE))
        assert "SHA-256 differs from the card's" in served.log
        assert loaded(served) == before
        told = httpx.get(f"{served.http}/variants").json()
        assert (told["not_loaded"], told["outdated"]) == ([], ["crn/original"])
        assert asyncio.run(stream(served.url, noise(0.1), variant="original")).close_code == 1000
        shutil.rmtree(folder)
        served.process.send_signal(signal.SIGHUP)
        asyncio.run(until(lambda: "the variants stay as they are: no variant could be loaded" in served.log, PATIENCE))
        assert loaded(served) == before
        assert asyncio.run(stream(served.url, noise(0.1), variant="original")).close_code == 1000


def test_a_stream_that_asks_for_its_variant_again_gets_the_new_one_and_the_old_one_is_freed(serve, folder):
    async def switch(running):
        async with half_way(running.url, "pruned") as (socket, events, task):
            old = weakref.ref(running.variant("crn/pruned"))
            replace(folder, "crn/pruned", "crn/original")
            running.server.reload()
            await until(lambda: running.variant("crn/pruned") is not old(), PATIENCE)
            assert old() is not None
            await send(socket, {"type": "configure", "variant": "pruned"})
            output = await finish(socket, events, task)
        await until(lambda: gc.collect() >= 0 and old() is None, PATIENCE)
        return output

    with serve(zoo=folder) as running:
        output = asyncio.run(switch(running))
    assert output.shape == SOUND.shape
    after = enhance(load_variant(folder / "crn/pruned.onnx"), SOUND)
    assert np.abs(output[:, 24000:] - after[:, 24000:]).max() < 0.02  # after half a second it has forgotten its beginning


def test_what_has_not_changed_is_not_loaded_again(folder):
    former = load_zoo(folder)
    replace(folder, "crn/pruned", "crn/original")
    zoo = load_zoo(folder, former=former)
    same = {name for name, one in zoo.variants.items() if former.variants[name] is one}
    assert set(zoo.variants) - same == {("crn", "pruned")}
    assert (zoo.failures, zoo.outdated) == ({}, {})


def test_a_new_variant_is_measured_before_streams_are_let_in(serve, folder):
    shutil.move(folder / "fcn", folder.parent / "fcn")

    with serve(zoo=folder) as running:
        runtime = running.runtime
        shutil.move(folder.parent / "fcn", folder / "fcn")
        running.server.reload()
        asyncio.run(until(lambda: runtime.zoo.get("fcn", "original") is not None, PATIENCE))
        assert runtime.capacity.cost(running.variant("fcn/original")) > 0
        assert asyncio.run(stream(running.url, noise(0.1), model="fcn", variant="original")).close_code == 1000
