"""``POST /compare``: several variants on one recording, side by side."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Annotated, BinaryIO, cast

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from models.zoo import Variant
from service.errors import ServiceError
from service.files.comparison import compare
from service.http.openapi import ERRORS, KEY, body, form
from service.http.routes import runtime_of
from service.http.uploads import SPOOL_BYTES, uploaded_form, work_for
from service.runtime import Runtime, describe
from service.telemetry.spans import annotate

router = APIRouter()
NAMES = r"^[^,]*[^,/\s]\s*(,[^,]*[^,/\s]\s*)*$"  # for the description: ``choose`` has the better message


class ComparedScores(BaseModel):
    """Measures against the reference, on 16 kHz mono; null where a measure is not defined or could not be taken."""

    pesq: float | None = Field(description="Wide-band PESQ, MOS-LQO.")
    stoi: float | None = Field(description="Intelligibility, at most 1.")
    si_sdr: float | None = Field(description="Scale-invariant signal-to-distortion ratio, dB.")


class ComparedCosts(BaseModel):
    """What a variant costs, on disk and on this recording."""

    model: str
    variant: str
    model_bytes: int
    size_ratio: float
    parameters: int
    algorithmic_latency_ms: float = Field(description="Of a live stream at 16 kHz.")
    latency_ms: float = Field(description="Decoding, enhancing and encoding this file, as X-Latency-Ms of /enhance.")
    real_time_factor: float = Field(description="latency_ms over the length of the audio.")


class ComparedVariant(ComparedScores, ComparedCosts):
    """One variant on this recording; the measures are null without a reference."""


class ComparisonAnswer(BaseModel):
    """What ``/compare`` answers."""

    audio_seconds: float
    sample_rate: int
    channels: int
    variants: list[ComparedVariant] = Field(description="In the order asked for.")
    unprocessed: ComparedScores | None = Field(description="The input as it came; null without a reference.")
    notes: list[str] = Field(description="Sentences on measures that could not be taken.")


@router.post(
    "/compare",
    dependencies=KEY,
    response_model=ComparisonAnswer,
    responses=ERRORS,
    openapi_extra=body({"multipart/form-data": form(file="The noisy recording.", reference="The clean signal, aligned.")}),
)
async def compare_variants(
    request: Request,
    variants: Annotated[
        str | None,
        Query(
            description="Comma-separated; `crn/original` names the model too. All loaded ones by default.",
            json_schema_extra={"pattern": NAMES},
        ),
    ] = None,
    model: Annotated[str | None, Query(description="Of variants that name none.")] = None,
) -> ComparisonAnswer:
    """Enhance a recording with several variants: what each costs and, with the clean reference, how good it is."""
    runtime = runtime_of(request)
    chosen = choose(runtime, variants, model)
    with runtime.files.upload(request.state.client) as lease:
        async with uploaded_form(request, runtime.settings, "file", "reference") as files:
            result = await work_for(
                request,
                runtime,
                lambda check: compare(
                    files["file"],
                    chosen,
                    files.get("reference"),
                    open_target=_temporary,
                    max_seconds=min(runtime.settings.max_compare_seconds, runtime.settings.max_file_seconds),
                    progress=lambda stage, seconds: check(),
                    open_=runtime.decoders.open,
                ),
            )
        lease.settle(result.audio_seconds * len(chosen))
    for variant in chosen:
        runtime.metrics.file_seconds.labels(variant.name).inc(result.audio_seconds)
    annotate(request.scope, {"variants": [variant.name for variant in chosen], "audio_seconds": result.audio_seconds})
    return ComparisonAnswer.model_validate(result.as_json(describe))


def choose(runtime: Runtime, names: str | None, model: str | None) -> list[Variant]:
    """The variants asked for, each once; all loaded ones of the model, or of the default model, when None.

    Raises:
        ServiceError: One is not loaded, or a name is empty.
    """
    if names is None:
        family = runtime.variant(model, None).card.model
        return [one for one in runtime.zoo.variants.values() if one.card.model == family]
    chosen: dict[str, Variant] = {}
    for name in names.split(","):
        family_name, _, variant = name.strip().rpartition("/")
        if not variant:
            raise ServiceError("bad_request", "Name the variants as in variants=original,combined.")
        found = runtime.variant(family_name or model, variant)
        chosen[found.name] = found
    return list(chosen.values())


@contextlib.contextmanager
def _temporary(variant: Variant) -> Iterator[BinaryIO]:
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as target:
        yield cast("BinaryIO", target)
