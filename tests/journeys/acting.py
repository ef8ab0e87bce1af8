"""The command `seed`, which also changes a file at a chosen moment while it reads the file.

A file named `WHEN ACT …` undergoes ACT `before` it is opened, `after` that, or `between` two reads.
Run as a script: `python acting.py export …`.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

assert sys.platform == "linux"
from seed.source import batch, entries  # noqa: E402

opened, opened_by_path, read = entries.FoundEntry.open, batch.FolderOpener.open, batch.read_into
between: dict[int, str] = {}
held: list[int] = []


def vanish(path: str) -> None:
    os.unlink(path)


def folder(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


def symlink(path: str) -> None:
    os.unlink(path)
    os.symlink("/etc/passwd", path)


def fifo(path: str) -> None:
    os.unlink(path)
    os.mkfifo(path)


def spoken(path: str) -> None:
    """Replace the file with a FIFO, and write into it."""
    fifo(path)
    held.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    os.write(held[-1], b"into the pipe")


def other(path: str) -> None:
    with open(f"{path} new", "wb") as file:
        file.write(b"saved anew")
    os.rename(f"{path} new", path)


def device(path: str) -> None:
    os.unlink(path)
    with suppress(PermissionError):  # not permitted in every container: then the file has vanished
        os.mknod(path, 0o020666, os.makedev(1, 5))


def empty(path: str) -> None:
    os.truncate(path, 0)


def shorter(path: str) -> None:
    os.truncate(path, 70_000)


def longer(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"grown " * 100_000)


ACTS: dict[str, Callable[[str], None]] = {
    act.__name__: act
    for act in (vanish, folder, symlink, fifo, spoken, other, device, empty, shorter, longer)
}


def acting_open(found: entries.FoundEntry) -> int:
    return acting_between(found.name, found.folder, lambda: opened(found))


def acting_open_by_path(folders: batch.FolderOpener, path: bytes) -> int:
    above, _, name = path.rpartition(b"/")
    return acting_between(name, folders.handle(above), lambda: opened_by_path(folders, path))


def acting_between(name: bytes, folder: int, opening: Callable[[], int]) -> int:
    words = os.fsdecode(name).split()
    path = f"/proc/self/fd/{folder}/{os.fsdecode(name)}"
    if words[0] == "before":
        ACTS[words[1]](path)
    handle = opening()
    between.pop(handle, None)
    if words[0] == "after":
        ACTS[words[1]](path)
    elif words[0] == "between":
        between[handle] = os.readlink(f"/proc/self/fd/{handle}")
    return handle


def acting_read(handle: int, space: memoryview) -> int:
    got = read(handle, space)
    if path := between.pop(handle, ""):
        ACTS[os.path.basename(path).split()[1]](path)
    return got


if __name__ == "__main__":
    for owner, name, acting in (
        (entries.FoundEntry, "open", acting_open),
        (batch.FolderOpener, "open", acting_open_by_path),
        (batch, "read_into", acting_read),
    ):
        setattr(owner, name, acting)
    sys.argv[0] = "seed"
    from seed.cli import main

    main()
