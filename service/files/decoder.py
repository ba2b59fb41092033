"""The program that decodes uploads: ``python -m service.files.decoder``, started and replaced by ``service.files.decoders``.

Standard input is a Unix socket. On it come files, one byte with a descriptor each; back go messages of ``HEADER`` and a
body. What a hostile file can do here ends with this process: it has little memory and processor time, can open and write
no further files nor start processes, and knows neither settings nor keys.
"""

from __future__ import annotations

import contextlib
import enum
import json
import math
import os
import signal
import socket
import struct
import time

from service.errors import ServiceError
from service.files.decoding import SAMPLE_BYTES, FileReader

MEMORY_BYTES = 512 << 20  # of address space; Python with numpy takes 110 MB
CPU_SECONDS = 10.0  # that a file may cost,
CPU_SHARE = 0.1  # and for each second of audio in it
OPEN_FILES = 16
NICENESS = 10  # as that of the upload threads
HEADER = struct.Struct("<BI")  # kind, bytes of the body


class Kind(enum.IntEnum):
    """What a message is."""

    OPENED = 1  # JSON with rate, channels and subtype
    BLOCK = 2  # interleaved float32; empty at the end of the file
    ERROR = 3  # JSON with code and message, for the client
    FAULT = 4  # text for the log; the decoder ends
    READY = 5  # once, before all others


def main() -> None:
    """Decode files until there is nobody to ask for it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # meant for the server, which may have files to finish
        signal.signal(number, signal.SIG_IGN)
    _restrict()
    with socket.socket(fileno=0) as server, contextlib.suppress(ConnectionError):
        _send(server, Kind.READY, b"")
        while True:
            request, descriptors, _, _ = socket.recv_fds(server, 1, 1)
            if not request:
                return
            try:
                _decode(server, descriptors[0])
            except Exception as error:
                _send(server, Kind.FAULT, repr(error)[:1000].encode())
                return
            finally:
                os.close(descriptors[0])


def _decode(server: socket.socket, descriptor: int) -> None:
    begin = time.process_time()
    _limit_cpu(begin + CPU_SECONDS)
    try:
        with contextlib.closing(FileReader(descriptor)) as audio:
            facts = {"rate": audio.rate, "channels": audio.channels, "subtype": audio.subtype}
            _send(server, Kind.OPENED, json.dumps(facts).encode())
            done = 0
            while True:
                block = audio.read()
                done += len(block) // (SAMPLE_BYTES * audio.channels)
                _limit_cpu(begin + CPU_SECONDS + CPU_SHARE * done / audio.rate)
                _send(server, Kind.BLOCK, block)
                if not block:
                    return
    except ServiceError as error:
        _send(server, Kind.ERROR, json.dumps(error.as_json()).encode())


def _send(server: socket.socket, kind: Kind, body: bytes | memoryview) -> None:
    server.sendall(HEADER.pack(kind, len(body)))
    server.sendall(body)


def _restrict() -> None:
    """Give up what decoding does not need, as far as the system has limits for it."""
    import resource  # not on every system, and the server takes constants from this module

    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    limits = {"CORE": 0, "FSIZE": 0, "NPROC": 0, "NOFILE": OPEN_FILES, "AS": MEMORY_BYTES}
    for name, value in limits.items():
        with contextlib.suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def _limit_cpu(seconds: float) -> None:
    """End this process once it has used so much time, in all."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
