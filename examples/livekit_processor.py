"""Quietwire on a LiveKit audio stream: python examples/livekit_processor.py noisy.wav [server]; here of a local track."""

import asyncio
import sys

import soundfile
from livekit import rtc

from quietwire.adapters.livekit import QuietwireProcessor


async def main(path: str, server: str | None = None) -> None:
    """A recording as a microphone, and the stream that another participant would open on it."""
    audio, rate = soundfile.read(path, dtype="float32")
    audio = (audio * 32767).astype("int16")
    source = rtc.AudioSource(rate, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    processor = QuietwireProcessor(url=server)
    stream = rtc.AudioStream(track, sample_rate=rate, num_channels=1, frame_size_ms=10, noise_cancellation=processor)

    async def feed() -> None:
        for start in range(0, min(len(audio), rate) // (rate // 100) * (rate // 100), rate // 100):
            piece = audio[start : start + rate // 100]
            await source.capture_frame(rtc.AudioFrame(piece.tobytes(), rate, 1, len(piece)))

    feeder, frames = asyncio.create_task(feed()), 0
    async for _ in stream:
        frames += 1
        if frames == 50:
            break
    print(f"{frames} frames enhanced, {processor.delay / rate * 1000:.1f} ms late")
    feeder.cancel()
    await stream.aclose()
    await source.aclose()


asyncio.run(main(*sys.argv[1:]))
