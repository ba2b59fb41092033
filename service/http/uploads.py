"""Uploaded files, from a form or the raw body: in temporary files that are gone afterwards, capped in size and time.

Who sends too slowly is refused, and so that nobody can do so for ever, no upload takes longer than the longest recording lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, TypeVar, cast

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from service.errors import ServiceError
from service.runtime import Runtime
from service.settings import Settings

SPOOL_BYTES = 8 << 20  # larger files lie on disk while they are worked on
FORM_BYTES = 1 << 16  # what a form may hold beside the files
FIELD_BYTES = 1 << 12  # of each other field
CHARSETS = (b"utf-8", b"utf8", b"us-ascii")  # others take a client's choice of decoder, of which some take minutes
PACE_BYTES = 1 << 15  # that have to come within each `idle_seconds`

T = TypeVar("T")


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
    request = _watched(request, settings.max_file_bytes + FORM_BYTES, too_large, settings)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        try:
            async for chunk in request.stream():
                spool.write(chunk)
        except ClientDisconnect as error:
            raise _broken_off() from error
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
    if parse_options_header(request.headers["content-type"])[1].get(b"charset", b"utf-8").lower() not in CHARSETS:
        raise ServiceError("bad_request", "The form must be in UTF-8: leave charset out of its Content-Type.")
    names, too_large = (required, *optional), _too_large(settings)
    request = _watched(request, len(names) * settings.max_file_bytes + FORM_BYTES, too_large, settings)
    try:
        async with request.form(max_files=len(names), max_fields=8, max_part_size=FIELD_BYTES) as form:
            files = {}
            for name in names:
                upload = form.get(name)
                if name in optional and _is_empty(upload):
                    continue
                if not isinstance(upload, UploadFile):
                    raise ServiceError("bad_request", f'The form has no file: put the recording in the field "{name}".')
                if (upload.size or 0) > settings.max_file_bytes:
                    raise too_large
                files[name] = upload.file
            yield files
    except ClientDisconnect as error:
        raise _broken_off() from error
    except HTTPException as error:
        raise ServiceError("bad_request", f"The form is malformed: {error.detail.rstrip('.')}.") from error


def _is_empty(value: UploadFile | str | None) -> bool:
    """Whether a form's field was left empty: a browser sends a file without name or content."""
    return not (value.filename or value.size) if isinstance(value, UploadFile) else not value


def _broken_off() -> ServiceError:
    return ServiceError("bad_request", "The upload broke off: send it again.")


def _too_large(settings: Settings) -> ServiceError:
    return ServiceError("too_large", f"The upload is over the limit of {settings.max_file_bytes} bytes: send a smaller file.")


def _watched(request: Request, limit: int, too_large: ServiceError, settings: Settings) -> Request:
    """The same request with a body that is given up when it grows too large, comes too slowly or takes too long."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_large
    now, patience = asyncio.get_running_loop().time, settings.idle_seconds
    end = now() + settings.max_file_seconds + patience
    received, due, pace_end = 0, PACE_BYTES, now() + patience

    async def receive() -> Message:
        nonlocal received, due, pace_end
        try:
            async with asyncio.timeout_at(min(end, pace_end)):
                message = await request.receive()
        except TimeoutError as error:
            raise ServiceError("idle", "The upload came too slowly, or not at all: send the file again.") from error
        received += len(message.get("body", b""))
        if received > limit:
            raise too_large
        if received >= due:
            due, pace_end = received + PACE_BYTES, now() + patience
        return message

    return Request(request.scope, receive)


async def work_for(request: Request, runtime: Runtime, work: Callable[[Callable[[], None]], T]) -> T:
    """Do something with an uploaded file in another thread, for as long as the client is there.

    Args:
        request: Of which the body has been received.
        runtime: Has the threads.
        work: What to do. It gets a function to call every so often, which raises once the client is gone.

    Raises:
        ServiceError: Too many wait already, or the client is gone, which nobody will hear.
    """
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise ServiceError("bad_request", "The client did not wait for the answer: send the file again.")

    def attended() -> T:
        check()
        return work(check)

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        with runtime.files.work():
            return await asyncio.get_running_loop().run_in_executor(runtime.uploads, attended)
    finally:
        watching.cancel()
