"""A muted microphone: digital silence goes through every shipped variant as silence, at first and after a talk."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.offline import enhance
from models.zoo import SHIPPED, load_variant

RATE = 16000
SPEECH = Path(__file__).parents[1] / "data/noisy_en.flac"


def level(audio: np.ndarray) -> float:
    """RMS in dB below full scale."""
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-20))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*/*.onnx")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_silence_stays_silence_before_and_after_a_talk(path: Path) -> None:
    variant = load_variant(path)
    talk, rate = soundfile.read(SPEECH, dtype="float32")
    assert rate == RATE
    silence = np.zeros(2 * RATE, np.float32)
    audio = np.concatenate([silence, talk[: 4 * RATE], silence])[None]
    output = enhance(variant, audio)[0]
    assert level(output[: 2 * RATE - 400]) < -60
    assert level(output[-RATE:]) < -60
    assert abs(level(output[2 * RATE : -2 * RATE]) - level(audio[0, 2 * RATE : -2 * RATE])) < 6
