"""Nothing is told to anybody: ONNX Runtime, which by default does, is kept from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("first", ["models.zoo", "quietwire, onnxruntime", "quietwire, compression.export.variant"])
def test_onnx_runtime_makes_itself_no_identifier_to_send(tmp_path, small_zoo, first):
    """Its telemetry begins with one that it keeps in the home folder."""
    code = f"import {first}; from models.zoo import Path, load_zoo; print(*load_zoo(Path({str(small_zoo)!r})).names)"
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["crn/original", "fcn/original"]
    assert list(tmp_path.rglob("*onnxruntime*")) == []
