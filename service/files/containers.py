"""Reading files beside their decoder, and what libsndfile passes over in MP3 files: it ends where a header says that they end,
or where the file does.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO

Bytes = Callable[[int, int], bytes]  # so many, from a position

_TAG = 10  # bytes of an ID3v2 tag's head, and of its foot
_FOOT = 0x10  # flag of a tag that has one


def reader(source: BinaryIO | int) -> Bytes:
    """Reads anywhere in a file or descriptor; a file is left where it was."""
    if isinstance(source, int):
        descriptor = source
        return lambda position, count: os.pread(descriptor, count, position)
    file = source

    def read(position: int, count: int) -> bytes:
        before = file.tell()
        file.seek(position)
        data = file.read(count)
        file.seek(before)
        return data

    return read


def position(source: BinaryIO | int) -> int:
    """Where a file or descriptor stands."""
    return os.lseek(source, 0, io.SEEK_CUR) if isinstance(source, int) else source.tell()


def length(source: BinaryIO | int) -> int:
    """Bytes of a file or descriptor; a file is left where it was."""
    if isinstance(source, int):
        return os.fstat(source).st_size
    before = source.tell()
    end = source.seek(0, io.SEEK_END)
    source.seek(before)
    return end


def goes_on(read: Bytes, end: int) -> bool:
    """Whether more MPEG audio, or another recording, follows where the decoder of an MP3 file has ended; tags do not count."""
    head = read(_behind_tags(read, end), 4)
    layer, bit_rate, sample_rate = (head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3) if len(head) == 4 else (0, 15, 3)
    return head[:1] == b"\xff" and head[1] >= 0xE0 and layer != 0 and bit_rate != 15 and sample_rate != 3


def states_length(read: Bytes) -> bool:
    """Whether the first frame of an MP3 file is a header of Xing's or Fraunhofer's, so that its length is not just guessed."""
    frame = read(_behind_tags(read, 0), 64)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))


def _behind_tags(read: Bytes, offset: int) -> int:
    """Where the ID3v2 tags end that begin at a position."""
    while len(head := read(offset, _TAG)) == _TAG and head[:3] == b"ID3":
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        offset += _TAG + size + (_TAG if head[5] & _FOOT else 0)
    return offset
