"""Helpers that read small files, lay the kept ones end to end into bundles, and seal these.

Most of the cost of a small file is the interpreter's work, and threads of one process do that in turns. So a
worker is a process if the system can fork: measured on the Linux source, threads alone took twice the time. A
worker also seals the files that it reads: their bytes stay in the cache of its processor.

The process that asks keeps the order, and knows the chunks that exist already. Answers come in the order of
the questions.
"""

import marshal
import mmap
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Protocol

from formats.errors import HomeError
from formats.ids import ChunkId
from formats.keyed.chunk import RECORD_OVERHEAD, ChunkSealer
from formats.keyed.keys import MasterKey
from formats.tables.index import CONTENT, record_digest
from seed.forking import fork
from seed.pipeline.small_file_verdict import LAY_NEXT
from seed.source.system import BatchResult, FolderOpener, Wanted, read_batch

AHEAD = 3  # batches that a worker receives before the asker decides about the first of them
Record = tuple[
    ChunkId, bytes, int, int
]  # a sealed bundle: id, digest of the record, its offset in the space, its length


class Bundler:
    """The work of a worker.

    Its records lie in `space`, which has `space_for` bytes; the last `AHEAD + 2` of them stay valid.
    """

    def __init__(self, sealer: ChunkSealer, size_max: int, space: memoryview) -> None:
        """Prepare the buffers. A bundle, or the files of a batch, have at most `size_max` bytes."""
        self._sealer = sealer
        self._folders = FolderOpener()
        self._spaces = cycle([memoryview(bytearray(size_max)) for _ in range(AHEAD + 1)])
        self._read: deque[tuple[memoryview, list[int]]] = deque()
        self._bundle = memoryview(bytearray(size_max))
        self._size = 0
        self._records = space
        self._slots = cycle(range(0, len(space), size_max + RECORD_OVERHEAD))

    def read(self, files: list[Wanted]) -> BatchResult:
        """Read and name a batch."""
        space = next(self._spaces)
        got = read_batch(files, space, self._sealer.content_key, self._folders)
        self._read.append((space, got.lengths))
        return got

    def keep(self, verdict: bytes) -> Record | None:
        """Lay the files of the oldest batch that was read, as `verdict` says for each.

        Returns the bundle that was sealed in doing so, if any.
        """
        space, lengths = self._read.popleft()
        sealed = None
        at = 0
        for length, word in zip(lengths, verdict, strict=True):
            if word:
                if word == LAY_NEXT:
                    sealed = self.seal()
                self._bundle[self._size : self._size + length] = space[at : at + length]
                self._size += length
            at += length
        return sealed

    def seal(self) -> Record:
        """Seal the open bundle."""
        raw, self._size = self._bundle[: self._size], 0
        chunk = self._sealer.chunk_id(CONTENT, raw)
        start = next(self._slots)
        length = self._sealer.seal_into(CONTENT, chunk, raw, self._records[start:], probe=False)
        return chunk, record_digest(self._records[start : start + length]), start, length

    def close(self) -> None:
        self._folders.close()


def space_for(size_max: int) -> int:
    """Return the bytes of the space that records lie in."""
    return (AHEAD + 2) * (size_max + RECORD_OVERHEAD)


class Worker(Protocol):
    """A worker with the methods of a Bundler, asked by their names. The records lie in `records`."""

    records: memoryview

    def ask(self, verb: str, *what: object) -> None:
        """Ask the worker to do this. Raises HomeError worker-ended."""

    def answer(self) -> Any:
        """Return the answer to the oldest question, after waiting for it. Raises HomeError worker-ended."""

    def is_ready(self) -> bool:
        """Return whether an answer is there."""

    def close(self) -> None: ...


class InlineWorker:
    """A worker that does all of it at once, in the same process."""

    def __init__(self, sealer: ChunkSealer, size_max: int) -> None:
        self.records = memoryview(bytearray(space_for(size_max)))
        self._bundler = Bundler(sealer, size_max, self.records)
        self._answers: deque[object] = deque()

    def ask(self, verb: str, *what: object) -> None:
        self._answers.append(getattr(self._bundler, verb)(*what))

    def answer(self) -> Any:
        return self._answers.popleft()

    def is_ready(self) -> bool:
        return bool(self._answers)

    def close(self) -> None:
        self._bundler.close()


