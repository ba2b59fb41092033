"""What one generator process counts, raw, so that several can be put together without loss."""

from __future__ import annotations

import dataclasses
from array import array
from collections import Counter
from collections.abc import Iterable

KEPT_FAULTS = 20  # sentences about single streams; the counts are complete all the same


def floats() -> array[float]:
    """An empty array of 32-bit floats."""
    return array("f")


@dataclasses.dataclass
class Tally:
    """Counts and raw times of one step.

    Attributes:
        server_ms: ``latency_ms`` of every chunk, as the server says: from its arrival to the sending of its output.
        client_ms: From sending a chunk to receiving its statistics, which follow its output.
        lateness_ms: How much later than due each chunk was sent: the generator's own fault.
        connect_ms: From dialling to ``ready``, per stream.
        real_time_factors: From the summaries.
        sent: Samples sent.
        lost: Samples sent whose output never came; those of streams that hung up do not count.
        surplus: Samples received that were never sent.
        compared: Samples compared with the single stream's.
        unanswered: Chunks without statistics, of streams that did not hang up.
        started: Streams that became ready.
        ended: Streams that ended as they should.
        hung_up: Streams dropped on purpose.
        refused: Streams for which the server had no room.
        failed: Streams that could not be made for another reason.
        broken: Streams that the server ended.
        violations: Messages that are not what the protocol promises.
        altered: Streams whose audio was not the single stream's.
        deviation: Largest difference from it, full scale being 1.
        faults: Sentences about what was wrong, with how often.
        cpu_seconds: Of the generator.
    """

    server_ms: array[float] = dataclasses.field(default_factory=floats)
    client_ms: array[float] = dataclasses.field(default_factory=floats)
    lateness_ms: array[float] = dataclasses.field(default_factory=floats)
    connect_ms: array[float] = dataclasses.field(default_factory=floats)
    real_time_factors: array[float] = dataclasses.field(default_factory=floats)
    sent: int = 0
    lost: int = 0
    surplus: int = 0
    compared: int = 0
    unanswered: int = 0
    started: int = 0
    ended: int = 0
    hung_up: int = 0
    refused: int = 0
    failed: int = 0
    broken: int = 0
    violations: int = 0
    altered: int = 0
    deviation: float = 0.0
    faults: Counter[str] = dataclasses.field(default_factory=Counter)
    cpu_seconds: float = 0.0

    def fault(self, sentence: str) -> None:
        """Note what was wrong with a stream."""
        if sentence in self.faults or len(self.faults) < KEPT_FAULTS:
            self.faults[sentence] += 1

    def violation(self, sentence: str) -> None:
        """Count a message that breaks the protocol."""
        self.violations += 1
        self.fault(sentence)


def merge(tallies: Iterable[Tally]) -> Tally:
    """The tally of all processes together."""
    total = Tally()
    for tally in tallies:
        for field in dataclasses.fields(Tally):
            name = field.name
            mine, theirs = getattr(total, name), getattr(tally, name)
            setattr(total, name, max(mine, theirs) if name == "deviation" else mine + theirs)
    return total
