"""Audio files in memory."""

from __future__ import annotations

import io

import httpx
import numpy as np
import soundfile

JSON = "application/json"


def write(audio: np.ndarray, rate: int, format_: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """``[channels, samples]`` as a file."""
    file = io.BytesIO()
    soundfile.write(file, np.atleast_2d(audio).T, rate, subtype, format=format_)
    return file.getvalue()


def read(data: bytes) -> tuple[np.ndarray, soundfile._SoundFileInfo]:
    """A file as ``[channels, samples]``, and the facts about it."""
    audio, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return audio.T, soundfile.info(io.BytesIO(data))


def post(address: str, data: bytes, kind: str = "audio/wav", headers: dict[str, str] | None = None, **query) -> httpx.Response:
    """Send a file as it is."""
    headers = {"Content-Type": kind, **(headers or {})}
    return httpx.post(f"{address}/enhance", content=data, headers=headers, params=query, timeout=300)


def post_form(address: str, data: bytes, field: str = "file", **query) -> httpx.Response:
    """Send a file in a form."""
    return httpx.post(f"{address}/enhance", files={field: ("speech.wav", data)}, params=query, timeout=300)
