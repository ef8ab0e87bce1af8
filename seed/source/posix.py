"""The walk through a tree on POSIX, by directory handles: it resolves no path twice, and no path is too long.

Entries come sorted by path components, each while its parent folder is held open. Each entry comes at most
once, even if the tree changes meanwhile. An entry that cannot be read is a finding.
"""

import errno
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from itertools import chain

from formats.keyed.catalog import FOLDER, PATH_MAX
from formats.monitor import Finding, Monitor
from seed.source.links import leading
from seed.source.source_rules import CACHE_TAG, SourceRules, kernel_devices, outermost, tags_a_cache

assert sys.platform != "win32"
from seed.source.batch import FOLDER_FLAGS, PASSING_FLAGS  # noqa: E402
from seed.source.entries import FoundEntry, look  # noqa: E402
from seed.source.folder_stack import Level, Levels  # noqa: E402
from seed.source.quiet_open import open_quietly  # noqa: E402

EXTENTS_MAX = 100_000
UNMET_SHOWN = 10
_GAP_MIN = 64 << 10


class Walk:
    """An iterator over `roots` (absolute paths), the targets of links among them, and the folders above.

    Each entry comes once, sorted.
    """

    def __init__(self, roots: Sequence[bytes], rules: SourceRules, monitor: Monitor) -> None:
        self._kernel = kernel_devices()
        self._links = leading(roots, self._kernel)
        self.roots = outermost([*roots, *chain(*(p for p in self._links.values() if isinstance(p, list)))])
        self.rules = rules
        self.monitor = monitor
        self._excludes = rules.excludes or None
        self._above: set[bytes] = set()

    def __iter__(self) -> Iterator[FoundEntry]:
        self._tell_links()
        for note in self.rules.notes:
            self.monitor.notice(note.replace("\n", "\\n"))
        for root in self.roots:
            above = yield from self._ancestors(root)
            if above is not None:
                yield from self._below(above, root.strip(b"/"))
        self._tell_unmet()

    def _tell_links(self) -> None:
        for item, places in self._links.items():
            if isinstance(places, OSError):
                detail = f"the target of this link is not backed up: {places.strerror}"
                self.monitor.finding(
                    Finding(code="source-unreadable", subject=os.fsdecode(item), detail=detail)
                )
            else:
                shown = (os.fsdecode(path).replace("\n", "\\n") for path in (item, places[-1]))
                self.monitor.notice("{} is a link: its target {} is backed up as well".format(*shown))

    def _tell_unmet(self) -> None:
        unmet = [repr(glob) for glob in self.rules.excludes.unmet()]
        if unmet:
            more = f" and {len(unmet) - UNMET_SHOWN:,} more" if len(unmet) > UNMET_SHOWN else ""
            shown = ", ".join(unmet[:UNMET_SHOWN]) + more
            self.monitor.notice(f"no path matched these excludes, or others left it out already: {shown}")

    def _ancestors(self, root: bytes) -> Generator[FoundEntry, None, int | None]:
        """Yield the folders above a root, so that a restore brings back their owner and mode too.

        Return a handle on the last of them, or None after an error, which is reported.
        """
        handle, path = -1, b""
        try:
            handle = os.open("/", PASSING_FLAGS)
            for part in root.strip(b"/").split(b"/")[:-1]:
                path = path + b"/" + part if path else part
                found = look(handle, part, path, self._tell)
                if found.type != FOLDER:  # it was a folder when the root was named
                    raise NotADirectoryError(20, "it is no folder any more, and nothing below it is read")
                if path not in self._above:
                    self._above.add(path)
                    found.above = True
                    yield found
                below = os.open(part, PASSING_FLAGS, dir_fd=handle)
                os.close(handle)
                handle = below
        except OSError as error:
            self._tell(path, error)
            if handle >= 0:
                os.close(handle)
            return None
        except GeneratorExit:
            os.close(handle)
            raise
        return handle

    def _below(self, above: int, root: bytes) -> Iterator[FoundEntry]:
        """Yield the entries depth first, with a stack of folders instead of recursion."""
        try:
            outermost = self._outermost(above, root)
        except OSError as error:
            os.close(above)
            self._tell(root, error)
            return
        levels = Levels(outermost, self._tell)
        try:
            while (level := levels.innermost()) is not None:
                for name in level.names:
                    if (found := self._found(level, name)) is None:
                        continue
                    yield found
                    if found.type == FOLDER and (below := self._enter(found, level, found.path == root)):
                        levels.enter(below)
                        break
                else:
                    levels.leave()
        finally:
            levels.close()

    def _outermost(self, above: int, root: bytes) -> Level:
        """Return the level with a root as its only name; for the root of all paths, the level of its names."""
        device = os.fstat(above).st_dev
        if root:
            parent, _, name = root.rpartition(b"/")
            return Level(above, parent, device, 0, iter([name]))
        handle = open_quietly(".", FOLDER_FLAGS, above)
        os.close(above)
        return Level(handle, b"", device, 0, self._names(handle, b""))

    def _found(self, level: Level, name: bytes) -> FoundEntry | None:
        path = level.path + b"/" + name if level.path else name
        if self._excludes and self._excludes.match(b"/" + path):
            if b"/" + path in self.roots:
                self._leave_out(path, "by an exclude, though it was named")
            return None
        if len(path) > PATH_MAX:
            self._tell(path, OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))
            return None
        try:
            return look(level.handle, name, path, self._tell)
        except OSError as error:
            self._tell(path, error)
            return None

    def _enter(self, found: FoundEntry, level: Level, at_root: bool) -> Level | None:
        """Return the opened folder, or None if its content is left out or cannot be read."""
        path, folder = found.path, found.number
        if why := self.rules.barrier(folder, folder[0] if at_root else level.device, self._kernel):
            self._leave_out(path, why)
            return None
        try:
            handle = open_quietly(found.name, FOLDER_FLAGS, found.folder)
        except OSError as error:
            self._tell(path, error)
            return None
        now = os.fstat(handle)
        if (now.st_dev, now.st_ino) != folder:
            self._tell(path, FileNotFoundError(2, "the folder was replaced while it was walked"))
        elif self.rules.exclude_caches and tags_a_cache(CACHE_TAG, handle):
            self._leave_out(path, "marked as cache")
        else:
            return Level(handle, path, *folder, self._names(handle, path))
        os.close(handle)
        return None

    def _names(self, handle: int, path: bytes) -> Iterator[bytes]:
        """Return each name once: the system may list a file twice if it is made anew meanwhile."""
        try:
            return iter(sorted({os.fsencode(name) for name in os.listdir(handle)}))
        except OSError as error:
            self._tell(path, error)
            return iter(())

    def _leave_out(self, path: bytes, why: str) -> None:
        shown = os.fsdecode(path).replace("\n", "\\n")
        self.monitor.notice(f"left out: everything below /{shown} ({why})")

    def _tell(self, path: bytes, error: OSError, code: str = "source-unreadable") -> None:
        detail = error.strerror or type(error).__name__
        if code == "source-unreadable" and b"/" + path in self.roots:
            detail = f"nothing of this path is backed up: {detail}"
        self.monitor.finding(Finding(code=code, subject="/" + os.fsdecode(path), detail=detail))


