"""What a stream is said to be and to have been: ``ready``, ``summary``, and its line in the log."""

from __future__ import annotations

from typing import Any

from service.live.parameters import StreamParameters
from service.live.stream import EnhancementStream
from service.runtime import describe
from service.telemetry.latency import LatencyHistogram


def facts(stream: EnhancementStream, parameters: StreamParameters) -> dict[str, Any]:
    """What is in force for the next sample: the fields of ``ready`` and ``configured``."""
    variant = stream.variant
    return {
        **describe(variant),
        "sample_rate": parameters.sample_rate,
        "encoding": parameters.encoding,
        "channels": parameters.channels,
        "attenuation_limit_db": stream.attenuation_limit_db,
        "hop_ms": variant.hop / variant.sample_rate * 1000,
        "algorithmic_latency_ms": round(stream.latency_seconds * 1000, 3),
    }


def summary(
    stream: EnhancementStream, parameters: StreamParameters, latency: LatencyHistogram, repaired: int
) -> dict[str, Any]:
    """What a stream has been so far: the fields of ``summary``."""
    seconds = stream.samples_in / parameters.sample_rate
    return {
        "samples_in": stream.samples_in,
        "samples_out": stream.samples_out,
        "audio_seconds": round(seconds, 6),
        "latency_ms": latency.percentiles(50, 95, 99),
        "real_time_factor": round(stream.compute_seconds / seconds, 6) if seconds else 0.0,
        "model_bytes": stream.variant.card.bytes,
        "samples_repaired": repaired,
        "resets": stream.resets,
    }


def line(totals: dict[str, Any], stream: EnhancementStream, parameters: StreamParameters) -> dict[str, Any]:
    """The values of a stream's line in the log; ``totals`` are those of ``summary``."""
    card = stream.variant.card
    what = {"model": card.model, "variant": card.variant}
    how = {name: getattr(parameters, name) for name in ("sample_rate", "encoding", "channels")}
    return what | how | {name: value for name, value in totals.items() if name != "model_bytes"}
