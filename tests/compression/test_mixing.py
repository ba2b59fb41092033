"""Training mixtures from known inputs, and the filters that colour them."""

import dataclasses
import math

import pytest
import torch

from compression.data import filters
from compression.data.corpus import Corpus
from compression.data.filters import Chance
from compression.data.mixing import Mixer, MixingSettings, active_level, rms

CHANCES = [field.name for field in dataclasses.fields(MixingSettings) if isinstance(field.default, float)]
OFF = MixingSettings(snr_db=(5, 5), level_dbfs=(-30, -30), speed=(1, 1), **dict.fromkeys(CHANCES, 0.0))
SAMPLES = 16000


def tone(hertz: float, seconds: float = 10) -> Corpus:
    audio = 8000 * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * 16000)) / 16000)
    length = torch.tensor([len(audio)])
    return Corpus.of_groups(audio.to(torch.int16), length - length, length)


def mix(index: int = 0, seed: int = 1, batch: int = 8, **changes: object) -> tuple[torch.Tensor, torch.Tensor]:
    return Mixer(tone(300), tone(2000), dataclasses.replace(OFF, **changes), batch, SAMPLES)(seed, index)


def share_above(x: torch.Tensor, hertz: float) -> torch.Tensor:
    """Share of the energy above a frequency, ``[batch]``."""
    power = torch.fft.rfft(x * torch.hann_window(x.shape[-1])).abs().square()
    return power[..., round(hertz * x.shape[-1] / 16000) :].sum(-1) / power.sum(-1)


def decibels(ratio: torch.Tensor) -> torch.Tensor:
    return 20 * torch.log10(ratio)


