"""Enhancing audio files: decoded, enhanced and encoded block by block, so memory does not grow with length.

Used by ``POST /enhance``, with a decoder in another process, and by ``quietwire enhance``. The result has the input's
length, rate and channels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from models.offline import OfflineEnhancer
from models.zoo import Variant
from service.audio.attenuation import dry_gain
from service.audio.fifo import SampleFifo
from service.audio.pcm import repair
from service.errors import ServiceError
from service.files.decoding import Opener, Reader, no_samples, open_here

Array = npt.NDArray[np.float32]
Format = Literal["wav", "flac", "ogg"]

MEDIA_TYPES: dict[Format, str] = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg"}
_WAV_SUBTYPES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # and bytes of a sample
WAV_BYTES = 2**32 - 4096  # of sound: its size is stated in 32 bits
_BYTES = {"PCM_U8", "PCM_S8"}
_ROUNDING = {
    "PCM_U8": np.float32(2**-8),
    "PCM_16": np.float32(2**-16),
}  # half a step: into WAV libsndfile rounds down


@dataclasses.dataclass(frozen=True)
class FileReport:
    """A file's length, rate and channels, and what enhancing it took: seconds by stage."""

    audio_seconds: float
    sample_rate: int
    channels: int
    decode: float
    enhance: float
    encode: float

    @property
    def real_time_factor(self) -> float:
        """Processing time over audio time."""
        return (self.decode + self.enhance + self.encode) / self.audio_seconds if self.audio_seconds else 0.0


def output_subtype(source: Reader, format_: Format) -> str:
    """Encoding of the result: of the same sample width where the format has it."""
    subtype = source.subtype
    if format_ == "ogg":
        return "VORBIS"
    if format_ == "flac":
        return "PCM_S8" if subtype in _BYTES else "PCM_24" if subtype in ("PCM_24", "PCM_32", "FLOAT", "DOUBLE") else "PCM_16"
    return "PCM_U8" if subtype in _BYTES else subtype if subtype in _WAV_SUBTYPES else "PCM_16"


