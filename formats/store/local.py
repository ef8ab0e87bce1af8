"""A store in a directory: a disk, a vault on a file server, a cache. It must work on exFAT.

An object appears under its name whole and flushed, or not at all. The store writes it to a temporary in
`tmp/`, flushes it, renames it to a free name, and then flushes the folder. It uses no hard links, symbolic
links or attributes. At any point of this, a process may be killed and the power may fail.
"""

import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from typing import Self

from formats.errors import MediaError, NameHeldByOtherError, NotFoundError, ObstructedError, StoreError
from formats.layout import check_name, row_of
from formats.store.contract import Limiter, Octets, check_whole, folder_of, octets, overlong, span
from formats.store.failures import meaning, read_only, told
from formats.store.foreign import SET_ASIDE, TEMPORARIES, Passed, is_still
from formats.store.listing import is_temporary, walk
from formats.store.obstacles import obstacle
from formats.store.obstacles import told as told_of
from formats.store.root import StoreRoot, children, equal, read, read_into, read_pages, write

if sys.platform == "win32":
    from formats.store.windows import PathRoot

    SystemRoot = PathRoot
else:
    from formats.store.posix import PosixRoot

    SystemRoot = PosixRoot

STALE_SECONDS = 24 * 3600
LATEST = 253_402_300_799  # the last second of the year 9999, the last year of a `datetime`
OBSTACLES_MAX = 9  # a name has at most five parts, and each may be taken again meanwhile
_WRITER = re.compile(r"[0-9a-z]{1,64}\Z")


