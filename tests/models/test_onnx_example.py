"""The example in docs/onnx.md gives what the service gives."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from models.offline import enhance
from models.zoo import SHIPPED, load_variant

ROOT = Path(__file__).parents[2]
EXAMPLE = re.search(r"```python\n(.*?)```", (ROOT / "docs/onnx.md").read_text(), re.DOTALL)


def test_a_network_runs_without_the_service_as_documented(tmp_path: Path) -> None:
    noisy = soundfile.read(ROOT / "tests/data/speech_en.flac", dtype="float32")[0][:24001]
    noisy += 0.02 * np.random.default_rng(1).standard_normal(len(noisy)).astype(np.float32)
    soundfile.write(tmp_path / "noisy.wav", noisy, 16000, "FLOAT")
    (tmp_path / "models").symlink_to(ROOT / "models")
    assert EXAMPLE is not None
    subprocess.run([sys.executable, "-c", EXAMPLE[1]], cwd=tmp_path, check=True)
    clean, rate = soundfile.read(tmp_path / "clean.wav", dtype="float32")
    expected = enhance(load_variant(SHIPPED / "crn/combined.onnx"), noisy[None])[0]
    assert rate == 16000
    np.testing.assert_allclose(clean, expected, atol=2e-4)  # written with 16 bits
