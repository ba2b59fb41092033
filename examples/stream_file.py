"""A recording through a live stream, chunk by chunk: python examples/stream_file.py noisy.wav clean.wav [server]."""

import sys
from collections.abc import Iterator

import soundfile

from quietwire import Client

source, target, server = [*sys.argv[1:], "http://127.0.0.1:8000"][:3]

with soundfile.SoundFile(source) as audio, Client(server) as client:
    rate, channels = audio.samplerate, audio.channels

    def chunks() -> Iterator:  # 20 ms at a time; a microphone would do as well
        yield from audio.blocks(rate // 50, dtype="float32")

    with (
        soundfile.SoundFile(target, "w", rate, channels) as out,
        client.stream(sample_rate=rate, channels=channels) as stream,
    ):
        print(f"{stream.info.model}/{stream.info.variant}, {stream.info.model_bytes} bytes")
        for enhanced in stream.enhance(chunks()):
            out.write(enhanced)
        print(f"{stream.samples_delivered} samples, latency {stream.summary.latency_ms['p50']:.1f} ms")
