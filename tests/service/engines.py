"""An engine with a network that counts, and what goes in and comes out."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np

from service.engine.thread import Engine

HOP = 4


class Counter:
    """Adds up each stream's input: output is the sum of all hops so far, the state's one number."""

    hop = HOP
    sample_rate = 100
    initial_state = np.zeros(1, np.float32)

    def __init__(self, name="counter"):
        self.name = name
        self.batches = []  # first samples of the rows of each step
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def step(self, audio, state):
        self.entered.set()
        self.gate.wait()
        self.batches.append((audio[:, 0].tolist(), audio.shape[1] // HOP))
        if (audio == 666).any():
            raise ValueError
        hops = audio.reshape(len(audio), -1, HOP)
        sums = state[:, :, None] + hops.cumsum(axis=1)
        return sums.reshape(audio.shape), sums[:, -1, :1]


def hops(*values):
    return np.repeat(np.float32(values), HOP)


def run_with_engine(one_processor, work, capacity=100):
    """Run a coroutine function with a started engine; gives the steps that were observed."""
    observed = []

    async def run():
        loop = asyncio.get_running_loop()
        engine = Engine(loop, capacity, lambda *step: observed.append(step[:2]), one_processor=one_processor)
        engine.start()
        try:
            await asyncio.wait_for(work(engine), 20)
        finally:
            engine.stop()
        assert not engine.alive

    asyncio.run(run())
    return observed


def lane(engine, network):
    """A lane, and what comes out of it."""
    out = SimpleNamespace(sums=[], failures=[], timings=[])

    def deliver(audio, timing):
        out.sums += audio[::HOP].tolist()
        out.timings.append(timing)

    out.lane = engine.open(network, deliver, out.failures.append)
    return out


async def blocked(engine, network, value=0):
    """A lane in whose first step the engine stays until the gate opens: all that follows waits for the same moment."""
    network.gate.clear()
    network.entered.clear()
    one = lane(engine, network)
    engine.submit(one.lane, hops(value), 0.0)
    await asyncio.to_thread(network.entered.wait)
    return one


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)
