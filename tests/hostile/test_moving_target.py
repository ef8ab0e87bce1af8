"""A restore into a folder that somebody else changes meanwhile.

The change comes before each system call, and at each place.
"""

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from formats.errors import OffseedError
from formats.keyed.catalog import FIFO, FILE, FOLDER, SYMLINK, CatalogEntry
from formats.monitor import Tally
from seed.restore.tree.new_file import NewFile
from seed.restore.tree.system import TreeWriter
from seed.source.xattrs import pack

assert sys.platform == "linux"

CALLS = ("mkdir", "open", "stat", "rename", "link", "unlink", "rmdir", "symlink", "mknod", "chmod", "chown", "utime", "truncate", "pwrite", "setxattr", "readlink", "listdir")  # fmt: skip
ME = os.geteuid(), os.getegid()
ENTRIES = [
    CatalogEntry(b"a", FOLDER, 0o777, *ME, xattrs=pack([(b"user.planted", b"x")])),
    CatalogEntry(b"a/b", FOLDER, 0o777, *ME),
    CatalogEntry(b"a/b/f", FILE, 0o777, *ME, size=7, xattrs=pack([(b"user.planted", b"x")])),
    CatalogEntry(b"a/b/s", SYMLINK, 0o777, *ME, target=b"f"),
    CatalogEntry(b"a/b/p", FIFO, 0o777, *ME),
]


def restore(target: Path, *, overwrite: bool) -> None:
    """Take the steps of a restore; each step may fail."""
    tree = TreeWriter(str(target), Tally(), overwrite=overwrite)
    try:
        step(tree.begin)
        for entry in ENTRIES:
            if entry.type == FOLDER:
                step(tree.make_folder, entry.path)
                continue
            now = step(tree.judge, entry, entry.path)
            if now is None or now.state == "same":
                continue
            step(tree.make_room, entry.path)
            if entry.type == FILE:
                new = step(whole_file, tree, entry)
            else:
                new = step(tree.make_other, entry, entry.path)
            if new is not None:
                step(tree.flush, [new])
                step(tree.publish, new, entry.path, now.mark)
            if entry.type == FILE:
                step(tree.make_link, entry.path, b"a/b/l", None)
        step(tree.settle)
        for entry in reversed(ENTRIES):
            if entry.type == FOLDER:
                step(tree.finish_folder, entry, entry.path)
        step(tree.sync)
    finally:
        with suppress(OSError):
            tree.close()


def whole_file(tree: TreeWriter, entry: CatalogEntry) -> NewFile:
    """Write a file under its temporary name.

    Raises OSError or OffseedError.
    """
    new = tree.open_file(entry.path)
    tree.write_at(new, memoryview(b"planted"), 0)
    tree.set_size(new, entry.size)
    tree.finish_file(entry, entry.path, new)
    return new


def step(action: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return action(*arguments)
    except (OSError, OffseedError):
        return None


@contextmanager
def before_call(number: int, attack: Callable[[], None]) -> Iterator[list[int]]:
    """Do `attack` right before the call of that number, and yield the count of all calls."""
    count = [0]
    real = {name: getattr(os, name) for name in CALLS}

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] == number:
                restore_calls()
                attack()
                patch_calls()
            return real[name](*arguments, **options)

        return call

    def patch_calls() -> None:
        for name in CALLS:
            setattr(os, name, counted(name))

    def restore_calls() -> None:
        for name, function in real.items():
            setattr(os, name, function)

    patch_calls()
    try:
        yield count
    finally:
        restore_calls()


def to_a_link(path: Path, outside: Path) -> None:
    """Put a link out of the target at this place, and keep the old content beside it."""
    with suppress(OSError):
        os.rename(path, path.with_name(path.name + "-aside"))
    with suppress(OSError):
        os.symlink(outside, path)


def seen(outside: Path) -> dict[str, tuple[object, ...]]:
    """Return all that lies outside, with all properties that a restore could change."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [outside, *sorted(outside.rglob("*"))]:
        s = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(s.st_mode) else b""
        found[str(path)] = s.st_mode, s.st_uid, s.st_nlink, s.st_mtime_ns, content, *os.listxattr(path)
    return found


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("place", ["a", "a/b", "a/b/f", "a/b/s", "a/b/p", "a/b/l"])
def test_nothing_outside_the_target_is_written(tmp_path: Path, place: str, overwrite: bool) -> None:
    """Write nothing outside the target, at any place and any moment of a planted link."""
    outside = tmp_path / "outside"
    for folder in (outside, outside / "b"):
        folder.mkdir(mode=0o700)
        for name in ("f", "s", "p", "l"):
            (folder / name).write_bytes(b"another's")
            (folder / name).chmod(0o600)
    with before_call(0, lambda: None) as count:
        restore(tmp_path / "plain", overwrite=overwrite)
    assert count[0] > 40
    assert (tmp_path / "plain/a/b/l").read_bytes() == b"planted"
    before = seen(outside)
    where = outside / place.removeprefix("a").lstrip("/")
    met = 0
    for number in range(1, count[0] + 1):
        target = tmp_path / "target"
        with before_call(number, lambda target=target: to_a_link(target / place, where)):  # type: ignore[misc]
            restore(target, overwrite=overwrite)
        met += any(path.is_symlink() for path in target.rglob("*") if path.name != "s")
        assert seen(outside) == before, f"before call {number}"
        shutil.rmtree(target)
    assert met > 10
