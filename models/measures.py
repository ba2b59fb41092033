"""Measures of enhanced speech against the clean reference, for one signal at 16 kHz.

A measure that is not defined for a signal (no speech in the reference, too short, silence, samples that are not finite)
is ``None``: never a stand-in number that would enter a mean unseen.

``si_sdr`` needs numpy alone. The packages ``pesq`` and ``pystoi`` are imported by the functions that need them, so that
a service without them can still say what it can; an ``ImportError`` is theirs to raise.
"""

from __future__ import annotations

import contextlib
import math
import warnings

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
SAMPLE_RATE = 16000  # Hz
MEASURES = ("pesq", "stoi", "estoi", "si_sdr")
PESQ_SECONDS = 20  # longest stretch: PESQ has room for 50 utterances, at least 0.4 s each with their pause, and does not check
PACKAGES = {"pesq": "pesq", "stoi": "pystoi", "estoi": "pystoi"}


def wide_band_pesq(clean: Array, estimate: Array) -> float | None:
    """Wide-band PESQ as MOS-LQO, about 1.04 to 4.64 (ITU-T P.862.2; the PyPI package ``pesq``).

    A signal of more than 20 s is measured in equal stretches, and the mean of these given; those in which PESQ finds no
    utterance or the reference is silent do not count. None where none counts, the signal is shorter than a quarter of a second,
    or the estimate is silent in a stretch that counts.
    """
    import pesq

    stretches = max(1, math.ceil(len(clean) / (PESQ_SECONDS * SAMPLE_RATE)))
    scores = []
    for wanted, heard in zip(np.array_split(clean, stretches), np.array_split(estimate, stretches), strict=True):
        if not wanted.any():
            continue
        if not heard.any():
            return None
        with contextlib.suppress(pesq.PesqError):
            scores.append(pesq.pesq(SAMPLE_RATE, wanted, heard, "wb"))
    return _finite(sum(scores) / len(scores)) if scores else None


def stoi(clean: Array, estimate: Array, extended: bool = False) -> float | None:
    """Short-time objective intelligibility, at most 1 (Taal et al., 2011), or its extended form (Jensen and Taal, 2016).

    None where less than 384 ms of speech is left without the silent frames, or where a signal is silent.
    """
    import pystoi

    if not clean.any() or not estimate.any() or len(clean) < 0.4 * SAMPLE_RATE:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi warns and gives 1e-5
        try:
            return _finite(pystoi.stoi(clean, estimate, SAMPLE_RATE, extended=extended))
        except RuntimeWarning:
            return None


def si_sdr(clean: Array, estimate: Array) -> float | None:
    """Scale-invariant signal-to-distortion ratio in dB, means removed (Le Roux et al., ICASSP 2019).

    None where a signal is empty or constant; between -100 and 100 dB.
    """
    if not len(clean):
        return None
    target = clean.astype(np.float64) - clean.mean(dtype=np.float64)
    heard = estimate.astype(np.float64) - estimate.mean(dtype=np.float64)
    energy = float(target @ target)
    if energy == 0 or not heard.any():
        return None
    projection = float(heard @ target) / energy * target
    distortion = heard - projection
    signal, noise = float(projection @ projection), float(distortion @ distortion)
    return _finite(10 * math.log10(max(signal, 1e-10 * noise) / max(noise, 1e-10 * signal)))


def measure(clean: Array, estimate: Array) -> dict[str, float | None]:
    """All of ``MEASURES`` of an estimate ``[samples]``, aligned with the clean signal.

    Raises:
        ValueError: The signals are not equally long.
    """
    if clean.shape != estimate.shape:
        raise ValueError(f"signals of shapes {clean.shape} and {estimate.shape} cannot be compared")
    if not np.isfinite(estimate).all():
        return dict.fromkeys(MEASURES)
    return {
        "pesq": wide_band_pesq(clean, estimate),
        "stoi": stoi(clean, estimate),
        "estoi": stoi(clean, estimate, extended=True),
        "si_sdr": si_sdr(clean, estimate),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
