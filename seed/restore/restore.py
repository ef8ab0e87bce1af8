"""Restore: from a recovery point into a folder. Archives are read in their order, each span once.

The catalog is taken in windows of bounded size. In each window, folders are made first. Then contents are
fetched archive by archive and written, special files among them. Then further hard links are made. Attributes
of folders come last of all, so no write into a folder disturbs its times.

If there are many files, forks write them, and the next window is read meanwhile: threads would only fight for
the interpreter's lock at every call.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from formats.errors import Interrupted, OffseedError, UsageError
from formats.keyed.catalog import FILE, FOLDER, CatalogEntry, joined
from formats.monitor import Monitor
from seed.points.point_reader import PointReader
from seed.points.selection import Selection
from seed.restore.content_match import RestoreCheck, Verification, settled
from seed.restore.file_pieces import File
from seed.restore.outcome import IN_THE_WAY, RestoreCounts, RestoreResult, target_error
from seed.restore.parallel import FileShares
from seed.restore.tree.name_state import ABSENT, NameState
from seed.restore.tree.system import TreeWriter

WINDOW_ROWS = 20_000
WINDOW_BYTES = 2 << 30
# The target cannot make this link: it supports none, or not that many, or none across mounts.
UNLINKABLE = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP)

LACKING = "the folder above it could not be made"
SameFile = tuple[int, int, int, int, int, bytes]
Links = list[tuple[CatalogEntry, bytes]]


class Restore:
    """One restore of one point into one target."""

    def __init__(
        self,
        reader: PointReader,
        open_tree: Callable[[], TreeWriter],
        selection: Selection,
        monitor: Monitor,
    ) -> None:
        self._reader = reader
        self._open_tree = open_tree
        self._selection = selection
        self._monitor = monitor
        self._folders: list[tuple[CatalogEntry, bytes]] = []
        self._links: dict[SameFile, bytes] = {}
        self._standing: set[bytes] = set()  # paths that were whole before, and have further hard links
        self._lacking = b""  # the beginning of all paths below a folder that could not be made
        self._alone: dict[bytes, File] = {}  # further links to be written as files of their own
        self._outcome = RestoreCounts(monitor)

    def plan(self, *, target_exists: bool) -> RestoreResult:
        """Return the counts that `run` would give, without writing, and report files that could not be had.

        Raises as `run`.
        """
        rows = self._rows()
        if target_exists:
            self._tree = self._open_tree()
        for entry in rows:
            path = self._path(entry)
            now = self._judge(entry, path) if target_exists else ABSENT
            if now is not None and now.state == "twin":
                self._stays(entry, path, now)
                self._lacking = path + b"/"
            elif self._lacking and path.startswith(self._lacking):
                self._outcome.leave(path, LACKING)
            elif entry.type == FOLDER:
                there = target_exists and bool(path) and now is not None and now.state == "same"
                self._outcome.done.folders += bool(path) and not there
                self._outcome.done.same += there
            elif now is None:
                continue
            elif (first := self._first_link(entry, path)) is not None and self._has_come(entry):
                if now.state == "absent" or not self._link_stands(entry, now, path, first):
                    self._outcome.count_link(entry)
            elif self._stays(entry, path, now) or (now.state == "doubt" and self._settled(entry, path)):
                continue
            elif entry.type != FILE:
                self._outcome.done.others += 1
            elif self._has_come(entry):
                self._outcome.done.files += 1
                self._outcome.done.file_bytes += entry.size
            else:
                self._outcome.done.failed += 1
                if entry.is_lost:
                    self._outcome.find(path, code="content-lost", detail="its content was lost")
                else:
                    self._outcome.find(path, code="chunk-missing", detail="a part of it has not arrived")
        if target_exists:
            self._tree.close()
        return self._outcome.done

    def _settled(self, entry: CatalogEntry, path: bytes) -> bool:
        return settled(File(entry, path), self._tree, self._outcome, self._reader.sealer) != "other"

    def verify(self) -> RestoreCheck:
        """Compare the target with the point, entry by entry. Raises as `run`."""
        self._tree = self._open_tree()
        try:
            verification = Verification(self._tree, self._outcome, self._reader.sealer)
            for entry in self._rows():
                if path := self._path(entry):
                    verification.check(entry, path)
                if self._monitor.stopping():
                    raise Interrupted(2)
            return verification.done
        finally:
            self._tree.close()

    def _has_come(self, entry: CatalogEntry) -> bool:
        return all(self._reader.is_there(chunk) for chunk in entry.chunk_ids())

    def run(self) -> RestoreResult:
        """Restore all selected entries. At the return, everything counted as restored is on the medium.

        Raises Interrupted, UsageError path-not-found, IntegrityError (the catalog is damaged), MediaError,
        StoreError.
        """
        rows = self._rows()
        self._tree = self._open_tree()
        self._tree.begin()
        self._shares = FileShares(self._reader, self._tree, self._outcome)
        try:
            links: Links = []
            forks = 0
            while window := self._window(rows):
                files, its_links = self._make_folders(window)
                begun = self._shares.begin(files)
                self._shares.join(forks)  # those of the window before: at most two windows are being written
                self._make_links(links)
                forks, links = begun, its_links
            self._shares.join(forks)
            self._make_links(links)
            self._tree.settle()
            for entry, path in reversed(self._folders):
                self._guarded(path, self._tree.finish_folder, entry, path)
            self._sync()
        finally:
            self._shares.end()
            self._tree.close()
        return self._outcome.done

    def _rows(self) -> Iterator[CatalogEntry]:
        """Return the selected entries. Raise UsageError path-not-found before any write if there are none."""
        rows = self._joined(self._selection.select(self._reader.entries(self._selection.below)))
        if (first := next(rows, None)) is None:
            raise UsageError(
                "path-not-found",
                "the recovery point holds nothing that is asked for",
                subject=self._selection.words(),
                hint="see `seed ls` for its entries. In a shell, write a name with an odd character, as \\n, as $'…\\n…'. A glob that "
                "begins with / is a whole path, any other the end of one, and * stops at /",
            )
        return chain([first], rows)

    @staticmethod
    def _joined(entries: Iterable[CatalogEntry]) -> Iterator[CatalogEntry]:
        """Yield one entry for each file, also for a file that spans several rows."""
        held: list[CatalogEntry] = []
        for entry in entries:
            if entry.part:
                if held and held[0].path == entry.path:
                    held.append(entry)
                continue
            if held:
                yield joined(held)
            held = [entry]
        if held:
            yield joined(held)

    def _window(self, rows: Iterator[CatalogEntry]) -> list[CatalogEntry]:
        window: list[CatalogEntry] = []
        total = 0
        for entry in islice(rows, WINDOW_ROWS):
            window.append(entry)
            total += entry.size
            if total > WINDOW_BYTES:
                break
        return window

    def _make_folders(self, window: Sequence[CatalogEntry]) -> tuple[list[File], Links]:
        """Make folders; return the files to write into them, and the further links to make after that."""
        if self._monitor.stopping():
            raise Interrupted(2)
        files: list[File] = []
        links: Links = []
        for entry in window:
            path = self._path(entry)
            if self._lacking and path.startswith(self._lacking):
                self._outcome.leave(path, LACKING)
            elif entry.type == FOLDER:
                self._make_folder(entry, path)
            elif self._first_link(entry, path) is not None:
                links.append((entry, path))
            elif (file := self._to_write(entry, path)) is not None:
                files.append(file)
        return files, links

    def _make_links(self, links: Links) -> None:
        while links:
            later: Links = []  # links to files that are only written now
            for entry, path in links:
                if self._links[_same_file(entry)] in self._alone:
                    later.append((entry, path))
                else:
                    self._guarded(path, self._make_link, entry, path)
            alone, self._alone = self._alone, {}
            self._shares.write([*alone.values()])
            links = later

    def _sync(self) -> None:
        try:
            self._tree.sync()
        except OSError as error:
            raise target_error(error, "") from error

    def _first_link(self, entry: CatalogEntry, path: bytes) -> bytes | None:
        """Return the path restored before for the same file, if the entry is a further hard link to it."""
        if entry.type == FOLDER or entry.links < 2:
            return None
        first = self._links.setdefault(_same_file(entry), path)
        return None if first == path else first

    def _to_write(self, entry: CatalogEntry, path: bytes) -> File | None:
        """Return the file to write; None if the object already there stays."""
        now = self._judge(entry, path)
        if now is None or self._stays(entry, path, now):
            return None
        doubt = now.state == "doubt"
        if self._tree.overwrite or not doubt:
            self._tree.make_room(path)
        return File(entry, path, now.mark, doubt)

    def _stays(self, entry: CatalogEntry, path: bytes, now: NameState) -> bool:
        """Return whether the object already there is left alone; count it if so."""
        if now.state in ("absent", "doubt") or (now.state == "other" and self._tree.overwrite):
            return False
        if now.state == "same":
            self._outcome.done.same += 1
            self._outcome.done.by_time += entry.type == FILE and entry.size > 0
            if entry.links > 1:
                self._standing.add(path)
            self._monitor.progress(kept=entry.size if entry.type == FILE else 0)
        else:
            self._outcome.leave(path, self._tree.rival(path) if now.state == "twin" else IN_THE_WAY)
        return True

    def _judge(self, entry: CatalogEntry, path: bytes) -> NameState | None:
        """Return the state of the path; None, after counting a failure, if the system cannot tell."""
        try:
            return self._tree.judge(entry, path)
        except (OSError, OffseedError) as error:
            self._outcome.fail(path, error)
            self._outcome.done.failed += 1
        return None

    def _make_folder(self, entry: CatalogEntry, path: bytes) -> None:
        try:
            made = bool(path) and self._tree.make_folder(path)
        except FileExistsError as error:
            self._outcome.leave(path, str(error.strerror))
            self._lacking = path + b"/"
        except (OSError, OffseedError) as error:
            self._outcome.fail(path, error)
            self._outcome.done.failed += 1
            self._lacking = path + b"/"
        else:
            self._folders.append((entry, path))
            self._outcome.done.folders += made
            self._outcome.done.same += bool(path) and not made

    def _make_link(self, entry: CatalogEntry, path: bytes) -> None:
        """Make a further hard link, or note it as a file of its own if no link can be made."""
        first = self._links[_same_file(entry)]
        if first in self._standing or first in self._shares.linked:
            now = self._tree.judge(entry, path)
            if self._link_stands(entry, now, path, first):
                return
            try:
                self._tree.make_room(path)
                self._tree.make_link(first, path, now.mark)
                self._outcome.count_link(entry)
                return
            except FileExistsError as error:
                self._outcome.leave(path, str(error.strerror))
                return
            except OSError as error:
                if error.errno not in UNLINKABLE:
                    raise
                self._outcome.find(
                    path, code="target-failed", detail=f"restored as a file of its own: {error.strerror}"
                )
        self._links[_same_file(entry)] = path
        if (file := self._to_write(entry, path)) is not None:
            self._alone[path] = file

    def _link_stands(self, entry: CatalogEntry, now: NameState, path: bytes, first: bytes) -> bool:
        """Return whether the object already there, in place of a further hard link, is left alone."""
        if now.state == "twin":
            return self._stays(entry, path, now)
        if self._tree.is_link(first, path):
            self._outcome.done.same += 1
            return True
        if now.state == "absent" or self._tree.overwrite:
            return False
        self._outcome.leave(path, IN_THE_WAY)
        return True

    def _path(self, entry: CatalogEntry) -> bytes:
        """Return the entry's place in the target: its full path, or its path below the chosen folder."""
        below = self._selection.below
        if not below:
            return entry.path
        if entry.path == below:
            return b"" if entry.type == FOLDER else below.rpartition(b"/")[2]
        return entry.path[len(below) + 1 :]

    def _guarded(self, path: bytes, action: Callable[..., None], *arguments: object) -> None:
        try:
            action(*arguments)
        except (OSError, OffseedError) as error:
            self._outcome.fail(path, error)
            self._outcome.done.failed += 1


def _same_file(entry: CatalogEntry) -> SameFile:
    """Return a value that is equal for all hard links to one file, pipe, device or symbolic link.

    It holds as long as the file was not changed between the readings of its links.
    """
    content = entry.content or entry.chunks[:32] or entry.target
    return entry.type, entry.device, entry.inode, entry.size, entry.modified, content
