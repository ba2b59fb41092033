"""Names that others have too: Python 3.14's package ``compression``, and a project's own modules beside the client."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AS_3_14 = (
    "import sys; known = sys.version_info; sys.version_info = max(known, (3, 14)); import quietwire; sys.version_info = known; "
)


@pytest.mark.parametrize("ours_first", [True, False])
def test_another_package_named_compression_and_ours_are_both_found(tmp_path: Path, ours_first: bool) -> None:
    other = tmp_path / "compression"
    other.mkdir()
    (other / "__init__.py").write_text("")
    (other / "zstd.py").write_text("name = 'the other one'")
    places = [str(ROOT), str(tmp_path)] if ours_first else [str(tmp_path), str(ROOT)]
    code = (
        f"import sys; sys.path[:0] = {places!r}; {AS_3_14}"
        "import compression.zstd, compression.errors; print(compression.zstd.name, compression.errors.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"the other one {ROOT / 'compression' / 'errors.py'}"


@pytest.mark.parametrize("before", ["", AS_3_14], ids=["this Python", "as on 3.14"])
def test_the_client_works_in_a_project_with_modules_of_our_names(tmp_path: Path, before: str) -> None:
    for name in ("models", "compression", "service"):
        (tmp_path / f"{name}.py").write_text(f"print('{name}')")
    code = f"{before}from quietwire import AsyncClient, Client; Client(), AsyncClient(); import models, compression"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["models", "compression"]  # when the project asked for them
