"""Files written in one move."""

from pathlib import Path

import pytest

from quietwire.replacing import replacing


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    with replacing(path) as first:
        first.write(b"first")
        with replacing(path) as second:
            second.write(b"the second")
        assert path.read_bytes() == b"the second"
    assert path.read_bytes() == b"first"
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def test_a_writer_that_fails_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"former")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        file.write(bytes(1 // 0))
    assert path.read_bytes() == b"former"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
