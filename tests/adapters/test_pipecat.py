"""The pipecat filter inside a real pipecat input transport."""

import asyncio

import numpy as np
import pytest

from models.offline import enhance

from ..service.client import noise, tones

# ruff: noqa: E402 - pipecat is imported where it is installed
REASON = "pipecat is not installed: pip install 'quietwire[pipecat]'"
pytest.importorskip("pipecat.transports.base_input", reason=REASON, exc_type=ImportError)  # may warn of audioop's removal
pytest.importorskip("pipecat.workers.runner", reason=REASON, exc_type=ImportError)

from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.frames.frames import EndFrame, FilterEnableFrame, InputAudioRawFrame, StartFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from quietwire.adapters.pipecat import QuietwireFilter

pytestmark = pytest.mark.filterwarnings("ignore")  # pipecat's own


def frames(audio, rate):
    """10 ms of 16-bit mono at a time."""
    data = np.rint(audio * 32768).astype(np.int16)
    return [data[start : start + rate // 100].tobytes() for start in range(0, len(data), rate // 100)]


def decoded(pieces):
    return np.frombuffer(b"".join(pieces), np.int16).astype(np.float32) / 32768


class Transport(BaseInputTransport):
    """An input transport that is ready once it has started."""

    async def start(self, frame: StartFrame):
        await super().start(frame)
        await self.set_transport_ready(frame)


class Collector(FrameProcessor):
    """Keeps the audio that comes down the pipeline, and ends it when there is enough."""

    def __init__(self, count):
        super().__init__()
        self.pieces, self.count, self.full = [], count, asyncio.Event()

    async def process_frame(self, frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.pieces.append(frame.audio)
            if len(self.pieces) == self.count:
                self.full.set()
        await self.push_frame(frame, direction)


def through_a_pipeline(filter_, pieces, rate):
    """What comes out of a real transport with the filter, and the filter's tail."""

    async def work():
        transport = Transport(TransportParams(audio_in_enabled=True, audio_in_sample_rate=rate, audio_in_filter=filter_))
        collector = Collector(len(pieces))
        worker = PipelineWorker(
            Pipeline([transport, collector]), params=PipelineParams(audio_in_sample_rate=rate), cancel_on_idle_timeout=False
        )
        started, tail = asyncio.Event(), []

        @worker.event_handler("on_pipeline_started")
        async def on_started(worker, frame):
            started.set()

        async def feed():
            await started.wait()
            for piece in pieces:
                await transport.push_audio_frame(InputAudioRawFrame(audio=piece, sample_rate=rate, num_channels=1))
            await collector.full.wait()
            tail.append(await filter_.flush())
            await worker.queue_frame(EndFrame())

        runner = WorkerRunner()
        await runner.add_workers(worker)
        async with asyncio.timeout(30):
            await asyncio.gather(runner.run(), feed())
        return collector.pieces, tail[0]

    return asyncio.run(work())


def test_it_is_a_filter_of_pipecat():
    assert issubclass(QuietwireFilter, BaseAudioFilter)


@pytest.mark.parametrize("rate", [16000, 24000])
def test_every_frame_of_a_transport_comes_out_as_long_and_the_tail_is_kept(zoo_folder, rate):
    audio = tones(0.5, rate)
    filter_ = QuietwireFilter(variant="pruned", zoo=zoo_folder)
    output, tail = through_a_pipeline(filter_, frames(audio, rate), rate)
    assert {len(piece) for piece in output} == {rate // 100 * 2}
    delay = len(tail) // 2
    assert 0 < delay < 0.04 * rate
    np.testing.assert_allclose(decoded([*output, tail])[delay:], audio, atol=3e-3)


def test_over_the_wire_it_is_the_server_that_enhances(running):
    audio = noise(0.5, 3)[0]
    filter_ = QuietwireFilter(model="fcn", variant="original", url=running.http, wire_delay_ms=1000)
    output, tail = through_a_pipeline(filter_, frames(audio, 16000), 16000)
    assert len(tail) == 2 * 16000
    expected = enhance(running.variant("fcn/original"), audio)
    np.testing.assert_allclose(decoded([*output, tail])[16000:], expected, atol=2e-4)


def test_a_filter_enable_frame_changes_what_is_heard_and_not_when(zoo_folder, running):
    audio = noise(0.6, 4)[0]

    async def work():
        filter_ = QuietwireFilter(variant="original", zoo=zoo_folder)
        await filter_.start(16000)
        output = []
        for index, piece in enumerate(frames(audio, 16000)):
            if index in (20, 40):
                await filter_.process_frame(FilterEnableFrame(enable=index == 40))
            output.append(await filter_.filter(piece))
        output.append(await filter_.flush())
        delay = filter_.delay
        await filter_.stop()
        return decoded(output)[delay:]

    output, enhanced = asyncio.run(work()), enhance(running.variant("crn/original"), audio)
    np.testing.assert_allclose(output[:3200], enhanced[:3200], atol=1e-4)
    np.testing.assert_allclose(output[3360:6400], audio[3360:6400], atol=1e-4)
    np.testing.assert_allclose(output[6560:], enhanced[6560:], atol=1e-4)


def test_before_start_and_after_stop_audio_passes(zoo_folder):
    async def work():
        filter_ = QuietwireFilter(zoo=zoo_folder)
        before = await filter_.filter(b"\1\0" * 160)
        await filter_.start(16000)
        await filter_.stop()
        return before, await filter_.filter(b"\1\0" * 160), await filter_.flush()

    assert asyncio.run(work()) == (b"\1\0" * 160, b"\1\0" * 160, b"")
