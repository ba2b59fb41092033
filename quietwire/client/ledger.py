"""What was sent on a stream and has not come back: enough to go on with it over another connection.

A broken connection takes with it the input whose output had not arrived. The ledger keeps that input, with the changes
of configuration in their places among it, and a little more before it, so that the network can find its way back
into the sound. Whatever is sent again, each output sample is delivered once.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from typing import Any


@dataclasses.dataclass
class Entry:
    """A message of the client.

    Attributes:
        position: Bytes of audio sent before it.
        content: Audio, or a control message.
        settled: Whether a control message has been answered; audio needs no answer.
    """

    position: int
    content: bytes | dict[str, Any]
    settled: bool = False

    @property
    def end(self) -> int:
        """Bytes of audio sent up to and with it."""
        return self.position + (len(self.content) if isinstance(self.content, bytes) else 0)


class Ledger:
    """Positions count bytes of audio from the beginning of the stream, over all its connections.

    Args:
        memory: Bytes of audio kept beyond what is needed; whole samples.
        settings: Model, variant and attenuation limit of the first sample.

    Attributes:
        sent: Bytes of audio taken from the program.
        delivered: Bytes of audio given to it.
    """

    def __init__(self, memory: int, settings: dict[str, Any]) -> None:
        self._memory, self._settings = memory, dict(settings)
        self._entries: deque[Entry] = deque()
        self.sent = self.delivered = 0

    def add(self, content: bytes | dict[str, Any]) -> Entry:
        """Note a message before it is sent."""
        entry = Entry(self.sent, content)
        self._entries.append(entry)
        self.sent = entry.end
        return entry

    def deliver(self, count: int) -> None:
        """Output has arrived: forget the input that is not needed any more."""
        self.delivered += count
        horizon = self.delivered - self._memory
        while self._entries and self._entries[0].end <= horizon:
            first = self._entries[0]
            if isinstance(first.content, dict):
                if not first.settled:
                    return
                self._settings |= {name: value for name, value in first.content.items() if name != "type"}
            self._entries.popleft()

    @property
    def resume_position(self) -> int:
        """Where the next connection begins; its output up to ``delivered`` is to be dropped."""
        return max(self.delivered - self._memory, 0)

    @property
    def settings(self) -> dict[str, Any]:
        """Model, variant and attenuation limit that the next connection begins with."""
        return dict(self._settings)

    def replay(self, index: int) -> Entry | None:
        """Number ``index`` of the messages to send again; None after the last. Audio is cut at ``resume_position``."""
        entry = next(itertools.islice(self._entries, index, None), None)
        if entry is None or not isinstance(entry.content, bytes) or entry.position >= self.resume_position:
            return entry
        return Entry(self.resume_position, entry.content[self.resume_position - entry.position :])
