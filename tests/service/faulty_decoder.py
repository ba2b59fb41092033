"""The decoder with a fault: ``python faulty_decoder.py hang``. It comes up in files of 11025 Hz, after their first block."""

import itertools
import os
import signal
import socket
import sys
import time
from pathlib import Path

import service.files.decoder
from service.errors import ServiceError
from service.files.decoding import FileReader

RATE = 11025


def spin():
    while True:
        pass


def sleep():
    time.sleep(3600)


def take_memory():
    return [bytearray(1 << 24) for _ in itertools.count()]


def say(message):
    def fault():
        os.write(0, message)
        sleep()

    return fault


def prove_confinement():
    """Say what is possible that should not be."""
    found = [name for name in os.environ if name.startswith(("QUIETWIRE", "SECRET"))]
    path = Path(__file__).with_name(f"decoder-{os.getpid()}")
    try:
        path.write_bytes(b"x")
        found.append("writing")
    except OSError:
        pass
    path.unlink(missing_ok=True)
    try:
        sockets = [socket.socket() for _ in range(20)]
        found.append(f"{len(sockets)} sockets")
    except OSError:
        pass
    if os.geteuid():  # to the superuser this limit does not apply
        try:
            os.fork() or os._exit(0)
            found.append("fork")
        except OSError:
            pass
    raise ServiceError("unprocessable", f"confined but for {found}.")


FAULTS = {
    "abort": os.abort,
    "exception": lambda: 1 // 0,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(0),
    "spin": spin,
    "sleep": sleep,
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "memory": take_memory,
    "nonsense": say(b"\xff" * 100),
    "too much": say(service.files.decoder.HEADER.pack(service.files.decoder.Kind.BLOCK, 1 << 31)),
    "half a sample": say(service.files.decoder.HEADER.pack(service.files.decoder.Kind.BLOCK, 3) + b"abc"),
    "opened twice": say(service.files.decoder.HEADER.pack(service.files.decoder.Kind.OPENED, 2) + b"{}"),
    "unknown error": say(service.files.decoder.HEADER.pack(service.files.decoder.Kind.ERROR, 2) + b"{}"),
    "broken text": say(service.files.decoder.HEADER.pack(service.files.decoder.Kind.ERROR, 900) + b"[" * 900),
    "confinement": prove_confinement,
    "no end": lambda: None,
}


class FaultyReader(FileReader):
    first = None

    def read(self):
        if self.first is None or self.rate != RATE:
            self.first = super().read()
        else:
            FAULTS[sys.argv[1]]()
        return self.first


if __name__ == "__main__":
    service.files.decoder.FileReader = FaultyReader
    service.files.decoder.CPU_SECONDS = 0.5
    service.files.decoder.main()