def data_extents(handle: int, size: int) -> list[tuple[int, int]]:
    """Return the (offset, length) of each data region of a file; one region for a file without holes.

    There are at most 100,000: in a file with more, regions near each other count as one.
    """
    found: list[tuple[int, int]] = []
    at, gap = 0, 0
    try:
        while at < size:
            start = os.lseek(handle, at, os.SEEK_DATA)
            if start >= size:
                break
            end = min(os.lseek(handle, start, os.SEEK_HOLE), size)
            if not at <= start < end:  # a device, or the data became a hole again meanwhile
                return [(0, size)]
            at = end
            _join(found, start, end, gap)
            if len(found) > EXTENTS_MAX:
                gap = max(2 * gap, _GAP_MIN)
                found = _nearer(found, gap)
    except OSError as error:
        if error.errno != 6:  # ENXIO: no data beyond
            return [(0, size)]
        if os.fstat(handle).st_size < size:  # it is shorter now: the reader will find its end
            _join(found, at, size, gap)
    return found


def _join(regions: list[tuple[int, int]], start: int, end: int, gap: int) -> None:
    """Add a region, or extend the last one if at most `gap` bytes lie between them."""
    if regions and start - sum(regions[-1]) <= gap:
        start = regions.pop()[0]
    regions.append((start, end - start))


def _nearer(regions: Sequence[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for offset, length in regions:
        _join(joined, offset, offset + length, gap)
    return joined
