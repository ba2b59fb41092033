"""A signal for one waiting task: as ``asyncio.Event``, smaller."""

import asyncio

import pytest

from service.live.signal import Signal


async def woken_after(actions):
    signal = Signal()
    waiting = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    for action in actions:
        getattr(signal, action)()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return done


@pytest.mark.parametrize("actions", [["set"], ["set", "set"], ["set", "clear"]], ids=str)
def test_a_task_that_waits_goes_on(actions):
    assert asyncio.run(woken_after(actions))


@pytest.mark.parametrize("actions", [[], ["clear"]], ids=str)
def test_a_task_waits_until_then(actions):
    assert not asyncio.run(woken_after(actions))


def test_what_was_set_is_not_waited_for_until_it_is_cleared():
    async def go():
        signal = Signal()
        signal.set()
        await signal.wait()
        signal.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(signal.wait(), 0.01)
        signal.set()  # the one that gave up is no longer there
        await signal.wait()

    asyncio.run(go())
