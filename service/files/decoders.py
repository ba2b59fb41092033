"""Uploads are decoded in processes of their own, so that a file that crashes, hangs or fills a decoder harms no one else.

There is one for each upload that is worked on; they start when they are first needed, and stay. One that has failed, or whose
file was left before its end, is killed; the next upload gets a new one. Where the system cannot hand an open file to
another process (Windows), files are decoded in the server.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from typing import BinaryIO

from service.errors import ServiceError
from service.files.decoder_process import DecoderFault, DecoderProcess, Died, Late
from service.files.decoding import Reader, open_here

SEPARATE = hasattr(socket, "send_fds")
MAX_FILES = 200  # for one process: what libraries lose on the way, broken files above all, does not add up
STOPPED = (signal.SIGTERM, signal.SIGKILL) if SEPARATE else ()  # by somebody else

log = logging.getLogger(__name__)


class Decoders:
    """All decoders of a server. Any thread may open files, and each has one to itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: set[DecoderProcess] = set()
        self._idle: list[DecoderProcess] = []
        self._closed = False

    @property
    def processes(self) -> list[int]:
        """Their ids."""
        with self._lock:
            return [decoder.process.pid for decoder in self._all]

    @contextlib.contextmanager
    def open(self, source: BinaryIO) -> Iterator[Reader]:
        """Open an upload: an ``Opener``.

        Raises:
            ServiceError: The file cannot be used, or has brought its decoder down; in the block, too.
        """
        if not SEPARATE:
            with open_here(source) as reader:
                yield reader
            return
        decoder = self._begin(source)
        try:
            decoder.open()
            yield decoder
        except DecoderFault as fault:
            raise self._failed(decoder, fault) from fault
        finally:
            self._give_back(decoder)

    def close(self) -> None:
        """End them all; uploads that are under way fail."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for decoder in self._all.difference(idle):
                decoder.process.kill()  # whoever uses it does the rest
        for decoder in idle:
            self._end(decoder)

    def _begin(self, source: BinaryIO) -> DecoderProcess:
        """A decoder that has been given the file."""
        try:
            with _descriptor(source) as descriptor:
                while True:
                    decoder = self._take()
                    try:
                        decoder.begin(descriptor)
                    except OSError:  # it has died while there was nothing to do
                        self._end(decoder)
                        if decoder.files == 1:
                            raise
                    else:
                        return decoder
        except OSError as error:
            log.error("a decoder could not be started: %s", error)
            raise ServiceError("overloaded", "The server could not decode the file: send it again in a moment.") from error

    def _take(self) -> DecoderProcess:
        with self._lock:
            if self._closed:
                raise ServiceError("restarting", "The server is being stopped: send the file again.")
            if self._idle:
                return self._idle.pop()
        decoder = DecoderProcess()
        with self._lock:
            self._all.add(decoder)
        return decoder  # should all have been ended meanwhile, it is ended after this file

    def _give_back(self, decoder: DecoderProcess) -> None:
        with self._lock:
            keep = decoder.ended and decoder.files < MAX_FILES and not self._closed
            if keep:
                self._idle.append(decoder)
        if not keep:
            self._end(decoder)

    def _end(self, decoder: DecoderProcess) -> None:
        decoder.kill()
        with self._lock:
            self._all.discard(decoder)

    def _failed(self, decoder: DecoderProcess, fault: DecoderFault) -> ServiceError:
        """What the client is told."""
        decoder.kill()
        code = decoder.process.returncode
        log.warning("the decoder %s after %.2f s of a file (exit code %s): it is replaced", fault, decoder.seconds, code)
        if isinstance(fault, Died) and code is not None and -code in STOPPED:
            if self._closed:
                return ServiceError("restarting", "The server is being stopped: send the file again.")
            return ServiceError("overloaded", "The decoder was stopped from outside: send the file again.")
        if isinstance(fault, Late):
            return ServiceError("overloaded", "The server could not decode the file in time: send it again in a moment.")
        message = f"The file brought the decoder down after {decoder.seconds:.2f} s: save it anew, as WAV or FLAC."
        return ServiceError("unprocessable", message)


@contextlib.contextmanager
def _descriptor(source: BinaryIO) -> Iterator[int]:
    """A descriptor of the file that another process can be given; what is in memory only stays there, where that can be."""
    if getattr(source, "name", None) is None and hasattr(os, "memfd_create"):  # tempfile's, before it goes to disk
        descriptor = os.memfd_create("upload")
        with os.fdopen(descriptor, "wb") as copy:
            source.seek(0)
            shutil.copyfileobj(source, copy)
            copy.flush()
            yield descriptor
    else:
        descriptor = source.fileno()
        source.flush()
        yield descriptor
