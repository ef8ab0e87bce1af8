"""A cheap count of the files and bytes that an export will read, made beside it to show progress.

It is an estimate. It leaves out files that it cannot look at, and paths that are too long for the system. It
asks by path, once for each file, and spends most of its time outside the interpreter's lock.
"""

import os
import stat
import sys
from collections.abc import Callable, Sequence

from formats.store.clock import SYSTEM, Clock
from seed.source.quiet_open import open_quietly
from seed.source.source_rules import CACHE_TAG, SourceRules, kernel_devices, outermost, tags_a_cache

_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
SEEN_EVERY = 0.5  # seconds
LOOK_EVERY = 512  # files; a look at the clock costs little, but not nothing
WHOLE_MAX = 256 << 10  # files of up to this size are read with their holes


def measure(
    roots: Sequence[bytes], rules: SourceRules, seen: Callable[[int, int], bool], clock: Clock = SYSTEM
) -> bool:
    """Count the regular files of a walk over `roots`, by every name, and the bytes that are read of them.

    The count calls `seen` with the files and bytes so far every half second, and at the end. It stops if
    `seen` returns False. The bytes of a file with several names count once; holes do not count. Return
    whether the count is whole.
    """
    counting = _Counting(rules, seen, clock)
    return all(counting.root(root) for root in outermost(roots)) and counting.tell()


class _Counting:
    def __init__(self, rules: SourceRules, seen: Callable[[int, int], bool], clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._seen = seen
        self._kernel = kernel_devices()
        self._linked: set[tuple[int, int]] = set()
        self._files = self._bytes = 0
        self._due = self._clock.elapsed() + SEEN_EVERY

    def tell(self) -> bool:
        self._due = self._clock.elapsed() + SEEN_EVERY
        return self._seen(self._files, self._bytes)

    def root(self, root: bytes) -> bool:
        """Count a root, and return False if the count was stopped."""
        try:
            status = os.lstat(root)
        except OSError:
            return True
        if self._rules.excludes.match(root):
            return True
        if stat.S_ISREG(status.st_mode):
            self._add(status)
        elif stat.S_ISDIR(status.st_mode) and self._enters(root, status, status.st_dev):
            return self._below(root, status.st_dev)
        return True

    def _below(self, root: bytes, device: int) -> bool:
        todo = [(root, device)]
        while todo:
            path, above = todo.pop()
            try:
                handle = open_quietly(path, _FOLDER_FLAGS)
            except OSError:
                continue
            try:
                with os.scandir(handle) as entries:
                    for entry in entries:
                        if not self._entry(entry, path, above, todo):
                            return False
            except OSError:
                continue
            finally:
                os.close(handle)
        return True

    def _entry(
        self, entry: os.DirEntry[str], folder: bytes, above: int, todo: list[tuple[bytes, int]]
    ) -> bool:
        """Count a file, or put a folder on the list; return False if the count was stopped."""
        path = os.path.join(folder, os.fsencode(entry.name))
        if self._rules.excludes and self._rules.excludes.match(path):
            return True
        try:
            if entry.is_file(follow_symlinks=False):
                self._add(entry.stat(follow_symlinks=False))
            elif entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                if self._enters(path, status, above):
                    todo.append((path, status.st_dev))
        except OSError:
            return True
        return bool(self._files % LOOK_EVERY) or self._clock.elapsed() < self._due or self.tell()

    def _enters(self, path: bytes, status: os.stat_result, above: int) -> bool:
        if self._rules.barrier((status.st_dev, status.st_ino), above, self._kernel):
            return False
        return not (self._rules.exclude_caches and tags_a_cache(os.path.join(path, os.fsencode(CACHE_TAG))))

    def _add(self, status: os.stat_result) -> None:
        self._files += 1
        size = status.st_size
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            if key in self._linked:
                return
            self._linked.add(key)
        if size > WHOLE_MAX and sys.platform != "win32":
            size = min(size, status.st_blocks * 512)
        self._bytes += size
