"""What one key and one address may use: streams and uploads at once, and seconds of audio within an hour.

Each process counts for itself. Seconds are counted by the minute, so a second is given back after an hour to an hour and a
minute. Nothing is counted where no limit is set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from service.errors import ServiceError
from service.settings import Settings

MINUTES = 60
Kind = Literal["streams", "uploads"]


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """Who asks.

    Attributes:
        key: Its API key's digest, or None where none is asked for.
        address: As the server sees it, or a trusted proxy.
    """

    key: bytes | None
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What one owner may use; None is as much as there is."""

    owner: str
    streams: int | None
    uploads: int | None
    audio_seconds: float | None

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return not self.streams == self.uploads == self.audio_seconds is None


class HourlySum:
    """A sum over the last hour."""

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, float]] = deque()

    def add(self, value: float, now: float) -> None:
        """Count something; ``now`` is in seconds on any steady clock."""
        minute = int(now // 60)
        if self._minutes and self._minutes[-1][0] == minute:
            value += self._minutes.pop()[1]
        self._minutes.append((minute, value))

    def total(self, now: float) -> float:
        """What was counted within the last hour."""
        while self._minutes and self._minutes[0][0] < now // 60 - MINUTES:
            self._minutes.popleft()
        return sum(value for _, value in self._minutes)

    def relief(self, now: float) -> int:
        """Seconds until the oldest part is forgotten."""
        return max(1, int((self._minutes[0][0] + MINUTES + 1) * 60 - now) + 1) if self._minutes else 1


class Account:
    """What one owner uses at the moment."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.in_use: dict[Kind, int] = {"streams": 0, "uploads": 0}
        self.audio = HourlySum()

    def check(self, kind: Kind, now: float) -> None:
        """Whether another stream or upload may begin.

        Raises:
            ServiceError: It may not.
        """
        limit = self.limits.streams if kind == "streams" else self.limits.uploads
        if limit is not None and self.in_use[kind] >= limit:
            raise ServiceError("overloaded", f"{self.limits.owner} may have {limit} {kind} at once: end one first.")
        self.check_audio(now)

    def check_audio(self, now: float) -> None:
        """Whether audio is left for this hour.

        Raises:
            ServiceError: None is.
        """
        limit = self.limits.audio_seconds
        if limit is not None and self.audio.total(now) >= limit:
            message = f"{self.limits.owner} may send {limit:g} seconds of audio an hour: go on later."
            raise ServiceError("overloaded", message, retry_seconds=self.audio.relief(now))

    def idle(self, now: float) -> bool:
        """Whether it can be forgotten."""
        return not any(self.in_use.values()) and not self.audio.total(now)


class Lease:
    """One stream's or upload's hold on its owners' accounts."""

    def __init__(self, accounts: list[Account], clock: Callable[[], float]) -> None:
        self._accounts, self._clock = accounts, clock
        self._charged = 0.0

    def charge(self, seconds: float) -> None:
        """Count the audio so far, from the beginning of the stream.

        Raises:
            ServiceError: That was more than an owner may send an hour.
        """
        if self._accounts:
            self.settle(seconds)
            for account in self._accounts:
                account.check_audio(self._clock())

    def settle(self, seconds: float) -> None:
        """The same for what is done already: it is counted, and left at that."""
        more, self._charged = seconds - self._charged, seconds
        for account in self._accounts if more > 0 else ():
            account.audio.add(more, self._clock())


class Quotas:
    """All accounts.

    Args:
        settings: With the limits.
        clock: A steady one, in seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of_key = Limits("A key", settings.key_streams, settings.key_uploads, settings.key_audio_seconds)
        self._of_address = Limits(
            "An address", settings.address_streams, settings.address_uploads, settings.address_audio_seconds
        )
        self._accounts: dict[bytes | str, Account] = {}
        self._swept = clock()

    @contextlib.contextmanager
    def lease(self, client: Client, kind: Kind) -> Iterator[Lease]:
        """Count a stream or an upload while it lasts.

        Raises:
            ServiceError: A limit is reached.
        """
        self._sweep()
        accounts = []
        if client.key is not None and self._of_key.any:
            accounts.append(self._accounts.setdefault(client.key, Account(self._of_key)))
        if self._of_address.any:
            accounts.append(self._accounts.setdefault(subscriber(client.address), Account(self._of_address)))
        for account in accounts:
            account.check(kind, self._clock())
        for account in accounts:
            account.in_use[kind] += 1
        try:
            yield Lease(accounts, self._clock)
        finally:
            for account in accounts:
                account.in_use[kind] -= 1

    def _sweep(self) -> None:
        """Forget who has not been here for an hour."""
        now = self._clock()
        if now - self._swept >= 60:
            self._swept = now
            self._accounts = {owner: account for owner, account in self._accounts.items() if not account.idle(now)}


def subscriber(address: str) -> str:
    """The part of an address that one subscriber has: of IPv6 the first 64 bits, as the rest is theirs to choose."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)
