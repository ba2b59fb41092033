"""One simulated microphone: sends a chunk whenever one is due, and checks what comes back.

picows carries the messages: of the client libraries it costs the least per chunk (see docs/loadtest.md), which is what
a generator on one core needs.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from loadtest.check import AudioCheck
from loadtest.clock import Schedule, TimerWheel
from loadtest.tally import Tally

END = b'{"type": "end"}'
BINARY, TEXT, CONTINUATION, CLOSE = WSMsgType.BINARY, WSMsgType.TEXT, WSMsgType.CONTINUATION, WSMsgType.CLOSE
OVERLOADED = 4429


@dataclasses.dataclass(frozen=True)
class Part:
    """What a microphone is to do.

    Attributes:
        messages: One pass of the recording, sent over and over.
        schedule: Makes the due times, from the tick of the first chunk.
        first: Delay of the first chunk after ``ready``, in seconds, so that streams do not all send at once.
        chunks: After so many the stream is dropped without a word; None for never.
    """

    messages: Sequence[bytes]
    schedule: Callable[[int], Schedule]
    first: float
    chunks: int | None


class Microphone(WSListener):
    """One stream.

    Args:
        part: What to do.
        check: Compares the audio.
        tally: Where everything is counted.
        wheel: Calls when a chunk is due.

    Attributes:
        closed: Done when the connection is gone.
        close_code: Of the server's close frame; 1006 without one, 1005 where it holds none.
        error: The code and the sentence of the server's error, or None.
        told: Samples in and out, as the summary says; None without one.
    """

    def __init__(self, part: Part, check: AudioCheck, tally: Tally, wheel: TimerWheel) -> None:
        super().__init__()
        self._part, self._check, self._tally, self._wheel = part, check, tally, wheel
        self._transport: WSTransport | None = None
        self._schedule: Schedule | None = None
        self._dialled = time.perf_counter()
        self._unanswered: deque[float] = deque()
        self._sent_chunks = self._sent_bytes = self._answered = 0
        self._text = b""
        self._in_text = False
        self._ending = self._hung_up = False
        self.error: tuple[str, str] | None = None
        self.told: tuple[int, int] | None = None
        self.close_code = 1006
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def live(self) -> bool:
        """Whether it sends."""
        return self._schedule is not None and not self._ending and not self.closed.done()

    @property
    def dropped(self) -> bool:
        """Whether it hung up."""
        return self._hung_up

    def stop(self) -> None:
        """End the stream as the protocol asks; the rest of the output still comes."""
        if self._transport is not None and self._schedule is not None and not self._ending:
            self._transport.send(TEXT, END)
        self._ending = True

    def abandon(self) -> None:
        """Cut the connection of a stream that did not finish in time, and count it as it is."""
        if self.closed.done():
            return
        self._settle()
        self.closed.set_result(None)
        if self._transport is not None:
            self._transport.disconnect(False)

    # Sending

    def fire(self, tick: int) -> None:
        """Send what is due at this tick, and ask for the next one."""
        schedule, messages, transport = self._schedule, self._part.messages, self._transport
        if schedule is None or transport is None or self._ending or self.closed.done():
            return
        due = self._wheel.time_of(tick)
        while True:
            message = messages[self._sent_chunks % len(messages)]
            now = time.perf_counter()
            transport.send(BINARY, message)
            self._unanswered.append(now)
            self._tally.lateness_ms.append((now - due) * 1000)
            self._sent_chunks += 1
            self._sent_bytes += len(message)
            if self._sent_chunks == self._part.chunks:
                self._ending = self._hung_up = True
                transport.disconnect(False)
                return
            following = schedule.next()
            if following > tick:
                self._wheel.add(following, self)
                return

    # Receiving

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows for every frame; one that makes no sense is a fault, not the end of the generator."""
        kind = frame.msg_type
        if kind == BINARY or (kind == CONTINUATION and not self._in_text):
            self._in_text = False
            self._check.add(frame.get_payload_as_memoryview())
        elif kind in (TEXT, CONTINUATION):
            self._in_text = True
            self._text += frame.get_payload_as_bytes()
            if frame.fin:
                text, self._text = self._text, b""
                try:
                    self._take(json.loads(text))
                except (KeyError, TypeError, ValueError, AttributeError):
                    self._tally.violation("a text message was not what the protocol says")
        elif kind == CLOSE:
            self.close_code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big") or 1005
            if not transport.is_close_frame_sent:
                transport.send_close()
            transport.disconnect()

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "stats":
            latency, seq = float(message["latency_ms"]), message["seq"]
            if not self._unanswered:
                self._tally.violation("statistics came for a chunk that was never sent")
                return
            self._tally.client_ms.append((time.perf_counter() - self._unanswered.popleft()) * 1000)
            self._tally.server_ms.append(latency)
            if seq != self._answered:
                self._tally.violation("statistics came out of order")
            self._answered += 1
        elif kind == "ready":
            self._begin()
        elif kind == "summary":
            self._tally.real_time_factors.append(float(message["real_time_factor"]))
            self.told = int(message["samples_in"]), int(message["samples_out"])
            if self.told != (self._sent_bytes // 2, self._sent_bytes // 2):
                self._tally.violation("the summary's counts are not those of the samples sent")
        elif kind == "error":
            self.error = (str(message["code"]), str(message["message"]))

    def _begin(self) -> None:
        self._tally.started += 1
        self._tally.connect_ms.append((time.perf_counter() - self._dialled) * 1000)
        tick = self._wheel.tick_after(self._part.first)
        self._schedule = self._part.schedule(tick)
        if self._ending:  # told to stop before it was let in
            self._ending = False
            self.stop()
        else:
            self._wheel.add(self._schedule.next(), self)

    # The end

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows when the connection is gone."""
        if not self.closed.done():
            self._settle()
            self.closed.set_result(None)

    def _settle(self) -> None:
        """Count how the stream ended."""
        tally, check = self._tally, self._check
        check.finish()
        tally.sent += self._sent_bytes // 2
        tally.compared += check.compared
        tally.deviation = max(tally.deviation, check.deviation)
        if check.fault:
            tally.altered += 1
            tally.fault(check.fault)
        tally.surplus += max(0, check.received - self._sent_bytes) // 2
        if self._hung_up:
            tally.hung_up += 1
            return
        tally.lost += max(0, self._sent_bytes - check.received + 1) // 2
        tally.unanswered += len(self._unanswered)
        if self.told is not None:
            tally.ended += 1
            return
        code, sentence = self.error or (f"close code {self.close_code}", "")
        if self._schedule is None:
            refused = code == "overloaded" or self.close_code == OVERLOADED
            tally.refused, tally.failed = tally.refused + refused, tally.failed + (not refused)
        else:
            tally.broken += 1
        tally.fault(f"{'refused' if self._schedule is None else 'ended by the server'}: {code} {sentence}".strip())
