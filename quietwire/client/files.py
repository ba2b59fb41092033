"""Files over HTTP with the standard library: ``/enhance``, ``/compare`` and ``/variants``."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import io
import json
import os
import shutil
import ssl
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import quote, urlencode

from quietwire.client.address import Address
from quietwire.client.errors import ConnectionLostError, QuietwireError, ServerError
from quietwire.client.messages import VariantInfo
from quietwire.replacing import replacing

Source = Path | str | bytes | BinaryIO
Format = Literal["wav", "flac", "ogg"]


@dataclasses.dataclass(frozen=True)
class FileResult:
    """An enhanced file and what it took, from the answer's headers.

    Attributes:
        audio: The file; None where it was written to a target.
    """

    audio: bytes | None
    model: str
    variant: str
    model_bytes: int
    size_ratio: float
    latency_ms: float
    audio_seconds: float
    real_time_factor: float


class HttpFiles:
    """Requests to one server, each over a connection of its own. Environment variables for proxies are not looked at.

    Args:
        address: Of the server.
        token: API key, or None.
        timeout: Seconds without a byte after which a request is given up.
    """

    def __init__(self, address: Address, token: str | None, timeout: float) -> None:
        self._address, self._token, self._timeout = address, token, timeout

    def enhance_file(
        self,
        source: Source,
        target: Path | str | None = None,
        *,
        model: str | None = None,
        variant: str | None = None,
        attenuation_limit_db: float | None = None,
        format: Format | None = None,
    ) -> FileResult:
        """Enhance a recording through ``POST /enhance``.

        Args:
            source: WAV, FLAC, Ogg or MP3: a path, the bytes, or an open file, which is read from where it stands.
            target: Where to write the result, in folders that are made if need be; it comes back as bytes when None.
            model: Network.
            variant: Variant of it.
            attenuation_limit_db: Noise is lowered by at most this much.
            format: Of the result; by the target's name, else WAV.

        Raises:
            QuietwireError: The server refuses it, or cannot be reached.
            OSError: The source cannot be read, or the target not be written.
        """
        path = None if target is None else Path(target)
        if format is None and path is not None and path.suffix.lower() in (".flac", ".ogg"):
            format = "flac" if path.suffix.lower() == ".flac" else "ogg"
        query = {"model": model, "variant": variant, "attenuation_limit_db": attenuation_limit_db, "format": format}
        with (
            _opened(source) as (file, length),
            self._request("POST", "/enhance", query, file, "application/octet-stream", length) as answer,
        ):
            audio = None
            if path is None:
                audio = answer.read()
            else:
                with replacing(path) as sink:
                    shutil.copyfileobj(answer, sink)
                    if answer.length:  # bytes that did not come: reading in pieces does not say so
                        raise http.client.IncompleteRead(b"", answer.length)
            get = answer.headers.get
            return FileResult(
                audio,
                get("X-Model", ""),
                get("X-Variant", ""),
                int(get("X-Model-Bytes", "0")),
                *(float(get(f"X-{name}", "nan")) for name in ("Size-Ratio", "Latency-Ms", "Audio-Seconds", "Real-Time-Factor")),
            )

    def compare(
        self, source: Source, reference: Source | None = None, *, variants: Sequence[str] = (), model: str | None = None
    ) -> dict[str, Any]:
        """Several variants on one recording through ``POST /compare``: the answer's JSON, see docs/protocol.md.

        Args:
            source: The recording, as for ``enhance_file``.
            reference: The clean signal, aligned with it.
            variants: Names, as ``combined`` or ``fcn/original``; all that are loaded when empty.
            model: Of names that carry none.

        Raises:
            QuietwireError: The server refuses it, or cannot be reached.
            OSError: A file cannot be read.
        """
        boundary, body = uuid.uuid4().hex, io.BytesIO()
        for name, part in (("file", source), ("reference", reference)):
            if part is not None:
                with _opened(part) as (file, _):
                    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
                    body.write(head.encode() + file.read() + b"\r\n")
        body.write(f"--{boundary}--\r\n".encode())
        query = {"variants": ",".join(variants) or None, "model": model}
        length = body.tell()
        body.seek(0)
        kind = f"multipart/form-data; boundary={boundary}"
        with self._request("POST", "/compare", query, body, kind, length) as answer:
            return _parsed(answer.read())

    def variants(self) -> list[VariantInfo]:
        """Every variant that the server has loaded.

        Raises:
            QuietwireError: The server refuses it, or cannot be reached.
        """
        with self._request("GET", "/variants", {}) as answer:
            return [VariantInfo.parse(row) for row in _parsed(answer.read()).get("variants", [])]

    @contextlib.contextmanager
    def _request(
        self, method: str, path: str, query: Mapping[str, Any], body: BinaryIO | None = None, kind: str = "", length: int = 0
    ) -> Iterator[http.client.HTTPResponse]:
        address = self._address
        make = http.client.HTTPSConnection if address.secure else http.client.HTTPConnection
        connection = make(address.host, address.port, timeout=self._timeout)
        given = urlencode({name: value for name, value in query.items() if value is not None})
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            headers |= {"Content-Type": kind, "Content-Length": str(length)}
        try:
            connection.connect()
        except OSError as error:  # later ones may be of a file here
            connection.close()
            raise ConnectionLostError(f"{address.http} cannot be reached ({error}).") from error
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was sent: the answer says why
                connection.request(method, f"{quote(address.path)}{path}?{given}", body, headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _refusal(answer)
            yield answer
        except (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException) as error:
            raise ConnectionLostError(f"{address.http} did not answer ({error or type(error).__name__}).") from error
        finally:
            connection.close()


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[tuple[BinaryIO, int]]:
    """A file and the bytes that are left in it."""
    if isinstance(source, bytes):
        yield io.BytesIO(source), len(source)
    elif isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    else:
        position = source.tell()
        length = source.seek(0, os.SEEK_END) - position
        source.seek(position)
        yield source, length


def _refusal(answer: http.client.HTTPResponse) -> QuietwireError:
    try:
        content = json.loads(answer.read())
        code, message = str(content["code"]), str(content["message"])
    except (ValueError, TypeError, KeyError):
        return ConnectionLostError(f"What answered ({answer.status} {answer.reason}) is no Quietwire server.", "bad_answer")
    retry = answer.headers.get("Retry-After", "")
    return ServerError(code, message, answer.status, float(retry) if retry.isdigit() else None)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(body))
    except (ValueError, TypeError) as error:
        raise ConnectionLostError("What answered is no Quietwire server: check the address.", "bad_answer") from error
