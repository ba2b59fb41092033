"""What can go wrong between a client and its server, by the protocol's codes."""

from __future__ import annotations

RETRYABLE = frozenset({"overloaded", "internal", "restarting", "connection_lost"})


class QuietwireError(Exception):
    """Any fault of a request or stream.

    Attributes:
        code: The protocol's name of the fault, as ``unknown_model`` (see docs/protocol.md); ``connection_lost`` where no
            server answered or the connection broke, ``bad_answer`` where what answered is no Quietwire server.
        message: One sentence that says what to change.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.code in RETRYABLE


class ServerError(QuietwireError):
    """The server refused the request or ended the stream, and said why.

    Attributes:
        status: HTTP status or WebSocket close code; None where the message came alone.
        retry_after: Seconds after which the server asks to try again; None where it did not say.
    """

    def __init__(self, code: str, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(code, message)
        self.status, self.retry_after = status, retry_after


class ConnectionLostError(QuietwireError):
    """No connection, or one that broke and could not be made again.

    ``stream.samples_sent`` and ``stream.samples_delivered`` still tell how far a stream has come: output for the samples
    between the two was not received.
    """

    def __init__(self, message: str, code: str = "connection_lost") -> None:
        super().__init__(code, message)
