"""A client's audio on its way into its stream: raw bytes in messages of any length, whole samples handed on."""

from __future__ import annotations

from collections.abc import Iterator

from service.audio import pcm
from service.live.parameters import StreamParameters
from service.live.stream import EnhancementStream

PIECE_SECONDS = 0.5  # of a longer message, that are taken at a time: others have a turn in between


class Intake:
    """Feeds a stream.

    Args:
        stream: Where the samples go.
        parameters: Say what the bytes mean.

    Attributes:
        bytes_a_second: Of audio.
        repaired: Values so far that were no sound.
    """

    def __init__(self, stream: EnhancementStream, parameters: StreamParameters) -> None:
        self._stream, self._encoding, self._channels = stream, parameters.encoding, parameters.channels
        frame = pcm.SAMPLE_BYTES[self._encoding] * self._channels
        self.bytes_a_second = parameters.sample_rate * frame
        self._piece = round(PIECE_SECONDS * parameters.sample_rate) * frame
        self._head = b""  # the first bytes of audio
        self.repaired = 0

    def is_long(self, size: int) -> bool:
        """Whether a message of so many bytes is to be taken in pieces."""
        return size > self._piece

    def pieces(self, message: bytes) -> Iterator[bytes]:
        """A message in pieces of whole samples, one at least.

        Raises:
            ServiceError: It does not hold whole samples of every channel.
        """
        pcm.check(len(message), self._encoding, self._channels)
        for start in range(0, max(1, len(message)), self._piece):
            yield message[start : start + self._piece]

    def feed(self, data: bytes) -> float:
        """Hand samples on; gives their duration in seconds.

        Raises:
            ServiceError: They are not whole samples of every channel, or the stream begins like an audio file.
        """
        if len(self._head) < pcm.HEADER_BYTES:
            self._head += data[: pcm.HEADER_BYTES - len(self._head)]
            pcm.refuse_header(self._head)
        audio, repaired = pcm.decode(data, self._encoding, self._channels)
        self.repaired += repaired
        self._stream.feed(audio)
        return len(data) / self.bytes_a_second
