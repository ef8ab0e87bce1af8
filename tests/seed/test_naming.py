"""A file gets a name by any of the ways that file systems have, and never a name that is in use."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import LoopDisks

if sys.platform == "win32":
    pytest.skip("trees are not written on Windows yet", allow_module_level=True)
assert sys.platform != "win32"

from seed.restore.tree import naming  # noqa: E402
from seed.restore.tree.name_state import mark_of  # noqa: E402

WAYS = ["rename", "link", "look"]


@pytest.fixture(params=WAYS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return a folder in which files get their names in this way."""
    if request.param != "rename":
        monkeypatch.setattr(naming, "rename_new", lambda *_: False)
    if request.param == "look":
        monkeypatch.setattr(naming, "_linked", lambda *_: False)
    handle = os.open(tmp_path, os.O_RDONLY)
    yield handle
    os.close(handle)


def staged(folder: int, name: bytes, content: bytes) -> bytes:
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    os.write(handle, content)
    os.close(handle)
    return name


def content(folder: int, name: bytes) -> bytes:
    handle = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(handle, 100)
    finally:
        os.close(handle)


def test_a_free_name_is_given_and_one_in_use_is_not(folder: int) -> None:
    naming.give_name(folder, staged(folder, b"1", b"first"), folder, b"name")
    with pytest.raises(FileExistsError):
        naming.give_name(folder, staged(folder, b"2", b"second"), folder, b"name")
    assert content(folder, b"name") == b"first"
    assert sorted(os.listdir(folder)) == ["2", "name"]


@pytest.mark.parametrize("make", ["file", "link", "folder", "dangling"])
def test_nothing_that_stands_there_is_replaced_unjudged(folder: int, tmp_path: Path, make: str) -> None:
    path = tmp_path / "name"
    if make == "file":
        path.touch()
    elif make == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path if make == "link" else "elsewhere")
    with pytest.raises(FileExistsError):
        naming.give_name(folder, staged(folder, b"1", b"new"), folder, b"name")
    assert path.lstat().st_ino


def test_only_what_was_judged_is_replaced(folder: int, tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_bytes(b"judged")
    mark = mark_of(path.lstat())
    path.write_bytes(b"written since")
    with pytest.raises(FileExistsError):
        naming.replace(folder, staged(folder, b"1", b"new"), folder, b"name", mark)
    assert path.read_bytes() == b"written since"
    naming.replace(folder, b"1", folder, b"name", mark_of(path.lstat()))
    assert path.read_bytes() == b"new"


def test_what_has_gone_meanwhile_is_no_obstacle(folder: int, tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_bytes(b"judged")
    mark = mark_of(path.lstat())
    path.unlink()
    naming.replace(folder, staged(folder, b"1", b"new"), folder, b"name", mark)
    assert path.read_bytes() == b"new"


def test_an_empty_folder_gives_way_and_a_full_one_does_not(folder: int, tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.mkdir()
    mark = mark_of(path.lstat())
    (path / "own").touch()
    with pytest.raises(OSError, match=r"not empty|by now"):
        naming.replace(folder, staged(folder, b"1", b"new"), folder, b"name", mark)
    (path / "own").unlink()
    naming.replace(folder, b"1", folder, b"name", mark_of(path.lstat()))
    assert path.read_bytes() == b"new"


def raced(folder: int, give: Callable[[int], None]) -> list[int]:
    """Run a race of four threads for one name, and return the winners."""
    winners: list[int] = []
    gate = threading.Barrier(4)

    def come(number: int) -> None:
        staged(folder, b"%d" % number, b"%d" % number)
        gate.wait()
        try:
            give(number)
        except FileExistsError:
            return
        winners.append(number)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return winners


def test_of_several_that_come_at_once_one_gets_the_name(folder: int) -> None:
    for turn in range(20):
        name = b"name %d" % turn
        (winner,) = raced(folder, lambda number: naming.give_name(folder, b"%d" % number, folder, name))  # noqa: B023
        assert content(folder, name) == b"%d" % winner
        for left in {0, 1, 2, 3} - {winner}:
            os.unlink(b"%d" % left, dir_fd=folder)


@pytest.mark.needs("root", "exfat")
def test_on_exfat_names_that_differ_by_case_are_one(loop_disk: LoopDisks) -> None:
    folder = os.open(loop_disk(16 << 20, "exfat"), os.O_RDONLY)
    names = [b"README", b"readme", b"Readme", b"ReadMe"]
    (winner,) = raced(folder, lambda number: naming.give_name(folder, b"%d" % number, folder, names[number]))
    assert content(folder, b"readme") == b"%d" % winner
    os.close(folder)
