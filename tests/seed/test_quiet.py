"""Reading leaves no trace: access times of files and folders stay, and a user without that right reads all the same."""

import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("access times are left alone on Linux only", allow_module_level=True)

assert sys.platform == "linux"
from formats.keyed.catalog import FILE  # noqa: E402
from formats.keyed.chunking import USUAL  # noqa: E402
from formats.monitor import Tally  # noqa: E402
from seed.plan.sampling.sample import Sample  # noqa: E402
from seed.source.batch import FolderOpener, read_batch, wanted  # noqa: E402
from seed.source.quiet_open import open_quietly  # noqa: E402
from seed.source.scan import measure  # noqa: E402
from seed.source.source_rules import CACHE_TAG_SIGNATURE, SourceRules  # noqa: E402
from seed.source.system import Walk  # noqa: E402

LONG_AGO = 10**18
NOBODY = 65_534


@pytest.fixture
def tree() -> Iterator[Path]:
    """Return a tree in memory with old access times, so that each reading would be noted."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        top = Path(folder)
        (top / "folder").mkdir()
        (top / "folder/small").write_bytes(b"content")
        (top / "folder/CACHEDIR.TAG").write_bytes(CACHE_TAG_SIGNATURE[:-1] + b"x")
        (top / "large").write_bytes(random.randbytes(3 << 20))
        (top / "noted").write_bytes(b"content")
        for path in (*top.rglob("*"), top):
            os.utime(path, ns=(LONG_AGO, path.stat().st_mtime_ns))
        (top / "noted").read_bytes()
        for path in (top, top / "folder"):  # these were listed here
            os.utime(path, ns=(LONG_AGO, path.stat().st_mtime_ns))
        if (top / "noted").stat().st_atime_ns == LONG_AGO:
            pytest.skip("NOT TESTED: this system notes no access")
        os.utime(top / "noted", ns=(LONG_AGO, LONG_AGO))
        yield top


def walk(tree: Path) -> Walk:
    return Walk([os.fsencode(tree)], SourceRules(exclude_caches=True), Tally())


def read_small(tree: Path) -> None:
    folders = FolderOpener()
    files = [wanted(found.looked) for found in walk(tree) if found.type == FILE and found.looked[7] < 100]
    assert len(files) == 3
    got = read_batch(files, memoryview(bytearray(1000)), bytes(32), folders)
    folders.close()
    assert got.odd == {}


def read_large(tree: Path) -> None:
    for found in walk(tree):
        if found.type == FILE:
            handle = found.open()
            assert os.read(handle, 4 << 20)
            os.close(handle)


def plan(tree: Path) -> None:
    for thorough in (False, True):
        sample = Sample(USUAL, random.Random(1), 1, thorough)
        sample.take_in(walk(tree), Tally())
        assert sample.look(Tally()).content.bytes


def count(tree: Path) -> None:
    assert measure([os.fsencode(tree)], SourceRules(exclude_caches=True), lambda *_: True)


@pytest.mark.parametrize("act", [read_small, read_large, plan, count])
def test_access_times_stay(tree: Path, act: Callable[[Path], None]) -> None:
    names = (".", "folder", "folder/small", "folder/CACHEDIR.TAG", "large", "noted")
    act(tree)
    assert {name: (tree / name).stat().st_atime_ns for name in names} == dict.fromkeys(names, LONG_AGO)


@pytest.mark.needs("root")
def test_what_belongs_to_others_is_read_all_the_same(tree: Path) -> None:
    tree.chmod(0o755)
    (tree / "large").chmod(0o644)
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            handle = open_quietly(os.fsencode(tree / "large"), os.O_RDONLY)
            code = 0 if os.read(handle, 3 << 20) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
