"""Files written in one move."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write and read, in the place of ``path`` once it is whole: a stop half-way leaves the former one.

    Several programs may write the same file, such as trainings that share a cache: the last to end stays.

    Raises:
        OSError: It cannot be written.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("wb+") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
