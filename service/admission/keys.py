"""API keys: known by their SHA-256 only, compared in constant time, and re-read from a file when it changes.

A key is given as itself or as ``sha256:`` and the 64 hexadecimal digits of its SHA-256, so that none has to lie
about in plain text. The hash has no salt: keys have to be random, as from ``openssl rand -hex 32``.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Iterable
from pathlib import Path

CHECK_SECONDS = 1.0  # between looks at the file
PREFIX = "sha256:"
_HASH = re.compile(r"[0-9a-fA-F]{64}")

log = logging.getLogger(__name__)


class KeyFileError(ValueError):
    """A file of keys that cannot be used; the message says why, and never what a line holds."""


def digest(key: str) -> bytes:
    """What is compared and counted instead of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def parse_key(text: str) -> bytes:
    """The digest of a key that is written as itself or as ``sha256:…``.

    Raises:
        ValueError: It is empty, or not a SHA-256; the message does not hold it.
    """
    if not text:
        raise ValueError("a key must not be empty")
    if not text.startswith(PREFIX):
        return digest(text)
    if not _HASH.fullmatch(text.removeprefix(PREFIX)):
        raise ValueError("sha256: must be followed by 64 hexadecimal digits")
    return bytes.fromhex(text.removeprefix(PREFIX))


def read_keys(file: Path) -> tuple[bytes, ...]:
    """The digests of the keys in a file: one a line, with empty lines and lines that begin with ``#`` left out.

    Raises:
        KeyFileError: It cannot be read, or a line is no key.
    """
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise KeyFileError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise KeyFileError(f"{file} is not text") from None
    keys = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                keys.append(parse_key(text))
            except ValueError as error:
                raise KeyFileError(f"{file}, line {number}: {error}") from None
    return tuple(keys)


class KeyRing:
    """The keys in force.

    Args:
        fixed: Written as ``parse_key`` takes them.
        file: With more keys. While it cannot be read, those that it held last stay in force.
    """

    def __init__(self, fixed: Iterable[str], file: Path | None) -> None:
        self._fixed = tuple(map(parse_key, fixed))
        self._file, self._due = file, 0.0
        self._stored: tuple[bytes, ...] = ()
        self._stamp: tuple[int, int, int] | None = None  # of the file when it was read
        self._reload()

    @property
    def asked_for(self) -> bool:
        """Whether a key is needed: an empty file lets nobody in."""
        return bool(self._fixed) or self._file is not None

    def match(self, given: str) -> bytes | None:
        """The digest of a key if it is one of ours; takes as long for every key that is not."""
        self._reload()
        hashed = digest(given)
        matches = [hmac.compare_digest(hashed, key) for key in (*self._fixed, *self._stored)]
        return hashed if any(matches) else None

    def _reload(self) -> None:
        if self._file is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + CHECK_SECONDS
        try:
            found = self._file.stat()
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
        except OSError:
            stamp = (0, 0, 0)
        if stamp == self._stamp:
            return
        first, self._stamp = self._stamp is None, stamp
        try:
            self._stored = read_keys(self._file)
        except KeyFileError as error:
            log.error("the keys stay as they are: %s", error)
        else:
            log.log(logging.DEBUG if first else logging.INFO, "%d keys are in force", len(self._fixed) + len(self._stored))
