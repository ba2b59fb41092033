"""How many files are coming, are being worked on and are leaving, and which ones are let in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from service.admission.quotas import Client, Lease, Quotas
from service.errors import ServiceError

WIDER = 8  # uploads may come, and answers leave, for each that is enhanced: slow clients hold files and little else


class FileTraffic:
    """The files of one process.

    Attributes:
        coming: Uploads, from their first byte to the end of the work on them.
        worked_on: Those that are being enhanced or wait for it.
        leaving: Answers that are being sent.
    """

    def __init__(self, at_once: int, quotas: Quotas, check_open: Callable[[], None]) -> None:
        """
        Args:
            at_once: Files that are enhanced at the same time.
            quotas: Of the clients.
            check_open: Raises what is said to those who come when nobody is let in any more.
        """
        self._at_once, self._quotas, self._check_open = at_once, quotas, check_open
        self.coming = self.worked_on = self.leaving = 0

    @property
    def idle(self) -> bool:
        """Whether no file is on its way."""
        return not (self.coming or self.leaving)

    @contextlib.contextmanager
    def upload(self, client: Client) -> Iterator[Lease]:
        """Count an upload while it lasts.

        Raises:
            ServiceError: As many are coming, or are being worked on, as may, the client has used up its share, or the server is
                being stopped.
        """
        self._check_open()
        if max(self.coming, self.leaving) >= WIDER * self._at_once:
            raise _busy()
        self._check_work()
        with self._quotas.lease(client, "uploads") as lease:
            self.coming += 1
            try:
                yield lease
            finally:
                self.coming -= 1

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Count the work on an upload that has come.

        Raises:
            ServiceError: As many are waiting for it as may.
        """
        self._check_work()
        self.worked_on += 1
        try:
            yield
        finally:
            self.worked_on -= 1

    def _check_work(self) -> None:
        if self.worked_on >= 2 * self._at_once:
            raise _busy()

    @contextlib.contextmanager
    def answer(self) -> Iterator[None]:
        """Count the sending of an enhanced file."""
        self.leaving += 1
        try:
            yield
        finally:
            self.leaving -= 1


def _busy() -> ServiceError:
    return ServiceError("overloaded", "The server is busy with other files: send this one again in a moment.")
