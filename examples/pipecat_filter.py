"""Quietwire in a pipecat transport: python examples/pipecat_filter.py noisy.wav [server]; without one, in the process."""

import asyncio
import sys

import soundfile
from pipecat.transports.base_transport import TransportParams

from quietwire.adapters.pipecat import QuietwireFilter


async def main(source: str, server: str | None = None) -> None:
    """What a transport does with its filter: 10 ms in, 10 ms out."""
    params = TransportParams(audio_in_enabled=True, audio_in_filter=QuietwireFilter(url=server))
    audio, rate = soundfile.read(source, dtype="float32")
    audio = (audio * 32767).astype("int16")
    filter_, size = params.audio_in_filter, rate // 100
    await filter_.start(rate)
    output = [await filter_.filter(audio[start : start + size].tobytes()) for start in range(0, len(audio), size)]
    output.append(await filter_.flush())
    print(f"{len(audio)} samples in, {len(b''.join(output)) // 2} out, {filter_.delay} of them delay")
    await filter_.stop()


asyncio.run(main(*sys.argv[1:]))
