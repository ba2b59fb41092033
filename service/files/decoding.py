"""Reading an audio file block by block, from its beginning to its end.

The decoder process does nothing else (``service.files.decoder``), so as little as possible is imported here. Files that are
trusted, those of the command line and our own results, are read in the calling process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

import soundfile

from service.errors import ServiceError
from service.files import containers, ogg, riff

BLOCK_SECONDS = 2.0
RATES = range(8000, 192_001)
CHANNELS = (1, 2)
SAMPLE_BYTES = 4
_FORMATS = {"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3"}
_HEAD_BYTES = 12
_MP3_SLACK = 2 * 1152  # frames that a header may state too many: some programs count the header itself


class Reader(Protocol):
    """A file that is open.

    Attributes:
        rate: In ``RATES``.
        channels: In ``CHANNELS``.
        subtype: libsndfile's name of the encoding, as ``PCM_16``.
    """

    rate: int
    channels: int
    subtype: str

    def read(self) -> memoryview:
        """The next block of up to ``BLOCK_SECONDS``: interleaved float32, good until the next call; empty at the end.

        Raises:
            ServiceError: The file is damaged here.
        """


Opener = Callable[[BinaryIO], AbstractContextManager[Reader]]


class _Sequential(soundfile.SoundFile):
    """A file read from beginning to end: after each block soundfile would seek, which fails where FLAC gives no length."""

    def seekable(self) -> bool:
        return False


class FileReader:
    """A ``Reader`` of a file of an allowed format, to be closed.

    Args:
        source: A seekable file, or a descriptor of one, which is faster and stays open.

    Raises:
        ServiceError: It is no audio file, or its format, rate or channels are not supported.
    """

    def __init__(self, source: BinaryIO | int) -> None:
        self._bytes, self._length = containers.reader(source), containers.length(source)
        if not self._length:
            raise no_samples()
        if not _may_be_audio(source):  # libsndfile has parsers for 20 more formats, which nobody shall get to
            raise _no_audio()
        self._source = source
        try:
            self._audio = _Sequential(riff.unended(self._bytes, self._length) or source, closefd=False)
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
            raise _no_audio() from error
        try:
            _check(self._audio)
        except ServiceError:
            self._audio.close()
            raise
        self.rate, self.channels, self.subtype = self._audio.samplerate, self._audio.channels, self._audio.subtype
        self._frame = SAMPLE_BYTES * self.channels
        self._block = bytearray(int(BLOCK_SECONDS * self.rate) * self._frame)
        self._done = 0

    @property
    def seconds(self) -> float:
        """Length as the file states it, which may be wrong."""
        return float(self._audio.frames / self.rate)

    def read(self) -> memoryview:
        """As ``Reader.read``."""
        try:
            frames = self._audio.buffer_read_into(self._block, "float32")
        except soundfile.LibsndfileError as error:
            seconds = self._done / self.rate
            raise ServiceError("unprocessable", f"The file is damaged after {seconds:.2f} s: send it whole.") from error
        if not frames:
            self._check_end()
        self._done += frames
        return memoryview(self._block)[: frames * self._frame]

    def _check_end(self) -> None:
        """Whether the decoder, which has come to an end, has left nothing out."""
        more = broken = False
        if self._audio.format == "OGG":
            fault = ogg.find_fault(self._bytes, self._length)
            more, broken = fault is ogg.Fault.CHAINED, fault is ogg.Fault.DAMAGED
        elif self._audio.format == "MP3":
            more = containers.goes_on(self._bytes, containers.position(self._source))
            broken = self._audio.frames > self._done + _MP3_SLACK and containers.states_length(self._bytes)
        elif self._audio.format != "FLAC":
            sound = riff.find_sound(self._bytes, self._length)
            broken = sound is not None and sound.breaks_off
        seconds = self._done / self.rate
        if more:
            message = f"The file holds more than the {seconds:.2f} s that it begins with: send it as WAV or FLAC."
            raise ServiceError("unprocessable", message)
        if broken:
            message = f"The file is damaged, a part is missing beside the {seconds:.2f} s that can be read: send it whole."
            raise ServiceError("unprocessable", message)

    def close(self) -> None:
        """Nothing can be read any more."""
        self._audio.close()


@contextlib.contextmanager
def open_here(source: BinaryIO) -> Iterator[FileReader]:
    """Open a trusted file in this process.

    Raises:
        ServiceError: It is no audio file, or its format, rate or channels are not supported.
    """
    with contextlib.closing(FileReader(source)) as reader:
        yield reader


def _may_be_audio(source: BinaryIO | int) -> bool:
    """Whether a file begins as one of the allowed formats does; afterwards it is at its beginning."""
    if isinstance(source, int):
        os.lseek(source, 0, os.SEEK_SET)
        head = os.pread(source, _HEAD_BYTES, 0)
    else:
        source.seek(0)
        head = source.read(_HEAD_BYTES)
        source.seek(0)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return head[8:12] == b"WAVE"
    if head[:4] in (b"fLaC", b"OggS") or head[:3] == b"ID3":
        return True
    return len(head) == _HEAD_BYTES and head[0] == 0xFF and head[1] >= 0xE0  # a frame of MPEG audio


def _check(audio: soundfile.SoundFile) -> None:
    if audio.format not in _FORMATS:
        raise ServiceError("unsupported_media", f"{audio.format} files are not supported: send WAV, FLAC, Ogg or MP3.")
    if audio.samplerate not in RATES:
        raise ServiceError("unprocessable", f"A rate of {audio.samplerate} Hz is not supported: send 8000 to 192000 Hz.")
    if audio.channels not in CHANNELS:
        raise ServiceError("unprocessable", f"{audio.channels} channels are not supported: send mono or stereo.")


def no_samples() -> ServiceError:
    """Of a file that is empty."""
    return ServiceError("unprocessable", "The file holds no samples: send a recording.")


def _no_audio() -> ServiceError:
    message = "The body is not an audio file that can be read: send WAV, FLAC, Ogg Vorbis, Ogg Opus or MP3."
    return ServiceError("unsupported_media", message)
