"""Chunks of audio as programs hold them, to the bytes of the wire and back."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

Encoding = Literal["pcm_s16le", "pcm_f32le"]
Chunk = bytes | npt.NDArray[np.int16] | npt.NDArray[np.float32]
ChunkT = TypeVar("ChunkT", bytes, npt.NDArray[np.int16], npt.NDArray[np.float32])
_DTYPES: dict[Encoding, str] = {"pcm_s16le": "<i2", "pcm_f32le": "<f4"}


def to_int16(samples: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Floats of full scale ±1, rounded and saturating; what is not a number becomes 0."""
    scaled: npt.NDArray[Any] = np.rint(np.nan_to_num(samples) * 32768)
    return scaled.clip(-32768, 32767).astype(np.int16)


class PcmCodec:
    """Turns chunks into bytes of one encoding, and what comes back into the kind of chunk that was first given.

    A chunk is bytes of that encoding, interleaved; or an array of int16, or of float with full scale ±1, ``[samples]``
    for one channel and ``[samples, channels]`` for more. Arrays may be of either type whatever the encoding is.

    Args:
        encoding: On the wire.
        channels: Number of channels.
    """

    def __init__(self, encoding: Encoding, channels: int) -> None:
        if encoding not in _DTYPES:
            raise ValueError(f"encoding {encoding!r} is not one of {', '.join(_DTYPES)}")
        self._dtype, self._channels = np.dtype(_DTYPES[encoding]), channels
        self._kind: type[bytes] | type[np.int16] | type[np.float32] | None = None
        self.frame = self._dtype.itemsize * channels  # bytes of one sample of all channels

    def encode(self, chunk: Chunk) -> bytes:
        """A chunk to bytes.

        Raises:
            ValueError: Bytes that are not whole samples, or an array of another shape.
            TypeError: Neither bytes nor an array of int16 or float.
        """
        if isinstance(chunk, bytes | bytearray | memoryview):
            self._kind = self._kind or bytes
            if len(chunk) % self.frame:
                raise ValueError(f"{len(chunk)} bytes are not a whole number of {self.frame}-byte samples")
            return bytes(chunk)
        array: npt.NDArray[Any] = np.asarray(chunk)
        shape = (len(array),) if array.ndim == 1 and self._channels == 1 else (len(array), self._channels)
        if array.shape != shape:
            raise ValueError(f"an array of shape {array.shape} where [samples, {self._channels}] is needed")
        if array.dtype == np.int16:
            self._kind = self._kind or np.int16
            wire = array if self._dtype.kind == "i" else array / np.float32(32768)
        elif array.dtype.kind == "f":
            self._kind = self._kind or np.float32
            wire = array if self._dtype.kind == "f" else to_int16(array)
        else:
            raise TypeError(f"a chunk of {array.dtype}: give bytes, or an array of int16 or float32")
        return np.ascontiguousarray(wire, dtype=self._dtype).tobytes()

    def decode(self, data: bytes) -> Chunk:
        """Bytes of whole samples to a chunk."""
        if self._kind in (bytes, None):
            return data
        samples: npt.NDArray[Any] = np.frombuffer(data, self._dtype)
        if self._channels > 1:
            samples = samples.reshape(-1, self._channels)
        if self._kind is np.float32:
            scale = np.float32(1 if self._dtype.kind == "f" else 1 / 32768)
            return np.asarray(samples * scale, dtype=np.float32)
        if self._dtype.kind == "f":
            return to_int16(samples)
        return np.asarray(samples, dtype=np.int16)
