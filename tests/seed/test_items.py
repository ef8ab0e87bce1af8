"""The items that a run must back up: present items, missing items, and the true reason of each."""

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from formats.errors import UsageError
from formats.monitor import Tally
from seed.home.items import check_any_there, check_targets, check_there, out_of_reach
from seed.source.source_rules import SourceRules
from seed.source.system import Walk
from tests.facilities import LoopDisk

if sys.platform == "win32":
    pytest.skip("trees are not read on Windows yet", allow_module_level=True)

LONG = "x" * 300


def named(folder: Path, *names: str) -> list[bytes]:
    return [os.fsencode(folder / name) for name in names]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_text("content")
    return tmp_path


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system, end the program behind it, and yield the mount point."""
    disk = LoopDisk(tmp_path, 16 << 20, "exfat")
    disk.mount()
    try:
        for process in psutil.process_iter(["cmdline"]):
            if str(disk.path) in (process.info["cmdline"] or ()):
                process.kill()
                psutil.wait_procs([process])
        yield disk.path
    finally:
        disk.unmount()


def test_each_item_out_of_reach_has_its_own_reason(folder: Path) -> None:
    items = named(folder, "there", "none", "there/file/below", LONG)
    reasons = {os.path.basename(item): error.errno for item, error in out_of_reach(items).items()}
    assert reasons == {b"none": errno.ENOENT, b"below": errno.ENOTDIR, LONG.encode(): errno.ENAMETOOLONG}


@pytest.mark.parametrize(
    ("name", "what"),
    [("none", "there is nothing at this path"), (LONG, "cannot look at this path: File name too long")],
)
def test_what_is_named_must_be_there(folder: Path, name: str, what: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_there(named(folder, "there", name))
    assert (refused.value.code, refused.value.what) == ("path-not-found", what)
    assert refused.value.subject == str(folder / name)


def test_one_item_that_is_left_is_enough(folder: Path) -> None:
    check_any_there(named(folder, "none", "there"))
    check_targets([folder], named(folder, "none", "there"))
    check_any_there([])
    for check in (check_any_there, lambda items: check_targets([folder], items)):
        with pytest.raises(UsageError, match="nothing at this path"):
            check(named(folder, "none", "neither"))


def test_the_walk_passes_over_an_item_that_is_gone_and_reports_it(folder: Path) -> None:
    tally = Tally()
    paths = [found.path for found in Walk(named(folder, "none", "there"), SourceRules(), tally)]
    assert os.fsencode(folder / "there/file").strip(b"/") in paths
    (finding,) = tally.findings
    assert (finding.code, finding.subject) == ("source-unreadable", str(folder / "none"))
    assert finding.detail == "nothing of this path is backed up: No such file or directory"


@pytest.mark.needs("exfat")
def test_a_dead_mount_is_called_by_its_name(dead: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Transport endpoint is not connected"):
        check_there([os.fsencode(dead)])
    tally = Tally()
    (tmp_path / "other").mkdir()
    paths = [found.path for found in Walk(named(tmp_path, "mnt", "other"), SourceRules(), tally)]
    assert paths[-1] == os.fsencode(tmp_path / "other").strip(b"/")
    (finding,) = tally.findings
    assert finding.subject == str(dead)
    assert finding.detail == "nothing of this path is backed up: Transport endpoint is not connected"
