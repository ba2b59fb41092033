"""Where a server is: one address for streams and for files."""

from __future__ import annotations

import dataclasses
from typing import Self
from urllib.parse import urlsplit

STREAM_PATH = "/ws/enhance"
_SECURE = {"http": False, "ws": False, "https": True, "wss": True}


@dataclasses.dataclass(frozen=True)
class Address:
    """A server's host, port and the path it is mounted at."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """From ``http(s)://…`` or ``ws(s)://…``, with or without ``/ws/enhance`` at the end.

        Raises:
            ValueError: Not such an address.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SECURE or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a server: give one such as http://127.0.0.1:8000")
        secure = _SECURE[parts.scheme]
        path = parts.path.rstrip("/").removesuffix(STREAM_PATH)
        return cls(secure, parts.hostname, parts.port or (443 if secure else 80), path)

    @property
    def _place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}{self.path}"

    @property
    def http(self) -> str:
        """Of everything but streams."""
        return f"http{'s' * self.secure}://{self._place}"

    @property
    def stream(self) -> str:
        """Of live streams."""
        return f"ws{'s' * self.secure}://{self._place}{STREAM_PATH}"
