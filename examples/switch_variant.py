"""asyncio: change what the following samples go through: python examples/switch_variant.py noisy.wav [server]."""

import asyncio
import sys

import soundfile

from quietwire import AsyncClient


async def main(source: str, server: str) -> None:
    """Half a recording as it is, the other half enhanced; no click, no sample lost or doubled."""
    audio, rate = soundfile.read(source, dtype="float32")
    middle = len(audio) // 2
    async with AsyncClient(server).stream(sample_rate=rate, channels=audio.ndim, attenuation_limit_db=0) as stream:
        await stream.send(audio[:middle])
        info = await stream.configure(attenuation_limit_db=100)
        print(f"from sample {middle} on: {info.model}/{info.variant}, at most {info.attenuation_limit_db:g} dB")
        await stream.send(audio[middle:])
        summary = await stream.end()
        output = [chunk async for chunk in stream]
        print(f"{sum(map(len, output))} of {summary.samples_in} samples came back")


asyncio.run(main(*[*sys.argv[1:], "http://127.0.0.1:8000"][:2]))
