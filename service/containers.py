"""What libsndfile passes over in Ogg and MP3 files: it ends with the first recording, or where a header says that it ends."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO

Bytes = Callable[[int, int], bytes]  # so many, from a position

_PAGE = 27  # bytes of an Ogg page's head before its table
_FIRST = 2  # flag of a page that begins a logical stream


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


def has_second_recording(read: Bytes) -> bool:
    """Whether an Ogg file is a chain: streams that begin once others have (RFC 3533, section 4)."""
    offset, within = 0, False
    while True:
        head = read(offset, _PAGE + 255)
        if head[:4] != b"OggS" or len(head) < _PAGE:
            return False  # the end, or damage, which the decoder will tell
        if head[5] & _FIRST and within:
            return True
        within = not head[5] & _FIRST
        table = head[_PAGE : _PAGE + head[26]]
        offset += _PAGE + head[26] + sum(table)


def goes_on(read: Bytes, end: int) -> bool:
    """Whether more MPEG audio, or another recording, follows where the decoder of an MP3 file has ended; tags do not count."""
    head = read(end, 4)
    if head[:3] == b"ID3":
        return True
    layer, bit_rate, sample_rate = (head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3) if len(head) == 4 else (0, 15, 3)
    return head[:1] == b"\xff" and head[1] >= 0xE0 and layer != 0 and bit_rate != 15 and sample_rate != 3
