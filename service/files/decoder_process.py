"""One decoder process, as the server sees it: what it says is not trusted, and not waited for without end."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from typing import Any

from models import child
from service.errors import ServiceError
from service.files.decoder import HEADER, Kind
from service.files.decoding import BLOCK_SECONDS, CHANNELS, RATES, SAMPLE_BYTES

COMMAND = child.command("service.files.decoder")
START_SECONDS = 60.0  # of a machine that is busy with live streams; alone it takes a tenth of a second
WAIT_SECONDS = 20.0  # that a decoder may keep us waiting in all, for a file,
WAIT_SHARE = 0.1  # and for each second of audio that it has given
TEXT_BYTES = 4096
CODES = ("unsupported_media", "unprocessable")


class DecoderFault(Exception):
    """Something is wrong with a decoder; the text says what, for the log."""


class Died(DecoderFault):
    """It has ended without a word."""


class Late(DecoderFault):
    """It does not answer, perhaps because the machine is busy: a file that keeps it busy uses up its processor time first."""


class DecoderProcess:
    """One process, and a ``Reader`` of the file that it has been given; used by one thread at a time."""

    rate: int
    channels: int
    subtype: str

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        environment = child.environment() | {"OPENBLAS_NUM_THREADS": "1"}  # whose threads' stacks would count as memory
        with theirs:
            try:
                self.process = subprocess.Popen(
                    COMMAND,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    cwd="/",  # libsndfile takes MP3 for SD2 where a file "._" is in the current folder
                )
            except OSError:
                self._socket.close()
                raise
        self.files = 0
        self.ended = True  # whether it has nothing more to say on its last file

    def begin(self, descriptor: int) -> None:
        """Give it a file.

        Raises:
            OSError: It is gone.
        """
        self.files += 1
        self._patience = START_SECONDS
        self.ended, self._waited, self._frames, self.rate = False, 0.0, 0, RATES[0]
        socket.send_fds(self._socket, [b"f"], [descriptor])

    def open(self) -> None:
        """Hear what kind of file it is.

        Raises:
            ServiceError: None that can be used.
            DecoderFault: The decoder has failed.
        """
        if self.files == 1:
            self._receive(Kind.READY, 0)
        self._patience, self._waited = WAIT_SECONDS, 0.0
        facts = self._text(self._receive(Kind.OPENED, TEXT_BYTES))
        rate, channels, subtype = (facts.get(name) for name in ("rate", "channels", "subtype"))
        if type(rate) is not int or type(channels) is not int or not isinstance(subtype, str):
            raise DecoderFault("says nonsense")
        if rate not in RATES or channels not in CHANNELS:
            raise DecoderFault("says nonsense")
        self.rate, self.channels, self.subtype = rate, channels, subtype
        self._block = bytearray(int(BLOCK_SECONDS * self.rate) * self.channels * SAMPLE_BYTES)

    def read(self) -> memoryview:
        """As ``Reader.read``; raises ``DecoderFault`` where the decoder has failed."""
        size = self._receive(Kind.BLOCK, len(self._block))
        frames, rest = divmod(size, self.channels * SAMPLE_BYTES)
        if rest:
            raise DecoderFault("says nonsense")
        block = memoryview(self._block)[:size]
        self._fill(block)
        self._frames += frames
        self.ended = not frames
        return block

    @property
    def seconds(self) -> float:
        """Of audio that it has given of this file."""
        return self._frames / self.rate

    def kill(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self._socket.close()

    def _receive(self, expected: Kind, limit: int) -> int:
        """The size of the body of the next message, which is of the kind that is due."""
        header = memoryview(bytearray(HEADER.size))
        self._fill(header)
        kind, size = HEADER.unpack(header)
        if size > (limit if kind == expected else TEXT_BYTES):
            raise DecoderFault("says nonsense")
        if kind == Kind.ERROR:
            told = self._text(size)
            if told.get("code") not in CODES or not isinstance(told.get("message"), str):
                raise DecoderFault("says nonsense")
            self.ended = True
            raise ServiceError(told["code"], told["message"])
        if kind == Kind.FAULT:
            text = memoryview(bytearray(size))
            self._fill(text)
            raise DecoderFault(f"had a fault, {bytes(text)!r},")
        if kind != expected:
            raise DecoderFault("says nonsense")
        return int(size)

    def _text(self, size: int) -> dict[str, Any]:
        body = bytearray(size)
        self._fill(memoryview(body))
        try:
            told = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise DecoderFault("says nonsense") from error
        return told if isinstance(told, dict) else {}

    def _fill(self, view: memoryview) -> None:
        begin = time.monotonic()
        end = begin + self._patience + WAIT_SHARE * self.seconds - self._waited
        try:
            while view:
                self._socket.settimeout(max(0.001, end - time.monotonic()))
                count = self._socket.recv_into(view)
                if not count:
                    raise ConnectionResetError
                view = view[count:]
        except TimeoutError as error:
            raise Late("took too long") from error
        except OSError as error:
            raise Died("has died") from error
        finally:
            self._waited += time.monotonic() - begin
