"""Recorded rooms: impulse responses read from their direct sound on, and speech that is put in them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from compression.data.filters import Chance, apply
from compression.data.mixing import Mixer
from compression.data.rooms import LONGEST, load_rooms, recorded
from compression.errors import CorpusError

from .test_mixing import OFF, SAMPLES, tone

CPU = torch.device("cpu")


def impulse(samples: dict[int, float], length: int) -> np.ndarray:
    row = np.zeros(length, np.float32)
    for place, value in samples.items():
        row[place] = value
    return row


def chance(batch: int) -> Chance:
    return Chance(torch.Generator().manual_seed(1), batch)


def test_a_response_begins_with_its_direct_sound_and_fades_out(tmp_path: Path) -> None:
    soundfile.write(
        tmp_path / "a.wav", impulse({40: -0.5, 100: 0.25, LONGEST + 39: -0.5 + 1e-3}, 2 * LONGEST), 16000, subtype="FLOAT"
    )
    soundfile.write(tmp_path / "b.wav", impulse({0: 0.8}, 50), 16000, subtype="FLOAT")
    first, second = load_rooms(tmp_path, CPU)
    assert first[0] == second[0] == 1
    assert first[60] == -0.5
    assert first[-1] == 0
    assert second[1:].count_nonzero() == 0


def test_a_silent_response_is_refused_by_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(100), 16000)
    with pytest.raises(CorpusError, match=r"none\.wav is silent"):
        load_rooms(tmp_path, CPU)


def test_the_echo_comes_where_it_was_recorded_and_the_direct_sound_stays() -> None:
    rooms = torch.from_numpy(impulse({0: 1.0, 3000: 0.6}, LONGEST))[None]
    size = 2 * LONGEST
    sound = torch.zeros(16, LONGEST)
    sound[:, 5] = 1
    heard = apply(sound, recorded(chance(16), rooms, size))
    torch.testing.assert_close(heard[:, 5], torch.ones(16), atol=1e-4, rtol=0)
    echoes = heard[:, 3005]
    assert 0 < echoes.min() < echoes.max() <= 0.6 * 10 ** (3 / 20)
    heard[:, [5, 3005]] = 0
    assert heard.abs().max() < 1e-4


def test_speech_is_put_in_recorded_rooms_as_often_as_the_settings_say() -> None:
    rooms = torch.from_numpy(impulse({0: 1.0, 8: -0.9}, LONGEST))[None]
    for share, expected in ((1.0, True), (0.0, False)):
        settings = dataclasses.replace(OFF, reverb=1.0, recorded=share)
        material = tone(300), tone(2000), settings, 4, SAMPLES
        same = torch.equal(Mixer(*material, rooms)(1, 1)[1], Mixer(*material, 0 * rooms)(1, 1)[1])
        assert same is not expected
