"""What libsndfile passes over in Ogg files: it leaves damaged and missing pages out, and ends with the first recording."""

from __future__ import annotations

import enum
import zlib

from service.files.containers import Bytes

_PAGE = 27  # bytes of a page's head before its table
_FIRST, _LAST = 2, 4  # flags of the pages that begin and end a logical stream
_NO_AUDIO = bytes(8)  # granule position of pages that hold headers
_MIRRORED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


class Fault(enum.Enum):
    """What is wrong with a file."""

    DAMAGED = enum.auto()
    CHAINED = enum.auto()  # streams begin once others have (RFC 3533, section 4)


def find_fault(read: Bytes, length: int) -> Fault | None:
    """Look through all pages (RFC 3533, section 6).

    A recording that ends with a whole page, and is not marked as its end, is sound: so do those of streams that never end.
    Nor does it matter how many pages lie between the headers and the first audio, as a listener may have come late.
    """
    offset, within = 0, False
    numbers: dict[bytes, int] = {}  # of the newest page with audio, by logical stream
    unended: set[bytes] = set()
    while True:
        head = read(offset, _PAGE + 255)
        if head[:4] != b"OggS" or len(head) < _PAGE:
            return Fault.DAMAGED if unended and offset < length else None
        if head[5] & _FIRST and within:
            return Fault.CHAINED
        within = not head[5] & _FIRST
        size = _PAGE + head[26] + sum(head[_PAGE : _PAGE + head[26]])
        page = read(offset, size)
        if len(page) < size or _checksum(page[:22] + bytes(4) + page[26:]) != page[22:26]:
            return Fault.DAMAGED
        stream, number = head[14:18], int.from_bytes(head[18:22], "little")
        if stream in numbers and number != (numbers[stream] + 1) % (1 << 32):
            return Fault.DAMAGED
        if head[6:14] != _NO_AUDIO:
            numbers[stream] = number
        (unended.discard if head[5] & _LAST else unended.add)(stream)
        offset += size


def _checksum(data: bytes) -> bytes:
    """Ogg's CRC: that of zlib with the bits the other way round, and nothing inverted."""
    inverted = 0xFFFFFFFF
    value = zlib.crc32(data.translate(_MIRRORED), inverted) ^ inverted
    return value.to_bytes(4, "big").translate(_MIRRORED)
