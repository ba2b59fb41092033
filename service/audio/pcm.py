"""Raw PCM on the wire: bytes to float32 ``[channels, samples]`` and back."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from service.errors import ServiceError

Encoding = Literal["pcm_s16le", "pcm_f32le"]
Array = npt.NDArray[np.float32]

SAMPLE_BYTES: dict[Encoding, int] = {"pcm_s16le": 2, "pcm_f32le": 4}
_HEADERS = {b"RIFF": "WAV", b"RF64": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3\x03": "MP3", b"ID3\x04": "MP3"}
HEADER_BYTES = 4
_INT16, _FLOAT32 = np.dtype("<i2"), np.dtype("<f4")
_STEP, _FULL_SCALE, _LOWEST, _HIGHEST = (np.array(value, np.float32) for value in (1 / 32768, 32768, -32768, 32767))


def refuse_header(data: bytes) -> None:
    """Refuse the first bytes of a stream when they open an audio file.

    Raises:
        ServiceError: They are the header of a WAV, FLAC, Ogg or MP3 file.
    """
    name = _HEADERS.get(data[:HEADER_BYTES])
    if name is not None:
        raise ServiceError("bad_request", f"This is a {name} file, not raw PCM: strip its header, or post it to /enhance.")


def check(size: int, encoding: Encoding, channels: int) -> None:
    """Refuse a message of so many bytes that are not whole samples of every channel.

    Raises:
        ServiceError: They are not.
    """
    frame = SAMPLE_BYTES[encoding] * channels
    if size % frame:
        raise ServiceError(
            "bad_request",
            f"A message of {size} bytes is not a whole number of {frame}-byte samples ({encoding}, {channels} channels).",
        )


def decode(data: bytes, encoding: Encoding, channels: int) -> tuple[Array, int]:
    """Interleaved bytes to float32 ``[channels, samples]``, full scale ±1, and how many values had to be repaired (``repair``).

    Raises:
        ServiceError: The bytes are not whole samples of every channel.
    """
    check(len(data), encoding, channels)
    if encoding == "pcm_s16le":
        values = np.frombuffer(data, _INT16) * _STEP
        return values.reshape(-1, channels).T, 0
    samples = np.frombuffer(data, _FLOAT32).astype(np.float32)
    sound = np.abs(samples) <= 1
    if sound.all():
        return samples.reshape(-1, channels).T, 0
    return repair(samples).reshape(-1, channels).T, int(len(sound) - np.count_nonzero(sound))


def repair(samples: Array) -> Array:
    """NaN and infinities become 0, values beyond full scale ±1."""
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1, 1)


def encode(audio: Array, encoding: Encoding) -> bytes:
    """Float32 ``[channels, samples]`` to interleaved bytes; 16-bit values are rounded and saturate."""
    if encoding == "pcm_s16le":
        scaled = audio.T.ravel() * _FULL_SCALE  # in one dimension, which takes half as long
        np.rint(scaled, out=scaled)
        return scaled.clip(_LOWEST, _HIGHEST, out=scaled).astype(_INT16).tobytes()
    return np.ascontiguousarray(audio.T, _FLOAT32).tobytes()
