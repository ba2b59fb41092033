"""What a server says, as frozen dataclasses; fields that this version does not know are ignored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from quietwire.client.errors import ConnectionLostError


@dataclasses.dataclass(frozen=True)
class _Message:
    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """From the JSON object.

        Raises:
            ConnectionLostError: A field is missing (code ``bad_answer``).
        """
        names = {field.name for field in dataclasses.fields(cls)}
        try:
            return cls(**{name: value for name, value in content.items() if name in names})
        except TypeError as error:
            raise ConnectionLostError(f"The answer is not Quietwire's ({error}): check the address.", "bad_answer") from error


@dataclasses.dataclass(frozen=True)
class StreamInfo(_Message):
    """What is in force on a stream: the fields of ``ready`` and ``configured``."""

    session_id: str
    model: str
    variant: str
    model_bytes: int
    size_ratio: float
    parameters: int
    sample_rate: int
    encoding: str
    channels: int
    hop_ms: float
    algorithmic_latency_ms: float
    attenuation_limit_db: float = 100.0


@dataclasses.dataclass(frozen=True)
class ChunkStats(_Message):
    """What one message of input took, with ``stats="chunk"``; ``seq`` counts the messages of the present connection."""

    seq: int
    latency_ms: float
    queue_ms: float
    compute_ms: float
    batch: int
    model_bytes: int


@dataclasses.dataclass(frozen=True)
class WindowStats(_Message):
    """What the messages of the last second took, with ``stats="second"``; ``latency_ms`` has ``p50``, ``p95`` and ``max``."""

    window_ms: int
    chunks: int
    latency_ms: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Summary(_Message):
    """The server's account of the stream that it ended; after a reconnection, of the last connection alone."""

    samples_in: int
    samples_out: int
    audio_seconds: float
    latency_ms: Mapping[str, float]
    real_time_factor: float
    model_bytes: int
    samples_repaired: int = 0
    resets: int = 0


@dataclasses.dataclass(frozen=True)
class VariantInfo(_Message):
    """A row of ``GET /variants``; ``evaluation`` is the card's, as JSON."""

    model: str
    variant: str
    model_bytes: int
    size_ratio: float
    parameters: int
    macs_per_second: int
    algorithmic_latency_ms: float
    default: bool = False
    evaluation: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Reconnection:
    """A connection that broke and was made again.

    Attributes:
        reason: Why it broke.
        attempts: How many it took.
        samples_resent: Sent again, as their output had not been received.
    """

    reason: str
    attempts: int
    samples_resent: int


Stats = ChunkStats | WindowStats
