"""A machine that slows down under streams that were let in: who has to go, and that the others lose nothing."""

import asyncio
import contextlib
import threading
import time
from functools import partial

from websockets.exceptions import ConnectionClosed

from models.zoo import Variant
from service import runtime as runtime_module
from service.engine.overload import Overload

from .client import END, chunks, encode, live, noise, send, until

STREAMS, SECONDS = 6, 10.0


async def microphone(socket, data, stopped):
    """Send at real-time pace until stopped, then end; gives the samples sent, those received, and the close code."""
    sent = received = 0

    async def listen():
        nonlocal received
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                received += len(message) // 2 if isinstance(message, bytes) else 0

    listening = asyncio.create_task(listen())
    with contextlib.suppress(ConnectionClosed):  # the server may close between two messages
        for chunk in chunks(data):
            if stopped():
                break
            await socket.send(chunk)
            sent += len(chunk) // 2
            await asyncio.sleep(0.02)
        await send(socket, END)
    await asyncio.wait([listening], timeout=20)
    return sent, received, socket.close_code


def test_a_lasting_overload_closes_the_newest_and_the_others_lose_no_sample(serve, monkeypatch):
    slow = threading.Event()
    step = Variant.step

    def slowed(self, audio, state):
        if slow.is_set():
            time.sleep(0.3)
        return step(self, audio, state)

    monkeypatch.setattr(Variant, "step", slowed)
    monkeypatch.setattr(runtime_module, "Overload", partial(Overload, patience=0.3))

    async def talk_at_once():
        data, over = encode(noise(SECONDS)), threading.Event()
        async with contextlib.AsyncExitStack() as stack:
            query = {"variant": "pruned", "stats": "off"}
            sockets = []
            for _ in range(STREAMS):
                sockets.append(await stack.enter_async_context(live(running.url, **query)))
                await sockets[-1].recv()  # `ready`: let in, before the next one asks
            talking = [asyncio.create_task(microphone(socket, data, over.is_set)) for socket in sockets]
            slow.set()
            await until(lambda: any(socket.close_code for socket in sockets))
            slow.clear()
            over.set()
            return await asyncio.gather(*talking)

    with serve() as running:
        results = asyncio.run(talk_at_once())
    codes = [code for _, _, code in results]
    closed = codes.count(4429)
    assert 1 <= closed < STREAMS
    assert codes == [1000] * (STREAMS - closed) + [4429] * closed, "the oldest stay"
    assert all(sent == received for sent, received, code in results if code == 1000)