def test_a_batch_is_given_by_seed_and_index() -> None:
    everything = MixingSettings()
    mixer = Mixer(tone(300), tone(2000), everything, 4, SAMPLES)
    for one, other in zip(mixer(3, 7), mixer(3, 7), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(mixer(3, 7)[0], mixer(3, 8)[0])
    assert not torch.equal(mixer(3, 7)[0], mixer(4, 7)[0])


def test_snr_and_level_are_the_ones_asked_for() -> None:
    noisy, clean = mix()
    torch.testing.assert_close(decibels(rms(clean) / rms(noisy - clean)), torch.full((8, 1), 5.0), atol=0.1, rtol=0)
    torch.testing.assert_close(decibels(rms(noisy)), torch.full((8, 1), -30.0), atol=0.1, rtol=0)


def test_recordings_of_one_batch_are_played_at_different_speeds() -> None:
    _, clean = mix(speed=(0.8, 1.25))
    hertz = torch.fft.rfft(clean).abs().argmax(1) * (16000 / SAMPLES)
    assert 0.79 * 300 < hertz.min() < hertz.max() < 1.26 * 300
    assert len(hertz.unique()) > 2


def test_the_target_is_the_speech_and_the_rest_is_the_noise() -> None:
    noisy, clean = mix()
    assert share_above(clean, 1000).max() < 1e-3
    assert share_above(noisy - clean, 1000).min() > 0.999


def test_loud_mixtures_and_targets_keep_below_full_scale() -> None:
    for pair in (mix(level_dbfs=(0, 0)), mix(level_dbfs=(0, 0), clip=1.0)):
        assert max(signal.abs().max() for signal in pair) <= 1


def test_clipping_cuts_the_peaks_off_the_mixture_and_leaves_the_target_alone() -> None:
    clipped, clean = mix(clip=1.0)
    ceiling = clipped.abs().amax(1, keepdim=True)
    assert ((clipped.abs() >= 0.999 * ceiling).float().mean(1) > 0.01).all()
    assert share_above(clean, 1000).max() < 1e-3


def test_without_speech_the_target_is_silence() -> None:
    noisy, clean = mix(speechless=1.0)
    assert clean.count_nonzero() == 0
    assert (rms(noisy) > 0).all()


def test_a_pause_silences_part_of_the_speech_and_nothing_of_the_noise() -> None:
    noisy, clean = mix(pause=1.0, batch=32)
    frames = clean.unfold(1, 160, 160).square().mean(2)
    silent = (frames == 0).float().mean(1)
    assert silent.max() > 0.3
    assert (frames.amax(1) > 0).any()
    noise_frames = (noisy - clean).unfold(1, 800, 800).square().mean(2)
    assert (noise_frames.amin(1) > 0.5 * noise_frames.amax(1)).all()


def test_speech_swells_beside_noise_that_does_not_and_never_beyond_what_it_was() -> None:
    calm, _ = mix(batch=64)
    noisy, clean = mix(swell=1.0, batch=64)
    level, still = (decibels(part.reshape(64, 20, -1).square().mean(2).sqrt()) for part in (clean, noisy - clean))
    span = level.amax(1) - level.amin(1)
    assert 0 <= span.min() < 3
    assert 8 < span.max() < 20.1
    assert (level.diff(dim=1).abs() < 3).all()  # a slope, not a switch: 20 dB in half a second at most
    assert (still.amax(1) - still.amin(1) < 1).all()
    torch.testing.assert_close(decibels(rms(noisy)), decibels(rms(calm)), atol=0.1, rtol=0)


def test_a_muted_microphone_hears_next_to_nothing_of_speech_and_noise_for_a_while() -> None:
    calm_noisy, calm = mix(batch=64)
    noisy, clean = mix(mute=1.0, batch=64)
    for now, before in ((noisy, calm_noisy), (clean, calm)):
        left = (now / before).where(before.abs() > 1e-4, torch.nan).reshape(64, 20, -1).nanmedian(2).values
        assert ((left.nan_to_num(1) > 0.99).float().mean(1) < 1).float().mean() > 0.8  # nearly all have a stretch of it
        assert (left.nan_to_num(1) > 0.99).any(1).float().mean() > 0.8
        quietest = left.nan_to_num(1).amin(1)
        assert 0.2 < (quietest == 0).float().mean() < 0.8
        assert quietest[quietest > 0].median() < 0.05


def test_rumble_comes_on_top_of_the_noise_below_speech_alone() -> None:
    calm_noisy, calm = mix(batch=64)
    noisy, clean = mix(rumble=1.0, batch=64)
    gain = rms(clean) / rms(calm)  # the microphone's: it hears both at one level
    added = noisy / gain - calm_noisy
    spectrum = torch.fft.rfft(added).abs().square()
    low = torch.fft.rfftfreq(SAMPLES, 1 / 16000) < 250
    assert (spectrum[:, ~low].sum(1) < 0.01 * spectrum.sum(1)).all()
    torch.testing.assert_close(clean / gain, calm, atol=1e-5, rtol=1e-4)
    over_speech = decibels(rms(added) / rms(calm))
    assert -40 < over_speech.min() < -15
    assert 0 < over_speech.max() < 16


def test_every_effect_together_stays_finite_and_in_range() -> None:
    for index in range(4):
        noisy, clean = Mixer(tone(300), tone(2000), MixingSettings(), 8, SAMPLES)(9, index)
        assert torch.isfinite(clean).all()
        assert noisy.abs().max() <= 1


def test_silent_corpora_give_silence_and_no_nan() -> None:
    length = torch.tensor([SAMPLES])
    silence = Corpus.of_groups(torch.zeros(SAMPLES, dtype=torch.int16), length - length, length)
    noisy, clean = Mixer(silence, silence, OFF, 2, SAMPLES)(1, 1)
    assert torch.isfinite(noisy).all()
    assert clean.count_nonzero() == 0


def test_pauses_do_not_count_in_the_active_level() -> None:
    speech = torch.sin(torch.arange(32000) * 0.3)[None]
    speech[:, 16000:] = 0
    torch.testing.assert_close(active_level(speech), torch.full((1, 1), 0.5**0.5), atol=1e-2, rtol=0)


def chance(batch: int = 8) -> Chance:
    return Chance(torch.Generator().manual_seed(1), batch)


def test_filters_neither_shift_nor_wrap() -> None:
    size, samples, reach = 48000, 32000, 8000
    responses = {
        "equaliser": filters.equaliser(chance(), size, 4.0),
        "band": filters.band_limit(chance(), size, (150, 320), (3200, 3700)),
        "room": filters.room(chance(), size),
    }
    for name, response in responses.items():
        for place in (0, 12345, samples - 1):
            pulse = torch.zeros(8, samples)
            pulse[:, place] = 1
            heard = filters.apply(pulse, response).abs()
            near = heard[:, max(0, place - reach) : place + reach]
            assert heard.square().sum() - near.square().sum() < 1e-4 * near.square().sum(), (name, place)
            if name != "room":
                assert (heard.argmax(1) == place).all(), (name, place)


def test_a_room_begins_with_the_direct_path() -> None:
    pulse = torch.zeros(8, 16000)
    pulse[:, 1000] = 1
    heard = filters.apply(pulse, filters.room(chance(), 32000))
    assert heard[:, :1000].abs().max() < 1e-4
    torch.testing.assert_close(heard[:, 1000], torch.ones(8), atol=1e-4, rtol=0)
    assert heard[:, 1001:1016].abs().max() < 1e-4  # reflections need a millisecond


def test_telephone_speech_has_its_band_only() -> None:
    noise = torch.randn(4, 32000, generator=torch.Generator().manual_seed(2))
    heard = filters.apply(noise, filters.band_limit(chance(4), 48000, (300, 300), (3400, 3400)))
    assert share_above(heard, 4500).max() < 0.01
    assert (1 - share_above(heard, 200)).max() < 0.01


@pytest.mark.parametrize("length", [13600, 16000, 18400])
def test_a_change_of_speed_changes_pitch_and_keeps_the_level(length: int) -> None:
    faster = filters.resample(tone(1000).samples[None, :length].float(), 16000)
    assert int(torch.fft.rfft(faster).abs().argmax()) == pytest.approx(1000 * length / 16000, abs=1)
    assert rms(faster).item() == pytest.approx(8000 * 0.5**0.5, rel=0.02)


def test_coloured_noise_has_no_offset_and_a_level_near_one() -> None:
    noise = filters.coloured_noise(chance(16), 32000)
    assert noise.shape == (16, 32000)
    assert noise.mean(1).abs().max() < 0.5
    assert rms(noise).min() > 0.9
    assert rms(noise).max() < 6
