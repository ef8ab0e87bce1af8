"""Files, pipes, sockets, devices and links with several names: each comes back as one with all names."""

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from tests.journeys import devices, trees
from tests.journeys.stage import Copy, Stage, backup, below

assert sys.platform == "linux"

MIB = devices.MIB
KINDS = ["file", "empty", "pointing", "pipe", "plug"]


def make(folder: Path) -> list[str]:
    """Make one entry of each kind, and return their names."""
    trees.small_file(folder / "file", b"of several names")
    (folder / "empty").touch()
    (folder / "pointing").symlink_to("nowhere")
    os.mkfifo(folder / "pipe", 0o640)
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(folder)  # names of sockets must be short
        try:
            listener.bind("plug")
        finally:
            os.chdir(here)
    try:
        os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:  # only root may, and not in every container
        return KINDS
    return [*KINDS, "null"]


@pytest.fixture
def saved(opened: Stage, copy_of: Copy, room: Path) -> tuple[Stage, Path]:
    """Return a stage and a tree in which each entry has two more names, one before it and one after it."""
    stage, source = copy_of(opened), room / "source"
    (source / "a").mkdir(parents=True)
    (source / "z").mkdir()
    for name in make(source):
        for folder in ("a", "z"):
            os.link(source / name, source / folder / name, follow_symlinks=False)
    backup(stage, source)
    return stage, source


def test_all_names_lead_to_one_thing(saved: tuple[Stage, Path], room: Path) -> None:
    stage, source = saved
    planned = stage.restore(room / "back", "--vault", stage.at, "--dry-run")
    first = stage.restore(room / "back", "--vault", stage.at)
    back = below(room / "back", source)
    assert trees.differences(source, back) == []
    assert {path.lstat().st_nlink for path in back.iterdir() if not path.is_dir()} == {3}
    assert [planned[k] for k in ("files", "others")] == [first[k] for k in ("files", "others")]
    assert (first["files"], first["others"] % 3) == (6, 0)
    for more in ((), ("--overwrite",), ("--verify",)):
        again = stage.restore(room / "back", "--vault", stage.at, *more)
        assert (again["files"], again["others"], again["findings"]) == (0, 0, []), more


def test_a_name_that_lacks_is_linked_again(saved: tuple[Stage, Path], room: Path) -> None:
    stage, source = saved
    stage.restore(room / "back", "--vault", stage.at)
    back = below(room / "back", source)
    for path in (*(back / "z").iterdir(), *(p for p in back.iterdir() if not p.is_dir())):
        path.unlink()
    stage.restore(room / "back", "--vault", stage.at)
    assert trees.differences(source, back) == []


@pytest.mark.needs("root", "exfat")
def test_where_there_are_no_links_each_name_gets_a_file(
    saved: tuple[Stage, Path], rack: devices.Rack
) -> None:
    stage, source = saved
    target = rack.disk(64 * MIB, "exfat").path / "back"
    done = stage.run(
        "seed", "restore", f"latest:{source}", "--target", target, "--vault", stage.at, "--json", code=3
    ).json
    assert done["files"] == 6
    told = [f["subject"] for f in done["findings"] if f["detail"].startswith("restored as a file of its own")]
    assert sorted(told) == ["empty", "file", "z/empty", "z/file"]
    for folder in ("a", "z", ""):
        assert (target / folder / "file").read_bytes() == b"of several names"
