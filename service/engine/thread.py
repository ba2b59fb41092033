"""The engine: one thread that steps the networks for every live stream, in batches.

The event loop hands over whole hops (``submit``); the thread takes the lanes that are due, most urgent first, steps
them together variant by variant, and wakes the event loop once with all results; when, says ``turns``. A lane is one row
of state: one channel of one stream in one variant. The thread knows nothing of clients, the event loop nothing of networks.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from models.zoo import Variant
from service.engine.lane import Deliver, Fail, Lane, Timing, Work
from service.engine.scheduling import Pace, take_due
from service.engine.states import StateTable
from service.engine.stepping import step
from service.engine.turns import InTurns, SideBySide

Array = npt.NDArray[np.float32]
Result = tuple[Lane, Callable[..., None], tuple[object, ...]]  # what to call for a lane once it has been stepped
SWITCH_SECONDS = 0.0005  # a busy event loop gives way to the engine after this, rather than after Python's 5 ms
STOP_SECONDS = 5.0  # a thread that hangs is not waited for longer

log = logging.getLogger(__name__)


class Engine:
    """Batches the streams that are due. Start it, open lanes, submit hops, stop it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        capacity: int,
        observe: Callable[[str, int, int, float], None],
        count_resets: Callable[[int], None] = lambda rows: None,
        one_processor: bool = False,
    ) -> None:
        """
        Args:
            loop: Where results are delivered.
            capacity: Largest number of lanes of one variant.
            observe: Called by the engine thread after every step with the variant's name, its rows, hops and seconds.
            count_resets: Called by the engine thread when rows were no longer finite, with their number.
            one_processor: Whether thread and event loop share one.
        """
        self._loop, self._capacity, self._observe, self._count_resets = loop, capacity, observe, count_resets
        # a variant that was replaced, and that no lane goes through any more, takes its table with it
        self._tables: WeakKeyDictionary[Variant, StateTable] = WeakKeyDictionary()
        self._ready: dict[Lane, None] = {}  # lanes with waiting hops, in order of arrival
        self._wake = threading.Condition()
        self._stopping = False
        self._pace = Pace(time.perf_counter())
        at = self._wake, self._ready, self._pace
        self._turns = InTurns(loop, *at) if one_processor else SideBySide(*at)
        self._steps = 0
        self._stepping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the running step, if that ends soon; waiting hops are dropped."""
        self.abandon()
        self._thread.join(STOP_SECONDS)

    def abandon(self) -> None:
        """Deliver nothing more, and stop after the running step, whenever that ends."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def step_number(self) -> int | None:
        """The step that the thread is in, counted from 1, or None while it waits for work."""
        return self._steps if self._stepping else None

    @property
    def lag(self) -> float:
        """Seconds that the oldest work has waited since it was both handed over and due."""
        now = time.perf_counter()
        with self._wake:
            heads = [lane.jobs[0] for lane in self._ready]
        return max((now - max(deadline, submitted) for _, deadline, submitted in heads), default=0.0)

    @property
    def waiting_seconds(self) -> float:
        """Audio that has been handed over and is not taken up yet, of all lanes together."""
        with self._wake:
            return sum(sum(len(job[0]) for job in lane.jobs) / lane.variant.sample_rate for lane in self._ready)

    @property
    def lanes(self) -> int:
        """Lanes that are open."""
        with self._wake:
            return sum(table.used for table in self._tables.values())

    def has_room(self, variant: Variant, lanes: int) -> bool:
        """Whether so many more lanes of a variant can be opened."""
        table = self._tables.get(variant)
        return (table.used if table else 0) + lanes <= self._capacity

    def open(self, variant: Variant, deliver: Deliver, fail: Fail) -> Lane:
        """A lane with the state of a new stream.

        Args:
            variant: The network.
            deliver: Called in the event loop with each step's output ``[samples]``, in order.
            fail: Called in the event loop when its step raised; the lane gets no more output.

        Raises:
            MemoryError: No row is free.
        """
        with self._wake:
            table = self._tables.get(variant)
            if table is None:
                table = self._tables[variant] = StateTable(variant.initial_state, self._capacity)
            return Lane(variant, table.acquire(), deliver, fail)

    def close(self, lane: Lane) -> None:
        """Give the lane's row back; what still waits is dropped, and nothing is delivered any more."""
        with self._wake:
            if not lane.closed:
                lane.closed = True
                lane.jobs.clear()
                self._ready.pop(lane, None)
                self._tables[lane.variant].release(lane.row)

    def submit(self, lane: Lane, audio: Array, deadline: float) -> None:
        """Hand over whole hops; call it in the event loop.

        Args:
            lane: An open lane.
            audio: ``[hops * hop]``; kept, so it must not be changed afterwards.
            deadline: Urgency, on the clock of ``time.perf_counter``: when the audio is due.
        """
        with self._wake:
            if lane.closed or lane.failed:
                return
            lane.jobs.append((audio, deadline, time.perf_counter()))
            self._ready[lane] = None
        self._turns.plan()

    def _run(self) -> None:
        try:
            with np.errstate(all="ignore"):
                self._serve()
        except BaseException:  # whoever watches over the engine sees that it is gone
            log.critical("the engine has stopped", exc_info=True)
        finally:
            self._turns.end()

    def _serve(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._turns.given)
                if self._stopping:
                    return
            self._turns.gather()
            with self._wake:
                batches = take_due(self._ready, time.perf_counter(), self._pace.early_hops)
            results: list[Result] = []
            for batch in batches:
                results += self._step(batch)
                if self._stopping:
                    return  # maybe for long: nobody waits for this any more
            with self._wake:  # at once, as the delivery plans the next turn, which begins only after the end of this one
                self._loop.call_soon_threadsafe(self._deliver, results)
                self._turns.end()

    def _deliver(self, results: list[Result]) -> None:
        _call_all(results)
        self._turns.plan()

    def _begin(self) -> None:
        self._steps += 1
        self._stepping = True

    def _step(self, batch: list[Work]) -> list[Result]:
        variant = batch[0].lane.variant
        table = self._tables[variant]
        begin = time.perf_counter()
        self._begin()
        rows = [work.lane.row for work in batch]
        audio = np.concatenate([work.audio for work in batch]).reshape(len(batch), -1)  # half of what stack takes
        stepped = step(variant, audio, table.rows[rows], self._begin)
        self._stepping = False
        if self._stopping:
            return []
        with self._wake:  # a lane closed meanwhile may have passed its row on: leave that row alone
            live = [index for index, work in enumerate(batch) if not work.lane.closed]
            if len(live) == len(batch):  # as mostly: nothing to pick
                table.rows[rows] = stepped.states
            else:
                table.rows[[rows[index] for index in live]] = stepped.states[live]
            for index in stepped.failed:
                self._drop(batch[index].lane)
        end = time.perf_counter()
        self._pace.observe_step(begin, end, len(batch) * audio.shape[1] // variant.hop)
        if stepped.reset:
            self._note_resets([batch[index].lane for index in stepped.reset])
        results: list[Result] = []
        if stepped.failed:  # the time says nothing about the variant
            results = [(batch[index].lane, batch[index].lane.fail, (error,)) for index, error in stepped.failed.items()]
        else:
            self._observe(variant.name, len(batch), audio.shape[1] // variant.hop, end - begin)
        results += [
            (work.lane, work.lane.deliver, (out, Timing(begin - work.submitted, end - begin, len(batch))))
            for work, out in zip(batch, stepped.enhanced, strict=True)
            if not work.lane.failed
        ]
        return results

    def _drop(self, lane: Lane) -> None:
        """Step a lane no more; call it with the lock held."""
        lane.failed = True
        lane.jobs.clear()
        self._ready.pop(lane, None)

    def _note_resets(self, lanes: list[Lane]) -> None:
        for lane in lanes:
            lane.resets += 1
        self._count_resets(len(lanes))
        log.warning("%d rows of %s were no longer finite and begin anew", len(lanes), lanes[0].variant.name)


def _call_all(results: list[Result]) -> None:
    for lane, function, arguments in results:
        if lane.closed:  # by its stream, since the step, or by what was called just before
            continue
        try:
            function(*arguments)
        except Exception:  # one stream's fault must not reach the next
            log.exception("delivering a result failed")
