"""Turns of threads that share a processor: short for the event loop, long for work on files."""

import os
import sys
import threading
from pathlib import Path

import pytest

from service.engine.priority import LONG_TURN_SECONDS, LOW_PRIORITY, SHORT_TURN_SECONDS, answer_soon, yield_to_live_streams

from .process import started


def turn_seconds(thread, process="self"):
    """As the kernel tells it."""
    lines = Path(f"/proc/{process}/task/{thread}/sched").read_text().splitlines()
    return next(int(line.split()[-1]) / 1e9 for line in lines if line.startswith("se.slice "))


def kernel_has_turns():
    try:
        turn_seconds(threading.get_native_id())
    except (OSError, StopIteration):
        return False
    return in_a_thread(answer_soon)


def in_a_thread(work):
    """A thread of its own, as what it asks for lasts as long as it does."""
    result = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    thread.join()
    return result[0]


needs_turns = pytest.mark.skipif(not kernel_has_turns(), reason="this kernel has no turns of a thread's own length")


@needs_turns
def test_a_thread_and_those_it_starts_get_short_turns():
    def ask():
        assert answer_soon()
        return turn_seconds(threading.get_native_id()), in_a_thread(lambda: turn_seconds(threading.get_native_id()))

    assert in_a_thread(ask) == (SHORT_TURN_SECONDS, SHORT_TURN_SECONDS)


@needs_turns
def test_work_on_files_has_long_turns_and_comes_last():
    def ask():
        answer_soon()
        yield_to_live_streams()
        thread = threading.get_native_id()
        return turn_seconds(thread), os.getpriority(os.PRIO_PROCESS, thread)

    assert in_a_thread(ask) == (LONG_TURN_SECONDS, LOW_PRIORITY)


@needs_turns
def test_the_event_loop_of_a_server_has_short_turns(zoo_folder, tmp_path):
    with started(tmp_path, "--zoo", zoo_folder) as served:
        assert turn_seconds(served.process.pid, served.process.pid) == SHORT_TURN_SECONDS


@pytest.mark.parametrize(("system", "machine"), [("win32", "AMD64"), ("linux", "riscv64"), ("darwin", "arm64")])
def test_elsewhere_nothing_is_asked_for(monkeypatch, system, machine):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert not answer_soon()
