"""HTTP: files through ``POST /enhance``, the list of variants, health, readiness and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from typing import Annotated, BinaryIO, cast

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from models.zoo import Variant
from service.errors import RETRY_SECONDS
from service.files.enhancing import MEDIA_TYPES, FileReport, Format, enhance_file
from service.http.answers import FileAnswer
from service.http.openapi import ERRORS, KEY, REFUSALS, NotReadyAnswer, ReadyAnswer, VariantsAnswer, body, form, raw
from service.http.uploads import SPOOL_BYTES, uploaded_file, work_for
from service.runtime import Runtime, describe
from service.telemetry.spans import annotate
from service.telemetry.worker_metrics import WorkerMetrics

router = APIRouter()


def runtime_of(request: Request) -> Runtime:
    """What the process shares."""
    runtime: Runtime = request.app.state.runtime
    return runtime


@router.post(
    "/enhance",
    dependencies=KEY,
    response_class=Response,
    responses={200: {"description": "The enhanced file", "content": {kind: {} for kind in MEDIA_TYPES.values()}}, **ERRORS},
    openapi_extra=body({"multipart/form-data": form(file="The recording."), **raw()}),
)
async def enhance(
    request: Request,
    model: str | None = None,
    variant: str | None = None,
    attenuation_limit_db: Annotated[float, Query(ge=0, le=100, allow_inf_nan=False)] = 100.0,
    output_format: Annotated[Format, Query(alias="format")] = "wav",
) -> Response:
    """Enhance a recording: the same length, rate and channels come back."""
    runtime = runtime_of(request)
    chosen = runtime.variant(model, variant)
    with contextlib.ExitStack() as stack:
        target = cast("BinaryIO", stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES)))
        with runtime.files.upload(request.state.client) as lease:
            async with uploaded_file(request, runtime.settings) as source:
                report = await work_for(
                    request,
                    runtime,
                    lambda check: enhance_file(
                        source,
                        target,
                        chosen,
                        format_=output_format,
                        attenuation_limit_db=attenuation_limit_db,
                        max_seconds=runtime.settings.max_file_seconds,
                        progress=lambda seconds: check(),
                        open_=runtime.decoders.open,
                    ),
                )
            lease.settle(report.audio_seconds)
        stack.enter_context(runtime.files.answer())
        held = stack.pop_all()  # until it is sent
    runtime.metrics.file_seconds.labels(chosen.name).inc(report.audio_seconds)
    facts = {"model": chosen.card.model, "variant": chosen.card.variant, "audio_seconds": report.audio_seconds}
    annotate(request.scope, {**facts, "latency_ms": _stages(report)})
    return FileAnswer(target, held, MEDIA_TYPES[output_format], _headers(chosen, report))


def _stages(report: FileReport) -> dict[str, float]:
    """Milliseconds by stage."""
    return {name: getattr(report, name) * 1000 for name in ("decode", "enhance", "encode")}


def _headers(variant: Variant, report: FileReport) -> dict[str, str]:
    card = variant.card
    stages = _stages(report)
    return {
        "X-Model": card.model,
        "X-Variant": card.variant,
        "X-Model-Bytes": str(card.bytes),
        "X-Size-Ratio": f"{card.size_ratio:.4f}",
        "X-Latency-Ms": f"{sum(stages.values()):.1f}",
        "X-Audio-Seconds": f"{report.audio_seconds:.4f}",
        "X-Real-Time-Factor": f"{report.real_time_factor:.5f}",
        "Server-Timing": ", ".join(f"{name};dur={milliseconds:.1f}" for name, milliseconds in stages.items()),
    }


@router.get("/variants", dependencies=KEY, responses={200: {"model": VariantsAnswer}, **REFUSALS})
async def variants(request: Request) -> JSONResponse:
    """Every loaded model and variant with what it costs and how good it is."""
    runtime = runtime_of(request)
    default = runtime.variant(None, None)
    rows = []
    for one in runtime.zoo.variants.values():
        card = one.card
        rows.append(
            {
                **describe(one),
                "macs_per_second": card.macs_per_second,
                "algorithmic_latency_ms": card.algorithmic_latency_ms,
                "sample_rate": one.sample_rate,
                "hop_ms": one.hop / one.sample_rate * 1000,
                "default": one is default,
                "evaluation": card.evaluation.model_dump() if card.evaluation else None,
            }
        )
    zoo = runtime.zoo
    return JSONResponse({"variants": rows, "not_loaded": sorted(zoo.failures), "outdated": sorted(zoo.outdated)})


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process is up."""
    return {"status": "ok"}


@router.get("/readyz", responses={200: {"model": ReadyAnswer}, 503: {"model": NotReadyAnswer}})
async def readyz(request: Request) -> JSONResponse:
    """Whether a new stream would be let in."""
    runtime = runtime_of(request)
    reason = runtime.not_ready_reason()
    if reason is None:
        return JSONResponse({"status": "ready", "variants": runtime.zoo.names})
    error = {"code": "overloaded", "message": f"No new stream would be let in: {reason}."}
    return JSONResponse({"status": "not ready", "reason": reason, **error}, 503, {"Retry-After": str(RETRY_SECONDS)})


@router.get("/metrics", dependencies=KEY, response_class=Response, responses={200: {"content": {"text/plain": {}}}, **REFUSALS})
async def metrics(request: Request) -> Response:
    """Prometheus metrics, of all worker processes together."""
    shared: WorkerMetrics | None = request.app.state.worker_metrics
    if shared is None:
        text = generate_latest(runtime_of(request).metrics.registry)
    else:
        text = await asyncio.to_thread(lambda: generate_latest(shared.total()))
    return Response(text, media_type=CONTENT_TYPE_LATEST)
