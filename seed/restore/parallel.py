"""Files shared out among forks.

Each fork writes the files of its part of the archives, so each archive is read once. The interpreter runs one
thread at a time, and a small file costs mostly interpreter time. So threads do not help. If a fork dies or
fails, its parent writes again the files that the fork did not report.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count

from formats.errors import Interrupted
from formats.ids import ChunkId
from formats.monitor import Tally
from formats.store.local import LocalStore
from seed.forking import CAN_FORK
from seed.points.point_reader import PointReader
from seed.restore.chunk_fetcher import Fetcher
from seed.restore.file_pieces import File
from seed.restore.file_writer import FileWriter, ShareResult
from seed.restore.fork import Fork
from seed.restore.outcome import RestoreCounts
from seed.restore.tree.system import TreeWriter
from seed.tables.record_table import RecordPlace

FORKS_MAX = 4
FILES_MIN = 1_000  # with fewer, and for few large files, the threads of one process do as well
_FILE_COST = 64 << 10  # making a file takes as long as unfolding this many bytes
_NOWHERE = RecordPlace(-1, 0, 0, 0)


Share = tuple[Fork[ShareResult], list[File]]


class FileShares:
    """Files that are being written, by forks if that pays. `join` waits for the forks."""

    def __init__(self, reader: PointReader, tree: TreeWriter, outcome: RestoreCounts) -> None:
        self._reader = reader
        self._tree = tree
        self._outcome = outcome
        self._monitor = outcome.monitor
        self._fetcher = Fetcher(reader)
        self._contents = FileWriter(tree, outcome, reader.sealer, self._fetcher)
        self._running: deque[Share] = deque()
        self._numbers = count()
        self._forks = min(FORKS_MAX, os.cpu_count() or 1) if CAN_FORK and _may_fork(reader) else 1

    @property
    def linked(self) -> set[bytes]:
        """The correct paths with a file that has further names."""
        return self._contents.linked

    def write(self, files: Sequence[File]) -> None:
        """Write files in this process. Raises as `FileWriter.write`."""
        self._contents.write(files)

    def begin(self, files: Sequence[File]) -> int:
        """Write `files`, or start forks that write them.

        Return the number of forks. Raises as `FileWriter.write`.
        """
        if self._forks < 2 or len(files) < FILES_MIN:
            self._contents.write(files)
            return 0
        try:
            self._tree.prepare()
        except OSError:  # each file will report why nothing can be written
            self._contents.write(files)
            return 0
        before = len(self._running)
        for share in self._divide(files):
            running = [fork for fork, _ in self._running]
            self._running.append((Fork(self._work(next(self._numbers), share), running), share))
        return len(self._running) - before

    def join(self, forks: int) -> None:
        """Wait for the `forks` oldest forks. Raises as `FileWriter.write`."""
        for _ in range(forks):
            fork, share = self._running[0]
            written = fork.result(self._monitor)
            self._running.popleft()
            fork.end()
            if written is None:
                if self._monitor.stopping():
                    raise Interrupted(2)
                self._contents.write([*self._left(share)])
                continue
            self._outcome.done.add(written.done)
            self._contents.linked |= written.linked
            for finding in written.findings:
                self._monitor.finding(finding)
            for text in written.notices:
                self._tree.note(text)

    def _left(self, share: Sequence[File]) -> Iterator[File]:
        """Yield the files that a fork which ended early has not put in place."""
        for file in share:
            now = self._tree.judge(file.entry, file.path)
            if file.doubt or now.mark == file.mark:
                yield file
            elif now.state == "same":
                self._contents.count(file)
            else:
                yield replace(file, doubt=now.state == "doubt")

    def end(self) -> None:
        """Stop all forks that still run."""
        while self._running:
            self._running.pop()[0].end()
        self._fetcher.close()

    def _work(self, number: int, share: Sequence[File]) -> Callable[[Tally], ShareResult]:
        def work(monitor: Tally) -> ShareResult:
            tree = self._tree.branch(number, monitor)
            outcome = RestoreCounts(monitor)
            contents = FileWriter(tree, outcome, self._reader.sealer, Fetcher(self._reader, ahead=False))
            try:
                contents.write(share)
            finally:
                tree.settle()
            return ShareResult(outcome.done, contents.linked, monitor.findings, monitor.notices)

        return work

    def _divide(self, files: Sequence[File]) -> Iterator[list[File]]:
        """Yield shares of similar cost, in archive order. Files of one bundle stay together."""
        made_of = [file for file in files if file.entry.chunks]
        firsts = list({ChunkId(file.entry.chunks[:32]) for file in made_of})
        places = dict(zip(firsts, self._reader.first_places(firsts), strict=True))
        placed = [(places[ChunkId(file.entry.chunks[:32])] or _NOWHERE, file) for file in made_of]
        placed += [(_NOWHERE, file) for file in files if not file.entry.chunks]
        placed.sort(key=lambda one: (one[0].archive, one[0].offset))
        size = sum(file.entry.size + _FILE_COST for file in files) / self._forks
        share: list[File] = []
        cost, last = 0, _NOWHERE
        for place, file in placed:
            if cost >= size and place != last:
                yield share
                share, cost = [], 0
            share.append(file)
            cost += file.entry.size + _FILE_COST
            last = place
        if share:
            yield share


def _may_fork(reader: PointReader) -> bool:
    """Return whether forks may read the stores.

    Forks cannot share a connection, and each would keep its own limit.
    """
    return all(isinstance(store, LocalStore) and not store.limited for store in reader.union.stores)
