"""Query parameters and control messages of the WebSocket, checked by name with the protocol's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.audio.pcm import Encoding
from service.errors import ServiceError

MOST_TEXT = 16384  # characters of a control message: reading a megabyte of JSON would hold up all streams
AttenuationLimit = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
StatsMode = Literal["chunk", "second", "off"]


class StreamParameters(BaseModel):
    """Query parameters of ``/ws/enhance``; ``model`` and ``variant`` are looked up in the zoo."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str | None = None
    variant: str | None = None
    sample_rate: int = Field(16000, ge=8000, le=48000)
    encoding: Encoding = "pcm_s16le"
    channels: Literal[1, 2] = 1
    attenuation_limit_db: AttenuationLimit = 100.0
    stats: StatsMode = "chunk"


class Configure(BaseModel):
    """Change what the following samples go through."""

    model_config = ConfigDict(extra="ignore", strict=True)

    type: Literal["configure"]
    model: str | None = None
    variant: str | None = None
    attenuation_limit_db: AttenuationLimit | None = None


class Ping(BaseModel):
    """Ask for a ``pong``."""

    type: Literal["ping"]


class End(BaseModel):
    """No more audio follows."""

    type: Literal["end"]


Control = Annotated[Configure | Ping | End, Field(discriminator="type")]
_CONTROL: TypeAdapter[Configure | Ping | End] = TypeAdapter(Control)


def without_empty(query: bytes) -> bytes:
    """A query string without the parameters that have no value."""
    return b"&".join(part for part in query.split(b"&") if part.partition(b"=")[2])


def parse_query(query: Mapping[str, str]) -> StreamParameters:
    """Parameters of a new stream; one without a value counts as not given.

    Raises:
        ServiceError: One is out of range; the message says which and what is allowed.
    """
    values: dict[str, Any] = {name: value for name, value in query.items() if value}
    if values.get("channels") in ("1", "2"):
        values["channels"] = int(values["channels"])
    try:
        return StreamParameters.model_validate(values)
    except ValidationError as error:
        raise ServiceError("bad_request", _sentence(error, "parameter")) from error


def parse_control(text: str) -> Configure | Ping | End:
    """A text message of the client.

    Raises:
        ServiceError: It is not a JSON object of a known type with values in range, or too long to be read between two hops.
    """
    if len(text) > MOST_TEXT:
        raise ServiceError("bad_request", f"A text message may have {MOST_TEXT} characters; send audio as binary messages.")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ServiceError("bad_request", "A text message must be a JSON object; send audio as binary messages.") from error
    if not isinstance(content, dict):
        raise ServiceError("bad_request", 'A text message must be a JSON object such as {"type": "end"}.')
    if content.get("type") not in ("configure", "ping", "end"):
        raise ServiceError("bad_request", 'The "type" of a text message must be "configure", "ping" or "end".')
    try:
        return _CONTROL.validate_python(content)
    except ValidationError as error:
        raise ServiceError("bad_request", _sentence(error, "field")) from error


def _sentence(error: ValidationError, kind: str) -> str:
    problem = error.errors()[0]
    name = str(problem["loc"][-1]) if problem["loc"] else kind
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"The {kind} {name!r} is not valid: {message}."
