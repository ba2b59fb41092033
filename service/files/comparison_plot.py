"""The picture of a comparison: waveform and spectrogram of the input, every result and the reference. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.measures import SAMPLE_RATE, Array

SHOWN_SECONDS = 30  # more would not be legible
FRAME, HOP = 512, 128
RANGE_DB = 80.0


def spectrogram(audio: Array) -> Array:
    """Level in dB, ``[bins, frames]``, of ``[samples]`` at 16 kHz; a full-scale sine is about 0 dB."""
    padded = np.pad(audio, (0, max(0, FRAME - len(audio))))
    window = np.hanning(FRAME).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP] * window
    magnitude = np.abs(np.fft.rfft(frames, axis=1)) / (window.sum() / 2)
    return np.asarray(20 * np.log10(np.maximum(magnitude.T, 10 ** (-RANGE_DB / 20))), dtype=np.float32)


def draw(path: Path, signals: Mapping[str, Array]) -> None:
    """Write a PNG with a row per signal, on one scale of time, amplitude and level.

    Args:
        path: Of the picture.
        signals: ``[samples]`` at 16 kHz by name; the first 30 s are shown.
    """
    figure = Figure(figsize=(12, 1.7 * len(signals) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(signals), 2, squeeze=False, sharex=True)
    shown = {name: audio[: SHOWN_SECONDS * SAMPLE_RATE] for name, audio in signals.items()}
    peak = max(max(float(np.abs(audio).max(initial=0)) for audio in shown.values()), 1e-3)
    for (wave, levels), (name, audio) in zip(axes, shown.items(), strict=True):
        seconds = len(audio) / SAMPLE_RATE
        wave.plot(np.arange(len(audio)) / SAMPLE_RATE, audio, linewidth=0.4, rasterized=True)
        wave.set(ylim=(-peak, peak), ylabel=name)
        picture = spectrogram(audio)
        extent = (0, seconds, 0, SAMPLE_RATE / 2000)
        image = levels.imshow(
            picture,
            origin="lower",
            aspect="auto",
            extent=extent,
            vmin=-RANGE_DB,
            vmax=-10,
            cmap="magma",
            interpolation="nearest",
        )
        levels.set(ylabel="kHz")
    for below in axes[-1]:
        below.set(xlabel="s")
    figure.colorbar(image, ax=axes[:, 1], label="dB", aspect=40)
    figure.savefig(path, dpi=120)
