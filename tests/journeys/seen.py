"""All that a tree holds, as a comparer sees it; handles reach a tree that is too deep for any path."""

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

assert sys.platform == "linux"

MIB = 1 << 20
BLOCK = PATH_MAX = 4096


@dataclass(frozen=True)
class Seen:
    """All that a restored entry must have in common with its source."""

    type: int
    mode: int
    owner: tuple[int, int]
    mtime: int
    size: int
    content: str
    target: str
    device: int
    attributes: tuple[tuple[str, bytes], ...]
    links: frozenset[bytes]


@dataclass(frozen=True)
class Room:
    """The room that a file takes, and the places of its data if it has holes."""

    size: int
    blocks: int
    regions: tuple[tuple[int, int], ...]


Tree = dict[bytes, tuple[Seen, Room]]


def seen(root: bytes) -> Tree:
    """Return everything at and below `root` by relative name; handles reach paths of any length."""
    groups: dict[tuple[int, int], set[bytes]] = {}
    found: Tree = {}
    for name, folder, last in _walk(root):
        status = os.stat(last, dir_fd=folder, follow_symlinks=False)
        regular = stat.S_ISREG(status.st_mode)
        group = groups.setdefault((status.st_dev, status.st_ino), set()) if regular else set()
        group.add(name)
        found[name] = _see(folder, last, status)
    for names in groups.values():
        for name in names:
            met, room = found[name]
            found[name] = replace(met, links=frozenset(names)), room
    return found


def _walk(root: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the relative name of every entry, a handle on its folder, and its name in that folder."""
    above = os.open(os.path.dirname(root), os.O_RDONLY)
    yield b"", above, os.path.basename(root)
    os.close(above)
    todo = [b""] if stat.S_ISDIR(os.lstat(root).st_mode) else []
    while todo:
        folder = todo.pop()
        handle = open_folder(root, folder)
        for last in map(os.fsencode, os.listdir(handle)):
            name = os.path.join(folder, last)
            yield name, handle, last
            if stat.S_ISDIR(os.stat(last, dir_fd=handle, follow_symlinks=False).st_mode):
                todo.append(name)
        os.close(handle)


def open_folder(root: bytes, folder: bytes) -> int:
    """Return a handle on a folder below `root` at any depth: a path for the system ends at 4,096 bytes."""
    handle = os.open(root, os.O_RDONLY)
    while folder:
        at = len(folder) if len(folder) < PATH_MAX else folder.rindex(b"/", 0, PATH_MAX)
        deeper = os.open(folder[:at], os.O_RDONLY | os.O_NOFOLLOW, dir_fd=handle)
        os.close(handle)
        handle, folder = deeper, folder[at + 1 :]
    return handle


def _see(folder: int, name: bytes, status: os.stat_result) -> tuple[Seen, Room]:
    regular, link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
    special = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    regions: list[tuple[int, int]] = []
    content = ""
    if regular:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            regions = _regions(handle, status.st_size)
            content = _digest(handle, regions)
        finally:
            os.close(handle)
    seen = Seen(
        type=stat.S_IFMT(status.st_mode),
        mode=stat.S_IMODE(status.st_mode),
        owner=(status.st_uid, status.st_gid),
        mtime=status.st_mtime_ns,
        size=status.st_size if regular or link else 0,
        content=content,
        target=os.fsdecode(os.readlink(name, dir_fd=folder)) if link else "",
        device=status.st_rdev if special else 0,
        attributes=_xattrs(b"/proc/self/fd/%d/%s" % (folder, name)),
        links=frozenset(),
    )
    return seen, Room(status.st_size if regular else 0, status.st_blocks * 512, tuple(regions))


def _digest(handle: int, regions: list[tuple[int, int]]) -> str:
    """Return a digest of the data regions and their places, by content.

    So a file with gigabytes of holes is read at once.
    """
    found = hashlib.blake2b(digest_size=16)
    for start, end in regions:
        at = start
        while at < end:
            data = os.pread(handle, min(MIB, end - at), at)
            if not data:
                return "ends too early"
            for offset in range(0, len(data), BLOCK):
                block = data[offset : offset + BLOCK]
                if block.strip(b"\0"):
                    found.update((at + offset).to_bytes(8, "little") + block)
            at += len(data)
    return found.hexdigest()


def _regions(handle: int, size: int) -> list[tuple[int, int]]:
    found, at = [], 0
    while at < size:
        try:
            start = os.lseek(handle, at, os.SEEK_DATA)
        except OSError:  # a hole to the end
            break
        start -= start % BLOCK
        at = os.lseek(handle, start, os.SEEK_HOLE)
        found.append((start, at))
    return found


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
