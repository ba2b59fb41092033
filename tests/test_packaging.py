"""What the code opens goes along when it is installed."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_BEHIND = {"checkpoints"}  # to train on from, in the repository only


def test_every_file_beside_the_modules_is_package_data() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for pattern in setuptools["packages"]["find"]["include"]:
        package = ROOT / pattern.rstrip("*")
        globs = setuptools["package-data"].get(package.name, [])
        packed = {path for glob in globs for path in package.glob(glob)}
        found = {
            path
            for path in package.rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and not LEFT_BEHIND & set(path.parts)
        }
        assert found - packed == set()
