"""Files of constant length: a rewrite in place during the reading is reported, and the file is kept as it was read."""

import os
import sys
import time
from pathlib import Path

import pytest

from formats.keyed.keys import MasterKey
from seed.source.system import FolderOpener, Wanted, read_batch

if sys.platform == "win32":
    pytest.skip("trees are not read on Windows yet", allow_module_level=True)

KEY = MasterKey(bytes(32)).content_id


def met(path: Path) -> Wanted:
    """Return the file as a walk meets it."""
    status = path.lstat()
    times = *divmod(status.st_mtime_ns, 10**9), *divmod(status.st_ctime_ns, 10**9)
    return (os.fsencode(path).lstrip(b"/"), status.st_size, *times, status.st_dev, status.st_ino)


def rewrite(path: Path) -> None:
    """Write as many other bytes over the file, until its time of change is another one."""
    before = path.stat().st_ctime_ns
    until = time.monotonic() + 10
    while path.stat().st_ctime_ns == before:
        with path.open("r+b") as file:
            file.write(b"after")
        assert time.monotonic() < until, "this file system tells no time of change"


@pytest.mark.parametrize("disguised", [False, True], ids=["as it is", "its time set back"])
def test_a_rewritten_file_of_the_same_length_has_not_stayed(tmp_path: Path, disguised: bool) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    for one in (path, other):
        one.write_bytes(b"begun")
    files, before = [met(path), met(other)], path.stat()
    rewrite(path)
    if disguised:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    space, folders = memoryview(bytearray(10)), FolderOpener()
    got = read_batch(files, space, KEY, folders)
    folders.close()
    assert bytes(space) == b"afterbegun"
    assert got.odd == {0: (b"", False, 0, 0)}