class _Converter:
    """A signal through the network at its own rate: resampled, enhanced, resampled back, aligned and of equal length."""

    def __init__(self, variant: Variant, rate: int, channels: int, attenuation_limit_db: float) -> None:
        self._enhancer = OfflineEnhancer(variant, channels)
        self._channels, self._dry_gain = channels, np.float32(dry_gain(attenuation_limit_db))
        self._down = self._up = None
        if rate != variant.sample_rate:
            self._down = soxr.ResampleStream(rate, variant.sample_rate, channels, dtype="float32")
            self._up = soxr.ResampleStream(variant.sample_rate, rate, channels, dtype="float32")
        self._rate = rate
        self._dry, self._wet = SampleFifo(channels), SampleFifo(channels)

    def feed(self, audio: Array) -> Array:
        """Input and what is ready of the output, both ``[channels, samples]``."""
        self._dry.append(audio)
        return self._ready(self._resample(self._up, self._enhancer.feed(self._resample(self._down, audio))))

    def flush(self) -> Array:
        """The rest of the output."""
        # resamplers round the length: a little silence at the end makes sure that there is enough
        silence = np.zeros((self._channels, self._rate // 20), dtype=np.float32)
        rest = self._enhancer.feed(self._resample(self._down, silence, last=True))
        rest = np.concatenate([rest, self._enhancer.flush()], axis=1)
        return self._ready(self._resample(self._up, rest, last=True))

    def _resample(self, stream: soxr.ResampleStream | None, audio: Array, last: bool = False) -> Array:
        if stream is None:
            return audio
        return np.asarray(stream.resample_chunk(np.ascontiguousarray(audio.T), last=last)).reshape(-1, self._channels).T

    def _ready(self, enhanced: Array) -> Array:
        self._wet.append(enhanced)
        count = min(len(self._wet), len(self._dry))
        dry, wet = self._dry.take(count), self._wet.take(count)
        return wet if self._dry_gain == 0 else np.asarray(dry * self._dry_gain + wet * (1 - self._dry_gain), dtype=np.float32)


def blocks(reader: Reader, max_seconds: float) -> Iterator[Array]:
    """The whole of a file, ``[channels, samples]`` at a time, full scale ±1; what is no number is 0.

    Raises:
        ServiceError: The file is damaged, too long, or empty.
    """
    done = 0
    while data := reader.read():
        block = np.frombuffer(data, dtype=np.float32).reshape(-1, reader.channels).T
        done += block.shape[1]
        if done > max_seconds * reader.rate:
            raise ServiceError("too_large", f"The recording is longer than {max_seconds:g} s: send it in parts.")
        yield repair(block)
    if not done:
        raise no_samples()


def enhance_file(
    source: BinaryIO,
    target: BinaryIO,
    variant: Variant,
    *,
    format_: Format = "wav",
    attenuation_limit_db: float = 100.0,
    max_seconds: float = float("inf"),
    progress: Callable[[float], None] = lambda seconds: None,
    open_: Opener = open_here,
) -> FileReport:
    """Enhance one file.

    Args:
        source: WAV, FLAC, Ogg or MP3, 8 to 192 kHz, mono or stereo; seekable.
        target: Gets the result; seekable.
        variant: The network.
        format_: Of the result.
        attenuation_limit_db: Noise is lowered by at most this much; 0 gives the input back.
        max_seconds: Longest input, decoded.
        progress: Called with the seconds of audio that are done; what it raises ends the work.
        open_: Decodes; files that are not trusted need a process of their own for that.

    Raises:
        ServiceError: Not a supported file, too long, empty or damaged.
        OSError: The result cannot be written.
    """
    spent = dict.fromkeys(("decode", "enhance", "encode"), 0.0)
    done, clock = 0, time.perf_counter()
    with open_(source) as audio:
        rate, channels = audio.rate, audio.channels
        spent["decode"] += time.perf_counter() - clock
        converter = _Converter(variant, rate, channels, attenuation_limit_db)
        sound = blocks(audio, max_seconds)
        sink = _Sink(target)
        with sink.faults(), _open_target(sink, audio, format_) as out:
            rounding = _ROUNDING.get(out.subtype, 0) if format_ == "wav" else 0
            more = True
            while more:
                clock = time.perf_counter()
                block = next(sound, None)
                spent["decode"] += time.perf_counter() - clock
                more = block is not None
                clock = time.perf_counter()
                enhanced = converter.flush() if block is None else converter.feed(block)
                spent["enhance"] += time.perf_counter() - clock
                clock = time.perf_counter()
                out.write(enhanced.T + rounding)
                spent["encode"] += time.perf_counter() - clock
                done += 0 if block is None else block.shape[1]
                if format_ == "wav" and done * channels * _WAV_SUBTYPES[out.subtype] > WAV_BYTES:
                    raise ServiceError("too_large", "The result would be larger than a WAV file can be: ask for flac.")
                progress(done / rate)
    return FileReport(done / rate, rate, channels, **spent)


class _Sink:
    """A file to write to through libsndfile, which would only print what goes wrong there: it is kept and raised later."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, or write nothing."""
        return self._keeping(partial(self._file.write, data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and write what the file had in a buffer, or stay."""
        return self._keeping(partial(self._file.seek, offset, whence))

    def tell(self) -> int:
        """Where the next bytes would be written."""
        return self._keeping(self._file.tell)

    def _keeping(self, work: Callable[[], int]) -> int:
        try:
            return work()
        except OSError as error:
            self._error = self._error or error
            return 0

    @contextlib.contextmanager
    def faults(self) -> Iterator[None]:
        """Raise what went wrong inside."""
        try:
            yield
        except (AssertionError, soundfile.LibsndfileError):  # what soundfile makes of it
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error


def _open_target(target: _Sink, source: Reader, format_: Format) -> soundfile.SoundFile:
    rate, channels, subtype = source.rate, source.channels, output_subtype(source, format_)
    try:
        if format_ == "flac" and rate > 65535 and rate % 10:  # libsndfile says so only when samples are written
            raise TypeError("no such rate in a frame's header")
        return soundfile.SoundFile(target, "w", rate, channels, subtype, format=format_.upper())
    except (soundfile.LibsndfileError, TypeError) as error:
        raise ServiceError("unprocessable", f"{format_} cannot hold {channels} channels at {rate} Hz: ask for wav.") from error
