"""``quietwire stream``: a file or the microphone through a running server at real-time pace, with the latency shown."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import soundfile
import typer

from quietwire.client import ChunkStats, Client, QuietwireError, Reconnection, WindowStats
from quietwire.client.options import StreamOptions
from quietwire.client.pcm import to_int16
from quietwire.devices import DeviceError, Microphone, speaker

CHUNK_SECONDS = 0.02
Samples = npt.NDArray[np.int16]


class StreamError(Exception):
    """The stream could not be made or was ended by the server."""


USER_ERRORS: tuple[type[Exception], ...] = (StreamError, DeviceError)


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(stream)


def stream(
    source: Annotated[Path | None, typer.Argument(help="Audio file; the default microphone when left out.")] = None,
    target: Annotated[Path | None, typer.Argument(help="WAV file for the enhanced audio.")] = None,
    url: Annotated[str, typer.Option(help="The server.")] = "ws://127.0.0.1:8000/ws/enhance",
    model: Annotated[str | None, typer.Option(help="Network.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant.")] = None,
    attenuation_limit_db: Annotated[float, typer.Option(min=0, max=100, help="Lower noise by at most this much.")] = 100.0,
    token: Annotated[str | None, typer.Option(envvar="QUIETWIRE_TOKEN", help="API key.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Length of a recording; 0 ends with Ctrl-C.")] = 10.0,
    play: Annotated[bool, typer.Option("--play", help="Play the enhanced audio; wear headphones with a microphone.")] = False,
) -> None:
    """Send audio to a running server at real-time pace and print the latency as it goes."""
    if target is not None:
        _check_target(target, source)
    rate, channels, chunks = _microphone(seconds) if source is None else _file(source)
    options = StreamOptions(
        model=model,
        variant=variant,
        sample_rate=rate,
        channels=channels,
        attenuation_limit_db=attenuation_limit_db,
        on_stats=_show_stats,
        on_reconnect=_show_reconnection,
    )
    with contextlib.ExitStack() as stack:
        sinks: list[Callable[[Samples], Any]] = []
        if play:
            sinks.append(stack.enter_context(speaker(rate, channels)))
        try:
            client = stack.enter_context(Client(url, token=token))
            live = stack.enter_context(client.stream(**options))
            _show("ready", live.info)
            if target is not None:
                sinks.append(stack.enter_context(_writer(target, rate, channels)))
            for enhanced in live.enhance(chunks):
                for sink in sinks:
                    sink(enhanced)
        except ValueError as error:
            raise StreamError(str(error)) from error
        except QuietwireError as error:
            remedy = ": start the server with `quietwire serve`" if error.code == "connection_lost" else f" ({error.code})"
            raise StreamError(error.message.rstrip(".") + remedy) from error
        if live.summary is not None:
            _show("summary", live.summary)
        written = live.samples_delivered
    if target is not None:
        print(f"{written} samples written to {target}")


def _check_target(target: Path, source: Path | None) -> None:
    if not target.parent.is_dir():
        raise StreamError(f"{target} cannot be written: make the folder {target.parent} first")
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise StreamError(f"{target} is the recording itself: name another file for the enhanced audio")


@contextlib.contextmanager
def _writer(target: Path, rate: int, channels: int) -> Iterator[Callable[[Samples], Any]]:
    try:
        with soundfile.SoundFile(target, "w", rate, channels, "PCM_16", format="WAV") as file:
            yield file.write
    except soundfile.LibsndfileError as error:
        raise StreamError(f"{target} cannot be written ({error})") from error


def _show(kind: str, message: Any) -> None:
    print(json.dumps({"type": kind, **dataclasses.asdict(message)}))


def _show_stats(stats: ChunkStats | WindowStats) -> None:
    if isinstance(stats, ChunkStats) and (sys.stderr.isatty() or stats.seq % 50 == 0):
        end = "\r" if sys.stderr.isatty() else "\n"
        line = f"chunk {stats.seq:6d}  latency {stats.latency_ms:7.2f} ms  compute {stats.compute_ms:6.2f} ms"
        print(line, end=end, file=sys.stderr)


def _show_reconnection(event: Reconnection) -> None:
    line = f"connected again after {event.attempts} attempts, {event.samples_resent} samples sent again: {event.reason}"
    print(line, file=sys.stderr)


def _file(path: Path) -> tuple[int, int, Iterator[Samples]]:
    try:
        audio = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise StreamError(f"{path} cannot be read as audio ({error})") from error

    def chunks() -> Iterator[Samples]:
        begin, sent = time.monotonic(), 0
        with audio:
            # not read as int16: of a file of floats that would be silence
            for block in audio.blocks(round(audio.samplerate * CHUNK_SECONDS), dtype="float32", always_2d=True):
                sent += len(block)
                time.sleep(max(0.0, begin + sent / audio.samplerate - time.monotonic()))
                yield to_int16(block if audio.channels > 1 else block[:, 0])

    return audio.samplerate, audio.channels, chunks()


def _microphone(seconds: float) -> tuple[int, int, Iterator[Samples]]:
    microphone = Microphone(seconds, CHUNK_SECONDS)

    def stop(*_: object) -> None:
        microphone.stop()  # what was said is still enhanced, written and summed up
        signal.signal(signal.SIGINT, signal.default_int_handler)  # unless that takes too long

    signal.signal(signal.SIGINT, stop)
    return microphone.rate, 1, microphone.chunks()
