"""The folder of variants read again while the server runs: what is new is for new streams, live ones keep what they have.

Everything is done in a thread of low priority, and taken over in one go: until then, and wherever a file turns out to be
damaged, the variants that were loaded before stay in force.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from models.zoo import Variant, Zoo, ZooError, load_zoo
from service.engine.priority import yield_to_live_streams
from service.runtime import Runtime

CALIBRATIONS = 5  # of a new variant's steps, as live streams are in the way of some

log = logging.getLogger(__name__)


class Reloader:
    """Made in the event loop.

    Args:
        runtime: Whose variants are replaced.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._loop = runtime, asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def request(self) -> None:
        """Read the folder, or read it again once the reading that is under way has ended; any thread may ask."""
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._again = True
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        while self._again and not self._runtime.draining:
            self._again = False
            await self._reload()

    async def _reload(self) -> None:
        executor = ThreadPoolExecutor(1, "reload", initializer=yield_to_live_streams)
        former = self._runtime.zoo
        try:
            zoo = await self._loop.run_in_executor(executor, self._load, former)
        except ZooError as error:
            log.error("the variants stay as they are: %s", error)
        except Exception:
            log.exception("the variants stay as they are")
        else:
            self._runtime.zoo = zoo
            log.info("the variants were read again: %s", describe_changes(former, zoo))
        finally:
            executor.shutdown(wait=False)

    def _load(self, former: Zoo) -> Zoo:
        settings = self._runtime.settings
        zoo = load_zoo(settings.zoo, settings.variants, former=former)
        known = set(former.variants.values())
        for variant in zoo.variants.values():
            if variant not in known:
                self._runtime.capacity.calibrate(variant, CALIBRATIONS)
        return zoo


def describe_changes(former: Zoo, zoo: Zoo) -> str:
    """What differs between two loadings of one folder, in words."""
    before: dict[str, Variant] = {one.name: one for one in former.variants.values()}
    after: dict[str, Variant] = {one.name: one for one in zoo.variants.values()}
    words = [f"{name} is new" for name in after if name not in before]
    words += [f"{name} has changed" for name, one in after.items() if name in before and before[name] is not one]
    words += [f"{name} is gone" for name in before if name not in after]
    words += [f"{name} cannot be loaded and stays as it was" for name in zoo.outdated]
    return ", ".join(words) or "nothing has changed"
