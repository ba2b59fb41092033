"""Uploaded files, from a form or the raw body: in temporary files that are gone afterwards, capped in size and time."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO, cast

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from service.errors import ServiceError
from service.settings import Settings

SPOOL_BYTES = 8 << 20  # larger files lie on disk while they are worked on
FORM_BYTES = 1 << 16  # what a form may hold beside the files


def content_type(request: Request) -> str:
    """The kind of the body, lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@contextlib.asynccontextmanager
async def uploaded_file(request: Request, settings: Settings) -> AsyncIterator[BinaryIO]:
    """The uploaded file, from the form's field ``file`` or the raw body.

    Raises:
        ServiceError: There is none, it is too large, of the wrong type, or stopped coming.
    """
    kind = content_type(request)
    if kind == "multipart/form-data":
        async with uploaded_form(request, settings, "file") as files:
            yield files["file"]
        return
    if not kind.startswith("audio/") and kind != "application/octet-stream":
        raise ServiceError(
            "unsupported_media", "Send the file as multipart/form-data, or raw as audio/* or application/octet-stream."
        )
    too_large = _too_large(settings)
    request = _watched(request, settings.max_file_bytes + FORM_BYTES, too_large, settings.idle_seconds)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        try:
            async for chunk in request.stream():
                spool.write(chunk)
        except ClientDisconnect as error:
            raise ServiceError("bad_request", "The upload broke off: send it again.") from error
        if spool.tell() > settings.max_file_bytes:
            raise too_large
        spool.seek(0)
        yield cast("BinaryIO", spool)


@contextlib.asynccontextmanager
async def uploaded_form(
    request: Request, settings: Settings, required: str, *optional: str
) -> AsyncIterator[dict[str, BinaryIO]]:
    """The files of a form by field; optional ones that were not sent are left out.

    Raises:
        ServiceError: No form, the required file is missing, a file is too large, or it stopped coming.
    """
    if content_type(request) != "multipart/form-data":
        raise ServiceError("unsupported_media", f'Send multipart/form-data with the recording in the field "{required}".')
    names, too_large = (required, *optional), _too_large(settings)
    request = _watched(request, len(names) * settings.max_file_bytes + FORM_BYTES, too_large, settings.idle_seconds)
    try:
        async with request.form(max_files=len(names), max_fields=8) as form:
            files = {}
            for name in names:
                upload = form.get(name)
                if upload is None and name in optional:
                    continue
                if not isinstance(upload, UploadFile):
                    raise ServiceError("bad_request", f'The form has no file: put the recording in the field "{name}".')
                if (upload.size or 0) > settings.max_file_bytes:
                    raise too_large
                files[name] = upload.file
            yield files
    except HTTPException as error:
        raise ServiceError("bad_request", f"The form is malformed: {error.detail.rstrip('.')}.") from error


def _too_large(settings: Settings) -> ServiceError:
    return ServiceError("too_large", f"The upload is over the limit of {settings.max_file_bytes} bytes: send a smaller file.")


def _watched(request: Request, limit: int, too_large: ServiceError, idle_seconds: float) -> Request:
    """The same request with a body that is given up when it grows too large or stops coming."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_large
    received = 0

    async def receive() -> Message:
        nonlocal received
        try:
            async with asyncio.timeout(idle_seconds):
                message = await request.receive()
        except TimeoutError as error:
            raise ServiceError("idle", f"Nothing was received for {idle_seconds:g} s: send the file again.") from error
        received += len(message.get("body", b""))
        if received > limit:
            raise too_large
        return message

    return Request(request.scope, receive)