class LocalStore:
    """A `contract.Store` below a `StoreRoot`.

    `writer` marks this store's temporaries; by default it is random. A caller that gives it can sweep the
    remains of its own earlier runs at once, but must be its only user. A `limiter` slows writes and reads.
    """

    def __init__(
        self,
        root: StoreRoot,
        address: str,
        *,
        writable: bool = True,
        writer: str | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        if writer is not None and not _WRITER.match(writer):
            raise ValueError("a writer's id has 1 to 64 digits and lower-case letters")
        self.address = address
        self._root = root
        self._writable = writable
        self._limiter = limiter
        self.limited = limiter is not None
        self._writer = writer or os.urandom(16).hex()
        self._in_work: set[str] = set()
        self._aside = os.urandom(4).hex()
        self.clears: Callable[[str, str], None] | None = None
        """Where it is set, `put_new` sets obstacles aside, and tells it of each: its path, and where it is now."""

    @classmethod
    def open(
        cls,
        path: str,
        *,
        create: bool = False,
        read_only: bool = False,
        writer: str | None = None,
        limiter: Limiter | None = None,
    ) -> Self:
        """Open the store in the folder `path`; with `create` the folder and its parents are made.

        Raises StoreError("store-missing") if there is no folder, StoreError("denied"), MediaError.
        """
        try:
            root = SystemRoot(path, create=create and not read_only)
        except (OSError, ValueError) as error:
            raise _cannot_open(error, path) from error
        return cls(root, path, writable=not read_only, writer=writer, limiter=limiter)

    def put_new(self, name: str, data: Octets) -> bool:
        self._must_write(check_name(name))
        with octets(data) as view:
            for _ in range(OBSTACLES_MAX):
                try:
                    return self._put(name, view)
                except ObstructedError as error:
                    if self.clears is None or error.closed:
                        raise
                    self._clear(error)
            return self._put(name, view)

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        with self._opened(name) as (file, size):
            check_whole(name, size, length, self.address)
            begin, end = span(size, start, length)
            file.seek(begin)
            return read(file, end - begin, self._limiter)

    def get_into(self, name: str, buffer: memoryview) -> int:
        with self._opened(name) as (file, size):
            if size > len(buffer):
                raise overlong(name, self.address)
            return read_into(file, buffer[:size], self._limiter)

    def get_uncached_into(self, name: str, buffer: memoryview) -> tuple[int, bool]:
        """Read a whole object as `get_into` does, but from the medium itself, past the system's page cache.

        Return also whether it was `cached` after all. `buffer` is page-aligned and of whole pages, as an
        `mmap` is. The result is `cached` on each system that cannot bypass the cache, or does not tell.
        """
        with self._opened(name) as (file, size):
            if size > len(buffer):
                raise overlong(name, self.address)
            if not self._root.pass_cache(file):
                return read_into(file, buffer[:size]), True
            try:
                return read_pages(file, buffer, size), False
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
        return self.get_into(name, buffer), True  # the device wants larger pages than those of the system

    def head(self, name: str) -> int | None:
        found = self._status(check_name(name))
        return found.st_size if found is not None else None

    def list(self, prefix: str, passed: Passed | None = None) -> Iterator[tuple[str, int]]:
        return walk(self._root, self.address, folder_of(prefix), passed)

    def written(self, name: str) -> datetime | None:
        found = self._status(check_name(name))
        return datetime.fromtimestamp(min(found.st_mtime, LATEST), UTC) if found is not None else None

    def delete(self, name: str) -> None:
        self._must_write(check_name(name))
        with self._told(name):
            if self._status(name, empty=True) is not None:
                self._root.remove(name)

    def set_aside(self, name: str, kind: str | None = None) -> str:
        self._must_write(name)
        with told(self._called(name)):
            for _ in range(OBSTACLES_MAX):
                place = f"{SET_ASIDE}/{self._aside}/{name}"
                try:
                    seen = self._root.status(name)
                    if not is_still(kind, seen.st_mode, seen.st_size):
                        raise NotFoundError(name, self.address)
                    self._root.move(name, place)
                    if kind is not None and _marks(seen) != _marks(self._root.status(place)):
                        self._root.move(place, name)  # another entry came between
                        raise NotFoundError(name, self.address)
                except FileNotFoundError as error:
                    raise NotFoundError(name, self.address) from error
                except (FileExistsError, NotADirectoryError, IsADirectoryError):
                    self._aside = os.urandom(4).hex()
                    found = obstacle(self._root, SET_ASIDE, folder=True)
                    if found is not None:  # somebody took the name of that folder itself
                        self._root.move(SET_ASIDE, f"{SET_ASIDE}-{self._aside}")
                else:
                    return place
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def sweep(self) -> None:
        """Remove the dead temporaries: this writer's own, and those that are a day older than a new file.

        The file system's own times give the age, so that no clocks are compared.
        """
        self._must_write(TEMPORARIES)
        if obstacle(self._root, TEMPORARIES, folder=True) is not None:
            return  # the next writer here reports it
        with told(self._called(TEMPORARIES)):
            found = [
                (name, status.st_mtime)
                for name, status in children(self._root, TEMPORARIES, is_temporary)
                if stat.S_ISREG(status.st_mode) and name not in self._in_work
            ]
            for name, _ in found:
                if name.startswith(f"{self._writer}-"):
                    self._root.remove(f"{TEMPORARIES}/{name}")
            if found:
                self._sweep_older(found)

    def free_bytes(self) -> int:
        """Return the number of bytes that may still be written."""
        with told(self.address):
            return self._root.space()[0]

    def total_bytes(self) -> int:
        """Return the size of the file system in bytes."""
        with told(self.address):
            return self._root.space()[1]

    def device(self) -> int:
        """Return the number of the store's file system; it is equal for all stores on it."""
        with told(self.address):
            return self._root.device()

    def lies_at(self, path: str) -> bool:
        """Return whether `path` is now on the file system of the store.

        After a disk was pulled out, its mount point is a folder of the system's own.
        """
        try:
            return os.stat(path).st_dev == self.device()
        except OSError:
            return False

    def close(self) -> None:
        self._root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _called(self, name: str) -> str:
        return f"{self.address}/{name}"

    def _clear(self, error: ObstructedError) -> None:
        """Set an obstacle aside, and report it."""
        assert self.clears is not None
        with suppress(NotFoundError):  # the obstacle is gone
            self.clears(error.path, self.set_aside(error.path, error.kind or None))

    def _must_write(self, name: str) -> None:
        if not self._writable:
            raise read_only(self._called(name))

    def _told(self, name: str) -> AbstractContextManager[None]:
        return told_of(self._root, self.address, name)

    def _status(self, name: str, *, empty: bool = False) -> os.stat_result | None:
        """Return the object's status, None if there is none.

        A file without bytes is a claim, not an object; with `empty` such files count too.
        """
        try:
            with self._told(name):
                found = self._root.status(name)
        except ObstructedError as error:
            if error.closed:
                raise
            return None
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        return found if stat.S_ISREG(found.st_mode) and (found.st_size or empty) else None

    def _put(self, name: str, view: memoryview) -> bool:
        with self._told(name):
            try:
                found = self._root.status(name)
            except FileNotFoundError:
                found = None
            if found is not None and not stat.S_ISREG(found.st_mode):
                raise OSError(errno.ELOOP, "not a regular file")
            if not (found and found.st_size) and self._publish(name, view):
                return True
            return self._confirm(name, view)

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[FileIO, int]]:
        with self._told(check_name(name)):
            try:
                file = self._root.read(name)
            except FileNotFoundError as error:
                raise NotFoundError(name, self.address) from error
            with file:
                size = file.seek(0, 2)
                if not size:
                    raise NotFoundError(name, self.address)
                file.seek(0)
                yield file, size

    def _publish(self, name: str, view: memoryview) -> bool:
        """Write, flush and publish; return False if another object got the name first.

        Leaves no temporary.
        """
        with self._temporary() as temporary:
            with self._root.create(temporary) as file:
                write(file, view, self._limiter)
                self._root.flush(file)
            if not self._root.rename_new(temporary, name, addressed=row_of(name).addressed):
                return False
        self._root.flush_folder(name.rpartition("/")[0])
        return True

    @contextmanager
    def _temporary(self) -> Iterator[str]:
        leaf = f"{self._writer}-{os.urandom(8).hex()}"
        name = f"{TEMPORARIES}/{leaf}"
        self._in_work.add(leaf)
        try:
            yield name
        finally:
            try:
                self._root.remove(name)
            except OSError:
                pass  # a medium that fails here has failed above, and that error must be reported
            self._in_work.discard(leaf)

    def _confirm(self, name: str, view: memoryview) -> bool:
        """Return False if the object that is there is equal; make it as durable as one that was just written."""
        with self._opened(name) as (file, size):
            if size != len(view) or not equal(file, view):
                raise NameHeldByOtherError(name, self.address)
            self._root.flush(file)
        self._root.flush_folder(name.rpartition("/")[0])
        return False

    def _sweep_older(self, found: Sequence[tuple[str, float]]) -> None:
        with self._temporary() as temporary:
            with self._root.create(temporary) as file:
                now = os.fstat(file.fileno()).st_mtime
            for name, modified in found:
                if modified < now - STALE_SECONDS:
                    self._root.remove(f"{TEMPORARIES}/{name}")


def _marks(status: os.stat_result) -> tuple[int, ...]:
    """Return the values that a rename does not change; a new file may get the inode number of one that is gone."""
    return status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns


def _cannot_open(error: OSError | ValueError, path: str) -> MediaError | StoreError:
    if isinstance(error, OSError) and error.errno not in (errno.ENOTDIR, errno.EEXIST):
        return meaning(error, path)
    what = "a file, not a folder" if isinstance(error, OSError) else "not a path"
    return StoreError("store-missing", what, subject=path, hint="name the folder that holds the store")
