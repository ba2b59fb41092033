"""Python 3.14's standard library has a package ``compression`` of its own; both must work side by side."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("ours_first", [True, False])
def test_another_package_named_compression_and_ours_are_both_found(tmp_path: Path, ours_first: bool) -> None:
    other = tmp_path / "compression"
    other.mkdir()
    (other / "__init__.py").write_text("")
    (other / "zstd.py").write_text("name = 'the other one'")
    places = [str(ROOT), str(tmp_path)] if ours_first else [str(tmp_path), str(ROOT)]
    code = (
        f"import sys; sys.path[:0] = {places!r}; import quietwire; "
        "import compression.zstd, compression.errors; print(compression.zstd.name, compression.errors.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"the other one {ROOT / 'compression' / 'errors.py'}"
