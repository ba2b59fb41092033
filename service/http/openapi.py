"""What the OpenAPI description says beyond the signatures: keys, bodies of uploads, and answers, of errors too."""

from __future__ import annotations

from typing import Any

from fastapi import Security
from fastapi.security import APIKeyQuery, HTTPBearer
from pydantic import BaseModel, Field

# Only described here, for /docs and clients that are made from it: service.admission.access checks, for paths that are
# not described too.
_KEY = "An API key, where the server asks for one."
KEY = [
    Security(HTTPBearer(auto_error=False, scheme_name="key", description=_KEY)),
    Security(APIKeyQuery(name="token", auto_error=False, scheme_name="token", description=_KEY)),
]


class ErrorAnswer(BaseModel):
    """What is wrong."""

    code: str
    message: str = Field(description="One sentence that says what to change.")


class VariantAnswer(BaseModel):
    """A loaded variant."""

    model: str
    variant: str
    model_bytes: int
    size_ratio: float = Field(description="Of the bytes of `original`.")
    parameters: int
    macs_per_second: float
    algorithmic_latency_ms: float = Field(description="Of a live stream at 16 kHz.")
    sample_rate: int = Field(description="Of the network; all others are resampled.")
    hop_ms: float
    default: bool = Field(description="Whether requests that name none get this one.")
    evaluation: dict[str, Any] | None = Field(description="Measures, with the name of the set they were taken on.")


class VariantsAnswer(BaseModel):
    """What ``/variants`` answers."""

    variants: list[VariantAnswer]
    not_loaded: list[str] = Field(description="Files that could not be used.")
    outdated: list[str] = Field(description="Variants in use whose files have since become ones that cannot be.")


class ReadyAnswer(BaseModel):
    """What ``/readyz`` answers when a new stream would be let in."""

    status: str
    variants: list[str]


class NotReadyAnswer(ErrorAnswer):
    """The same when it would not."""

    status: str
    reason: str


def _error(code: str, text: str) -> dict[str, Any]:
    example = {"code": code, "message": "…"}
    return {"description": text, "model": ErrorAnswer, "content": {"application/json": {"example": example}}}


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: _error("unauthorized", "API key missing or wrong"),
    403: _error("forbidden_origin", "A page whose origin may not connect"),
    500: _error("internal", "A fault of the server"),
}
ERRORS: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    400: _error("bad_request", "A parameter is out of range, or the body is malformed"),
    404: _error("unknown_model", "Model or variant not loaded"),
    408: _error("idle", "The upload stopped coming"),
    413: _error("too_large", "File too large or too long"),
    415: _error("unsupported_media", "Not a supported kind of audio file"),
    422: _error("unprocessable", "A damaged or empty file, or an unsupported rate or number of channels"),
    503: _error("overloaded", "No room at the moment; see Retry-After"),
}
AUDIO = "audio/wav, audio/flac, audio/ogg, audio/mpeg"


def form(**files: str) -> dict[str, Any]:
    """The body of an upload as a form, of files by field with a description each; the first one is required."""
    properties = {name: {"type": "string", "format": "binary", "description": text} for name, text in files.items()}
    schema = {
        "type": "object",
        "required": list(files)[:1],
        "properties": properties,
        "additionalProperties": {"type": "string", "description": "Ignored."},
        "maxProperties": 9,  # service.http.uploads takes eight fields beside the file
    }
    return {"schema": schema, "encoding": {name: {"contentType": AUDIO} for name in files}}


def raw() -> dict[str, Any]:
    """The body of an upload as it is, by type."""
    kinds = (*AUDIO.split(", "), "audio/*", "application/octet-stream")
    return {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}


def body(content: dict[str, Any]) -> dict[str, Any]:
    """A required body, by type, for a path's ``openapi_extra``."""
    return {"requestBody": {"required": True, "content": content}}
