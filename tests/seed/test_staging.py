"""Folders for files in the making: those of a killed restore are removed, those in use are not."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("trees are not written on Windows yet", allow_module_level=True)
assert sys.platform != "win32"

from seed.restore.tree.staging import Staging  # noqa: E402

LEFT = ".offseed-restoring-" + "0123456789abcdef"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    handle = os.open(tmp_path, os.O_RDONLY)
    yield handle
    os.close(handle)


def test_what_was_left_is_removed_empty_or_not(root: int, tmp_path: Path) -> None:
    (tmp_path / LEFT).mkdir()
    (tmp_path / LEFT / "1").write_bytes(b"half a file")
    (tmp_path / f"{LEFT[:-1]}0").mkdir()
    (tmp_path / f"{LEFT}0").mkdir()
    (tmp_path / "own").mkdir()
    Staging(root).sweep()
    assert {path.name for path in tmp_path.iterdir()} == {"own", f"{LEFT}0"}


def test_what_is_in_use_stays(root: int, tmp_path: Path) -> None:
    one = Staging(root)
    folder, name = one.place(root)
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=folder))
    other = os.open(tmp_path, os.O_RDONLY)
    Staging(other).sweep()
    assert os.listdir(folder) == [os.fsdecode(name)]
    one.close()
    Staging(other).sweep()
    os.close(other)
    assert list(tmp_path.iterdir()) == []
