"""The LiveKit processor inside a real LiveKit audio stream of a local track."""

import asyncio

import numpy as np
import pytest

from models.offline import enhance

from ..service.client import noise, tones

pytest.importorskip("livekit.rtc", reason="livekit is not installed: pip install 'quietwire[livekit]'", exc_type=ImportError)

from livekit import rtc

from quietwire.adapters.livekit import QuietwireProcessor

RATE = 48000


def frames(audio, rate=RATE):
    """Frames of 10 ms from ``[channels, samples]``."""
    data, size = np.rint(np.atleast_2d(audio).T * 32768).astype(np.int16), rate // 100
    cuts = [data[start : start + size] for start in range(0, len(data), size)]
    return [rtc.AudioFrame(cut.tobytes(), rate, cut.shape[1], len(cut)) for cut in cuts]


def decoded(pieces):
    """The inverse of ``frames``."""
    channels = pieces[0].num_channels
    data = np.concatenate([np.frombuffer(piece.data, np.int16).reshape(-1, channels) for piece in pieces])
    return data.T.astype(np.float32) / 32768


def process(processor, pieces, switches=None):
    output = []
    for index, piece in enumerate(pieces):
        if switches and index in switches:
            processor.enabled = switches[index]
        assert processor.enabled  # or LiveKit would pass the frame by
        output.append(processor._process(piece))
    assert [one.samples_per_channel for one in output] == [one.samples_per_channel for one in pieces]
    delay = processor.delay
    return decoded([*output, *processor.flush()])[:, delay:]


def test_a_real_audio_stream_takes_it_and_closes_it(zoo_folder):
    async def work():
        source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        processor = QuietwireProcessor(variant="pruned", zoo=zoo_folder)
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10, noise_cancellation=processor)
        pieces = frames(tones(1.0, RATE))

        async def feed():
            for piece in pieces:
                await source.capture_frame(piece)

        feeder, output = asyncio.create_task(feed()), []
        async with asyncio.timeout(30):
            async for event in stream:
                output.append(event.frame)
                if len(output) == 60:
                    break
        feeder.cancel()
        delay = processor.delay
        await stream.aclose()
        await source.aclose()
        return output, delay

    output, delay = asyncio.run(work())
    assert {(one.sample_rate, one.num_channels, one.samples_per_channel) for one in output} == {(RATE, 1, 480)}
    heard = decoded(output)[0]
    assert delay > 0
    assert not heard[:delay].any()  # frames went through the processor
    assert np.abs(heard).max() > 0.01


@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (48000, 2), (24000, 1), (16000, 2)])
def test_frames_of_10_ms_come_out_as_long_and_the_tail_is_kept(zoo_folder, rate, channels):
    audio = np.stack([tones(0.5, rate, (220, 700, 2300)), tones(0.5, rate, (350, 1900))][:channels])
    output = process(QuietwireProcessor(variant="pruned", zoo=zoo_folder), frames(audio, rate))
    np.testing.assert_allclose(output, audio, atol=3e-3)


def test_disabling_changes_what_is_heard_and_not_when(zoo_folder, running):
    audio = noise(0.6, 4)
    processor = QuietwireProcessor(variant="original", zoo=zoo_folder)
    output = process(processor, frames(audio, 16000), {20: False, 40: True})
    enhanced = enhance(running.variant("crn/original"), audio)
    np.testing.assert_allclose(output[:, :3200], enhanced[:, :3200], atol=1e-4)
    np.testing.assert_allclose(output[:, 3360:6400], audio[:, 3360:6400], atol=1e-4)
    np.testing.assert_allclose(output[:, 6560:], enhanced[:, 6560:], atol=1e-4)
    processor.enabled = False
    assert not processor.denoising


def test_over_the_wire_it_is_the_server_that_enhances(running):
    audio = noise(0.5, 5)
    processor = QuietwireProcessor(model="fcn", variant="original", url=running.http, wire_delay_ms=1000)
    output = process(processor, frames(audio, 16000))
    np.testing.assert_allclose(output, enhance(running.variant("fcn/original"), audio), atol=2e-4)
    processor._close()


def test_a_new_format_or_publication_begins_anew(zoo_folder):
    processor = QuietwireProcessor(variant="original", zoo=zoo_folder)
    first = process(processor, frames(noise(0.1, 6), 16000))
    process(processor, frames(noise(0.1, 7, RATE, 2), RATE))
    processor._process(frames(noise(0.1, 7), 16000)[0])
    processor._on_stream_info_updated(room_name="a", participant_identity="b", publication_sid="c")
    np.testing.assert_array_equal(process(processor, frames(noise(0.1, 6), 16000)), first)


def test_what_a_frame_carries_along_stays_with_it(zoo_folder):
    processor = QuietwireProcessor(zoo=zoo_folder)
    frame = rtc.AudioFrame(bytes(960), RATE, 1, 480, userdata={"mark": 1})
    assert processor._process(frame).userdata == {"mark": 1}
