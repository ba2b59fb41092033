"""Sound files with damage made at random, always the same for one seed, and what must become of them."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import numpy as np
import soundfile

from models.zoo import Variant
from service.errors import ServiceError
from service.files.decoding import Opener
from service.files.enhancing import enhance_file

from .client import tones
from .files import write

ENCODINGS = (
    ("WAV", "PCM_16", 16000, 1),
    ("WAV", "PCM_24", 44100, 2),
    ("WAV", "FLOAT", 8000, 1),
    ("WAV", "ALAW", 8000, 1),
    ("WAV", "IMA_ADPCM", 16000, 1),
    ("WAV", "MS_ADPCM", 22050, 2),
    ("WAV", "GSM610", 8000, 1),
    ("WAVEX", "PCM_U8", 16000, 2),
    ("RF64", "PCM_16", 48000, 1),
    ("FLAC", "PCM_16", 16000, 1),
    ("FLAC", "PCM_24", 44100, 2),
    ("OGG", "VORBIS", 16000, 1),
    ("OGG", "VORBIS", 44100, 2),
    ("OGG", "OPUS", 48000, 1),
    ("MP3", "MPEG_LAYER_III", 16000, 1),
    ("MP3", "MPEG_LAYER_III", 44100, 2),
)
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)
HEAD = 200  # bytes in which every second mutation is: what they say decides how the rest is read
CODES = {"unsupported_media", "unprocessable", "too_large"}


def whole_files() -> list[bytes]:
    """A fraction of a second in every kind of file that is taken."""
    files = []
    for format_, subtype, rate, channels in ENCODINGS:
        sound = np.stack([tones(0.15, rate, (300, 1900 + 400 * channel), 0.5) for channel in range(channels)])
        files.append(write(sound, rate, format_, subtype))
    return files


def mutated(files: list[bytes], seed: int) -> Iterator[bytes]:
    """Damaged files, without end."""
    chance = random.Random(seed)
    while True:
        data = bytearray(chance.choice(files))
        for _ in range(chance.choice((1, 1, 2, 3, 8))):
            _mutate(data, files, chance)
        yield bytes(data)


def _mutate(data: bytearray, files: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(min(HEAD, len(data) + 1) if chance.random() < 0.5 else len(data) + 1)
    length = chance.choice((1, 2, 4, 8, 64, 1000))
    match chance.randrange(8):
        case 0:
            del data[at:]
        case 1:
            del data[at : at + length]
        case 2:
            data[at : at + length] = chance.randbytes(length)
        case 3:
            data[at:at] = data[at : at + length] * chance.choice((1, 2, 20))
        case 4:
            size, order = chance.choice((1, 2, 4, 8)), chance.choice(("little", "big"))
            data[at : at + size] = (chance.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, order)
        case 5:
            for _ in range(length):
                if data:
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case 6:
            other = chance.choice(files)
            data[at:] = other[chance.randrange(len(other)) :]
        case _:
            data[: chance.choice((0, 4, 12, 40))] = chance.choice(files)[: chance.choice((4, 12, 40, HEAD))]


def check(data: bytes, variant: Variant, open_: Opener) -> str:
    """Enhance a file, and say what became of it: "enhanced", or the code of a refusal.

    Raises:
        AssertionError: A promise was broken.
    """
    with io.BytesIO() as target:
        try:
            report = enhance_file(io.BytesIO(data), target, variant, max_seconds=60, open_=open_)
        except ServiceError as error:
            assert error.code in CODES, error
            assert error.message.endswith(".")
            assert len(error.message) < 300
            return "brought the decoder down" if "decoder down" in error.message else error.code
        target.seek(0)
        facts = soundfile.info(target)
        assert (facts.samplerate, facts.channels) == (report.sample_rate, report.channels)
        assert facts.frames == round(report.audio_seconds * report.sample_rate) > 0
        return "enhanced"
