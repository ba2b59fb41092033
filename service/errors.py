"""Errors that a client is told of: one sentence that says what to change, a code, a close code and an HTTP status."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "bad_request",
    "unauthorized",
    "forbidden_origin",
    "unknown_model",
    "idle",
    "too_large",
    "unsupported_media",
    "unprocessable",
    "overloaded",
    "internal",
    "restarting",
]

CLOSE_CODES: dict[Code, int] = {
    "bad_request": 4400,
    "unauthorized": 4401,
    "forbidden_origin": 4403,
    "unknown_model": 4404,
    "idle": 4408,
    "too_large": 4413,
    "overloaded": 4429,
    "internal": 1011,
    "restarting": 1012,
}

STATUSES: dict[Code, int] = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden_origin": 403,
    "unknown_model": 404,
    "idle": 408,
    "too_large": 413,
    "unsupported_media": 415,
    "unprocessable": 422,
    "overloaded": 503,
    "internal": 500,
    "restarting": 503,
}


RETRY_SECONDS = 2


class ServiceError(Exception):
    """A fault that ends one request or stream and nothing else.

    Attributes:
        code: The protocol's name of the fault.
        message: One sentence that says what to change.
        retry_seconds: When it is worth trying again, where that is a matter of time.
    """

    def __init__(self, code: Code, message: str, retry_seconds: int = RETRY_SECONDS) -> None:
        super().__init__(message)
        self.code, self.message, self.retry_seconds = code, message, retry_seconds

    @property
    def close_code(self) -> int:
        """WebSocket close code."""
        return CLOSE_CODES.get(self.code, 4400)

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUSES[self.code]

    def as_json(self) -> dict[str, str]:
        """The ``code`` and ``message`` members of an error answer."""
        return {"code": self.code, "message": self.message}
