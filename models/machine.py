"""What this process may use of its machine."""

from __future__ import annotations

import os


def processors() -> int:
    """Processors that this process may run on: threads beyond these wait for each other."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
