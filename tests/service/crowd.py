"""Many live streams at real-time pace while something happens to their server, and what each of them saw of it."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import numpy as np
from picows import WSError, ws_connect

from loadtest.audio import Recording, load_recordings
from loadtest.check import AudioCheck, Reference
from loadtest.clock import Network, Schedule, TimerWheel
from loadtest.microphone import Microphone, Part
from loadtest.tally import Tally
from models.offline import enhance
from models.zoo import Variant
from service.audio.pcm import encode

CHUNK_MS = 20
JOIN_SECONDS = 0.02  # from one stream to the next
GRACE_SECONDS = 15.0  # beyond the drain time
TOLERANCE = 1e-3

Role = Literal["ends", "stays", "comes"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the streams do.

    Attributes:
        ending: Streams that are there before, and end afterwards, one after the other.
        staying: Streams that are there before, and never end by themselves.
        seconds: How long all of these are live before it happens.
        ending_seconds: From the first of these ends to the last.
        drain_seconds: Of the server.
        newcomer_seconds: From one stream that comes afterwards to the next, each a second long; None for none.
    """

    ending: int
    staying: int
    seconds: float
    ending_seconds: float
    drain_seconds: float
    newcomer_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one stream ended.

    Attributes:
        role: See ``Plan``.
        code: The close code; 1006 where the connection just ended.
        error: The protocol's name of the error, or None.
        sent: Samples sent.
        received: Samples received.
        told: Samples in and out, by the server's summary.
        fault: What was wrong with the audio or the messages, or None.
    """

    role: Role
    code: int
    error: str | None
    sent: int
    received: int
    told: tuple[int, int] | None
    fault: str | None


def sounds(variant: Variant, seconds: float, chunk_ms: int = CHUNK_MS) -> list[tuple[Recording, Reference]]:
    """Speech, and what the variant makes of so many seconds of it, over and over, without a server."""
    pairs = []
    for recording in load_recordings([], variant.sample_rate, chunk_ms, 8.0, 4):
        samples = np.resize(recording.samples, round(seconds * recording.rate))
        enhanced = enhance(variant, samples.astype(np.float32) / np.float32(32768))
        expected = np.frombuffer(encode(enhanced[None], "pcm_s16le"), "<i2")
        tail = variant.delay + 2 * variant.hop
        pairs.append((recording, Reference(expected[:-tail], tail)))
    return pairs


class Crowd:
    """The streams.

    Args:
        url: Of live streams, with the query.
        heard: From ``sounds``.
    """

    def __init__(self, url: str, heard: Sequence[tuple[Recording, Reference]]) -> None:
        self._url, self._heard = url, heard
        self._wheel = TimerWheel(asyncio.get_running_loop())
        self._streams: list[tuple[Role, Microphone, AudioCheck, Tally]] = []

    async def join(self, role: Role) -> Microphone:
        """One more stream; returns once it is let in."""
        recording, reference = self._heard[len(self._streams) % len(self._heard)]
        if role == "stays":  # it is cut off in the middle, so its last samples do not depend on its end
            reference = dataclasses.replace(reference, tail=0)
        check, tally, random_ = AudioCheck(reference, TOLERANCE), Tally(), random.Random(len(self._streams))
        chunk_ms = 1000 * recording.chunk // recording.rate
        part = Part(
            recording.messages(),
            lambda start: Schedule(start, chunk_ms, Network(), random_),
            random_.uniform(0, chunk_ms / 1000),
            None,
        )
        microphone = Microphone(part, check, tally, self._wheel)
        self._streams.append((role, microphone, check, tally))
        try:
            await ws_connect(lambda: microphone, self._url)
        except (OSError, WSError):
            microphone.abandon()
        while not (microphone.live or microphone.closed.done()):
            await asyncio.sleep(0.005)
        return microphone

    @property
    def tallies(self) -> list[Tally]:
        """What each stream has counted so far, in the order in which they joined."""
        return [tally for _, _, _, tally in self._streams]

    async def outcomes(self, patience: float) -> list[Outcome]:
        """Wait for all streams to end, and say how they did; one that does not in time counts as 1006."""
        await asyncio.wait([microphone.closed for _, microphone, _, _ in self._streams], timeout=patience)
        self._wheel.stop()
        found = []
        for role, microphone, check, tally in self._streams:
            microphone.abandon()
            fault = check.fault or ("a message against the protocol" if tally.violations or tally.surplus else None)
            error = microphone.error[0] if microphone.error else None
            found.append(Outcome(role, microphone.close_code, error, tally.sent, check.received // 2, microphone.told, fault))
        return found


async def live_through(
    url: str,
    heard: Sequence[tuple[Recording, Reference]],
    plan: Plan,
    strike: Callable[[], None],
    over: Callable[[], Awaitable[object]] | None = None,
) -> list[Outcome]:
    """Let it happen to live streams.

    Args:
        url: Of live streams, with the query.
        heard: From ``sounds``.
        plan: What the streams do.
        strike: Makes it happen.
        over: Returns when it is over; until then streams come, where the plan has any that do.
    """
    crowd = Crowd(url, heard)
    roles: list[Role] = ["ends"] * plan.ending + ["stays"] * plan.staying
    random.Random(1).shuffle(roles)
    present = [(role, await _later(JOIN_SECONDS, crowd.join(role))) for role in roles]
    await asyncio.sleep(plan.seconds)
    strike()
    ending = [microphone for role, microphone in present if role == "ends"]
    tasks = [
        asyncio.create_task(_stop(microphone, plan.ending_seconds * index / len(ending)))
        for index, microphone in enumerate(ending)
    ]
    if over is not None:
        happening = asyncio.ensure_future(over())
        while plan.newcomer_seconds is not None and not happening.done():
            tasks.append(asyncio.create_task(_visit(crowd)))
            await asyncio.sleep(plan.newcomer_seconds)
        await happening
    await asyncio.gather(*tasks)
    return await crowd.outcomes(plan.drain_seconds + GRACE_SECONDS)


async def _later(seconds: float, joined: Awaitable[Microphone]) -> Microphone:
    await asyncio.sleep(seconds)
    return await joined


async def _stop(microphone: Microphone, seconds: float) -> None:
    await asyncio.sleep(seconds)
    microphone.stop()


async def _visit(crowd: Crowd) -> None:
    await _stop(await crowd.join("comes"), 1.0)


def broken_promises(outcomes: Sequence[Outcome], killed: bool) -> list[str]:
    """What the protocol promises and a stream did not get, as sentences.

    Args:
        outcomes: Of all streams.
        killed: Whether the server had no chance to say anything.
    """
    broken = []
    for number, one in enumerate(outcomes):
        whole = (one.sent, one.sent)
        if one.fault is not None:
            broken.append(f"stream {number}: {one.fault}")
        if one.received > one.sent:
            broken.append(f"stream {number}: {one.received} samples came of {one.sent}")
        if killed:
            expected: tuple[int, str | None] = (1006, None)
        elif one.role == "stays":
            expected = (1012, "restarting")
        else:
            expected = (1000, None)
            if one.received != one.sent or one.told != whole:
                broken.append(f"stream {number} ({one.role}): {one.received} of {one.sent} samples came, told {one.told}")
        if (one.code, one.error) != expected:
            broken.append(f"stream {number} ({one.role}): close {one.code} {one.error}, not {expected[0]}")
    return broken
