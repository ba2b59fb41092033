"""Measures taken in a process of their own, for a service that must not stop.

The package ``pesq`` holds Python's lock for as long as it computes, over a second for two minutes of audio, during
which no live stream would move; and it is C that trusts what it is given. So a child process measures, at a
low priority, and tells each figure as soon as it has it: what was measured before a crash is kept.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from models import child
from models.measures import PACKAGES, Array, si_sdr, stoi, wide_band_pesq

COMPARED = ("pesq", "stoi", "si_sdr")
TIMEOUT = 600.0
Scores = dict[str, float | None]
_FUNCTIONS = {"stoi": stoi, "pesq": wide_band_pesq}  # the one that may crash comes last


def measure_apart(clean: Array, estimates: Sequence[Array]) -> tuple[list[Scores], list[str]]:
    """``COMPARED`` of several estimates of one signal.

    Args:
        clean: ``[samples]`` at 16 kHz.
        estimates: Of the same length and rate, aligned with it.

    Returns:
        The scores of each estimate, None where a measure is not defined or could not be taken, and sentences that say
        what could not be taken and why.
    """
    rows: list[Scores] = [dict.fromkeys(COMPARED) | {"si_sdr": si_sdr(clean, one)} for one in estimates]
    found = [name for name in _FUNCTIONS if importlib.util.find_spec(PACKAGES[name]) is not None]
    notes = []
    if missing := [name for name in _FUNCTIONS if name not in found]:
        packages = " and ".join(PACKAGES[name] for name in missing)
        notes.append(f'{" and ".join(missing).upper()} need {packages} where this runs: pip install "quietwire[metrics]".')
    if found:
        notes += _measure_in_child(np.stack([clean, *estimates]), found, rows)
    return rows, notes


def _measure_in_child(signals: Array, names: list[str], rows: list[Scores]) -> list[str]:
    sent = io.BytesIO()
    np.save(sent, signals.astype(np.float32, copy=False))
    command = child.command("models.measuring", *names)
    try:
        done = subprocess.run(
            command, input=sent.getvalue(), capture_output=True, timeout=TIMEOUT, env=child.environment(), cwd="/"
        )
        output, failed = done.stdout, done.returncode != 0
    except subprocess.TimeoutExpired as late:
        output, failed = late.stdout or b"", True
    taken = dict.fromkeys(names, 0)
    for line in output.splitlines():
        with contextlib.suppress(ValueError):  # the last line may have been cut short
            name, index, value = json.loads(line)
            rows[index][name] = value
            taken[name] += 1
    lacking = [name.upper() for name in names if taken[name] < len(rows)]
    if not failed or not lacking:
        return []
    return [f"{' and '.join(lacking)} could not be taken, the measuring program failed: try a part of the recording."]


def main(names: Sequence[str]) -> None:
    """The child: signals ``[1 + estimates, samples]`` from standard input, a line of JSON for every figure."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)
    signals = np.load(io.BytesIO(sys.stdin.buffer.read()))
    for name in names:
        for index, estimate in enumerate(signals[1:]):
            print(json.dumps([name, index, _FUNCTIONS[name](signals[0], estimate)]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
