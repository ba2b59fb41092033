"""Files that are uploaded beside the live streams, one after the other, as fast as the server enhances them."""

from __future__ import annotations

import dataclasses
import http.client
import io
import threading
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urlencode, urlsplit

import numpy as np
import soundfile

from loadtest.audio import Recording
from loadtest.errors import LoadtestError

LIVE_PATH, FILE_PATH = "/ws/enhance", "/enhance"
TIMEOUT_SECONDS = 120.0
BUSY_SECONDS = 0.1  # until a file is sent again that the server had no room for


@dataclasses.dataclass(frozen=True)
class UploadUse:
    """What became of the files of one step.

    Attributes:
        clients: That sent one after the other.
        files: Answered in full.
        audio_seconds: In them.
        real_time: Audio seconds for each second of the step.
        refused: Answers 503; the same file was sent again.
        faults: Other answers, and connections that broke, with how often.
    """

    clients: int
    files: int
    audio_seconds: float
    real_time: float
    refused: int
    faults: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Upload:
    """What is sent.

    Attributes:
        url: With the whole query.
        headers: Of each request.
        body: A WAV file.
        seconds: Of audio in it.
    """

    url: str
    headers: dict[str, str]
    body: bytes
    seconds: float


def make_upload(url: str, query: dict[str, str], headers: dict[str, str], recording: Recording, seconds: float) -> Upload:
    """A file for the server whose live streams are at ``url``.

    Args:
        url: Ends in the path of the protocol.
        query: Of ``POST /enhance``.
        headers: Of the live streams' handshakes.
        recording: Repeated until the file is as long as asked.
        seconds: Length of the file.

    Raises:
        LoadtestError: The address has another path.
    """
    parts = urlsplit(url)
    if not parts.path.endswith(LIVE_PATH):
        raise LoadtestError(f"--uploads needs an address that ends in {LIVE_PATH}: change --url")
    path = parts.path.removesuffix(LIVE_PATH) + FILE_PATH
    address = parts._replace(scheme={"wss": "https"}.get(parts.scheme, "http"), path=path, query=urlencode(query)).geturl()
    file = io.BytesIO()
    soundfile.write(file, np.resize(recording.samples, round(seconds * recording.rate)), recording.rate, format="WAV")
    return Upload(address, {**headers, "Content-Type": "audio/wav"}, file.getvalue(), seconds)


class Uploads:
    """Clients that upload from entering to leaving a ``with`` block.

    They are threads of the calling process, which is not one of those that keep the microphones' time.

    Args:
        upload: What each sends.
        clients: How many there are.
    """

    def __init__(self, upload: Upload, clients: int) -> None:
        self._upload, self._clients = upload, clients
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._files = self._refused = 0
        self._faults: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(clients)]
        self._began = self._ended = 0.0

    def __enter__(self) -> Uploads:
        self._began = time.perf_counter()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._ended = time.perf_counter()
        for thread in self._threads:
            thread.join(TIMEOUT_SECONDS)

    def use(self) -> UploadUse:
        """What became of the files; those under way at the end do not count."""
        audio = self._files * self._upload.seconds
        speed = audio / ((self._ended or time.perf_counter()) - self._began)
        return UploadUse(self._clients, self._files, round(audio, 1), round(speed, 1), self._refused, dict(self._faults))

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                status = self._send()
            except (OSError, http.client.HTTPException) as error:
                self._count(f"upload: {str(error) or type(error).__name__}")
                continue
            self._count("" if status == 200 else f"upload: HTTP {status}", status)

    def _count(self, fault: str, status: int = 0) -> None:
        with self._lock:
            if not self._stop.is_set():
                self._files += status == 200
                self._refused += status == 503
                if fault and status != 503:
                    self._faults[fault] += 1
        if fault:
            self._stop.wait(BUSY_SECONDS)

    def _send(self) -> int:
        """Send the file once, and read the whole answer."""
        parts = urlsplit(self._upload.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", f"{parts.path}?{parts.query}", self._upload.body, self._upload.headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()
