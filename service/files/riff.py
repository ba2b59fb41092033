"""What libsndfile passes over in WAV files: that sound is missing at the end, or that its size was not known at first."""

from __future__ import annotations

import dataclasses
import io
import os
from typing import Any

from service.files.containers import Bytes

_STREAMED = 0x7FFF0000  # sizes from here on say that it was not known: programs write this, 2 or 4 GB
_UNKNOWN = 0xFFFFFFFF
_CHUNK = 8  # bytes of a chunk's head
_MOST_CHUNKS = 1000


@dataclasses.dataclass(frozen=True)
class Sound:
    """A file's chunk ``data``.

    Attributes:
        begin: Position of its first byte; its size, in four bytes, is right before.
        stated: Bytes, as the head has it.
        present: Bytes from ``begin`` to the end of the file.
        block: Bytes of a frame.
    """

    begin: int
    stated: int
    present: int
    block: int

    @property
    def breaks_off(self) -> bool:
        """Whether whole frames are missing."""
        return self.stated < _STREAMED and self.stated // self.block > self.present // self.block


def find_sound(read: Bytes, length: int) -> Sound | None:
    """Look for the sound of a WAV file in one of its forms: RIFF, RIFX and RF64."""
    order = _order(read)
    offset, block, large = 12, 1, 0
    for _ in range(_MOST_CHUNKS):
        head = read(offset, _CHUNK)
        size, begin = int.from_bytes(head[4:], order), offset + _CHUNK
        if len(head) < _CHUNK:
            break
        if head[:4] == b"ds64":
            large = int.from_bytes(read(begin + 8, 8), order)
        elif head[:4] == b"fmt ":
            block = int.from_bytes(read(begin + 12, 2), order) or 1
        elif head[:4] == b"data":
            return Sound(begin, large if large and size == _UNKNOWN else size, length - begin, block)
        offset = begin + size + size % 2
    return None


def unended(read: Bytes, length: int) -> io.RawIOBase | None:
    """A WAV file that came through a pipe and states no size, as one that says that it is not known; None for all others."""
    sound = find_sound(read, length)
    if sound is None or sound.stated or not sound.present or _is_chunks(read, sound.begin, length):
        return None
    return _Unended(read, sound.begin - 4, length)


def _order(read: Bytes) -> Any:
    return "big" if read(0, 4) == b"RIFX" else "little"


def _is_chunks(read: Bytes, offset: int, length: int) -> bool:
    """Whether the rest of a file is made of whole chunks, so that the sound is really empty."""
    order = _order(read)
    for _ in range(_MOST_CHUNKS):
        head = read(offset, _CHUNK)
        if len(head) < _CHUNK or not all(32 <= byte < 127 for byte in head[:4]):
            return False
        size = int.from_bytes(head[4:], order)
        offset += _CHUNK + size + size % 2
        if offset >= length:
            return offset <= length + 1  # the last padding is left out now and then
    return False


class _Unended(io.RawIOBase):
    """A file with the size at a position replaced by one that is not known."""

    def __init__(self, read: Bytes, at: int, length: int) -> None:
        self._read, self._at, self._length = read, at, length
        self._position = 0

    def readinto(self, buffer: Any) -> int:
        data = bytearray(self._read(self._position, len(buffer)))
        for index in range(max(0, self._at - self._position), min(len(data), self._at + 4 - self._position)):
            data[index] = 0xFF
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        return self._position

    def tell(self) -> int:
        return self._position