HELPERS_MAX = 6


@contextmanager
def small_file_workers(
    master: MasterKey, level: int, size_max: int, count: int | None = None
) -> Iterator[Sequence[Worker]]:
    """Yield as many workers as there are processors, or `count`.

    They are copies of this process as it is now. Make them before it has grown, and before it has threads.
    """
    sealer = ChunkSealer(master, level)
    count = min(os.cpu_count() or 1, HELPERS_MAX) if count is None else count
    found: list[Worker] = []
    if sys.platform == "linux":
        with suppress(OSError):  # no room for one more process: fewer do the work
            while len(found) < count:
                found.append(WorkerProcess(sealer, size_max))
    workers = found or [InlineWorker(sealer, size_max)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.close()


if sys.platform == "linux":

    class WorkerProcess:
        """A worker that is a process of its own. Raises OSError if the system cannot make one."""

        def __init__(self, sealer: ChunkSealer, size_max: int) -> None:
            self.records = memoryview(mmap.mmap(-1, space_for(size_max)))  # shared with the child
            questions, self._questions = _pipe()
            self._answers, answers = _pipe()
            self.process = fork(lambda: _serve(questions, answers, sealer, size_max, self.records))
            questions.close()
            answers.close()
            self._poll = select.poll()  # Connection.poll makes a new one each time
            self._poll.register(self._answers, select.POLLIN)

        def ask(self, verb: str, *what: Any) -> None:
            try:
                self._questions.send_bytes(_packed(verb, *what))
            except OSError as error:
                raise _ended() from error

        def answer(self) -> Any:
            try:
                return _unpacked(self._answers.recv_bytes())
            except (EOFError, OSError) as error:
                raise _ended() from error

        def is_ready(self) -> bool:
            return bool(self._poll.poll(0))

        def close(self) -> None:
            """Let the worker finish its open questions and end."""
            self._questions.close()
            self._answers.close()
            with suppress(ChildProcessError):
                os.waitpid(self.process, 0)

    def _ended() -> HomeError:
        return HomeError(
            "worker-ended",
            "a process that works for this one was ended from outside, as by a system that is short of memory",
            hint="run the same command again: it goes on where this one stopped",
        )

    def _let_go(*kept: int) -> None:
        """Close all handles but `kept`: the parent alone holds the disks, locks and pipes that it opened."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nothing, standard)
        at = 3
        for number in sorted(kept):
            os.closerange(at, number)
            at = number + 1
        os.closerange(at, os.sysconf("SC_OPEN_MAX"))

    def _serve(
        questions: Connection, answers: Connection, sealer: ChunkSealer, size_max: int, space: memoryview
    ) -> None:
        """Do the whole work of the child: answer questions. It touches nothing that the parent owns.

        A thread receives them, so the asker never waits for a worker that waits until the asker reads.
        """
        _let_go(questions.fileno(), answers.fileno())
        bundler = Bundler(sealer, size_max, space)
        asked: SimpleQueue[bytes] = SimpleQueue()

        def listen() -> None:
            with suppress(EOFError, OSError):
                while True:
                    asked.put(questions.recv_bytes())
            asked.put(b"")

        threading.Thread(target=listen, daemon=True).start()
        while question := asked.get():
            verb, *what = _unpacked(question)
            answer = getattr(bundler, verb)(*what)
            answers.send_bytes(_packed(*answer) if answer is not None else b"")

    def _packed(*what: Any) -> bytes:
        """Return the bytes of plain values; both ends are this same program."""
        return marshal.dumps(what)

    def _unpacked(message: bytes) -> Any:
        return marshal.loads(message) if message else None  # noqa: S302

    def _pipe() -> tuple[Connection, Connection]:
        """Return the end to read from, and the end to write to."""
        source, sink = os.pipe()
        return Connection(source, writable=False), Connection(sink, readable=False)
