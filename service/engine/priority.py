"""Who runs first where threads share a processor: the event loop in short turns, work on files last and in long ones.

A thread that wakes up waits until the turn of the one that runs is over, 1.4 to 3 ms as kernels are set up: a step of the
engine holds up the messages that came meanwhile. Since Linux 6.12 a thread may ask for shorter turns, which then come sooner
(``sched_setattr``, for ordinary threads too); the share of the processor stays the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
import threading

SHORT_TURN_SECONDS, LONG_TURN_SECONDS = 0.0003, 0.003
LOW_PRIORITY = 10
SYSTEM_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}  # sched_setattr and sched_getattr
ATTRIBUTES = struct.Struct("IIQiIQQQ")  # size, policy, flags, nice, priority, runtime in ns, deadline, period


def answer_soon() -> bool:
    """Ask for short turns of the calling thread, and of those that it starts.

    Returns:
        Whether the system knows of them; else all stays as it is.
    """
    return _ask_for_turns(SHORT_TURN_SECONDS)


def yield_to_live_streams() -> None:
    """Lower the calling thread's priority, where the system has one for threads."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)
    _ask_for_turns(LONG_TURN_SECONDS)


def _ask_for_turns(seconds: float) -> bool:
    calls = SYSTEM_CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None:
        return False
    call = ctypes.CDLL(None).syscall
    buffer = ctypes.create_string_buffer(ATTRIBUTES.size)
    if call(calls[1], 0, buffer, ATTRIBUTES.size, 0):
        return False
    size, policy, _, nice, priority, before, *_ = ATTRIBUTES.unpack(buffer.raw)
    if policy != os.SCHED_OTHER or not before:  # older kernels tell no length of ordinary threads' turns
        return False
    wanted = ATTRIBUTES.pack(size, policy, 0, nice, priority, round(seconds * 1e9), 0, 0)
    return not call(calls[0], 0, wanted, 0)
