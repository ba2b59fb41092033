"""A picture of what enhancement does: spectrograms of recordings one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compression.audio import SAMPLE_RATE, read_mono
from compression.errors import EvaluationError
from compression.evaluation.result import check_target

FLOOR_DB = -80.0


def spectrograms(files: Sequence[Path], titles: Sequence[str], target: Path) -> None:
    """Draw the spectrogram of each file into one PNG, on one scale of 80 dB below the loudest point.

    Args:
        files: Audio files of the same length, any rate.
        titles: One a file.
        target: PNG to write.

    Raises:
        CorpusError: A file cannot be decoded.
        EvaluationError: The picture cannot be written.
    """
    if target.suffix.lower() != ".png":
        raise EvaluationError(f"{target} cannot be written: only .png can")
    check_target(target)
    from matplotlib.figure import Figure

    window = np.hanning(513)[:-1]
    levels = []
    for file in files:
        audio = read_mono(file)
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, 256), 512)[::64] * window
        levels.append(20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-9))
    loudest = max(level.max() for level in levels)
    figure = Figure(figsize=(9, 2.4 * len(files)), layout="constrained")
    axes = figure.subplots(len(files), 1, sharex=True, squeeze=False)[:, 0]
    for axis, level, title in zip(axes, levels, titles, strict=True):
        extent = (0, level.shape[1] * 64 / SAMPLE_RATE, 0, SAMPLE_RATE / 2000)
        image = axis.imshow(
            level, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=loudest + FLOOR_DB, vmax=loudest
        )
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylabel("kHz")
    axes[-1].set_xlabel("s")
    figure.colorbar(image, ax=axes, label="dB", shrink=0.8)
    figure.savefig(target, dpi=110)
