"""Small files, read ahead in helper processes, and handed on in the order in which the walk met them.

For a small file the interpreter's work is most of what it costs, and threads of one process do that in turns: measured on
the Linux source, one process kept two processors half idle. So reading and naming is done by processes beside; the
walk, what is known already, and all order stay here. The first batches are read here, so that a short run starts no
process; so is whatever a helper that has died did not answer.
"""

import mmap
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import IO

from formats.keyed.keys import MasterKey
from formats.monitor import Monitor
from seed.row import Row
from seed.source.batch import hear, tell
from seed.source.system import Folders, Got, Wanted, read_batch

BATCH_BYTES = 1 << 20
BATCH_FILES = 512  # so that two answers fit into a pipe: neither side ever waits for the other to read
AHEAD = 2  # batches at each helper
ALONE = 4  # batches before there are helpers
HELPERS_MAX = 6

Deliver = Callable[[Sequence[Row], Sequence[Wanted], Sequence[Got], memoryview], None]


@dataclass
class _Batch:
    """Files read together, and the helper that reads them; `start` is where in its space."""

    rows: list[Row] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    size: int = 0
    helper: "_Helper | None" = None
    start: int = 0


class Gathering:
    """`deliver` is called with the rows of a batch, what was wanted and what became of it, and the bytes of all files end
    to end, good until it returns."""

    def __init__(
        self, master: MasterKey, deliver: Deliver, monitor: Monitor, helpers: int | None = None
    ) -> None:
        self._key = master.content_id
        self._deliver = deliver
        self._monitor = monitor
        self._count = min(os.cpu_count() or 1, HELPERS_MAX) if helpers is None else helpers
        self._helpers: list[_Helper] = []
        self._batch = _Batch()
        self._queue: deque[_Batch] = deque()
        self._sent = 0
        self._folders = Folders()
        self._space: memoryview | None = None

    def add(self, row: Row, wanted: Wanted) -> None:
        """A file to be read, of at most `BATCH_BYTES`."""
        if self._batch.size + wanted.space > BATCH_BYTES or len(self._batch.rows) == BATCH_FILES:
            self._send()
        self._batch.rows.append(row)
        self._batch.wanted.append(wanted)
        self._batch.size += wanted.space

    def drain(self) -> None:
        """Wait until all files so far were delivered."""
        self._send()
        while self._queue:
            self._collect()

    def close(self) -> None:
        self._folders.close()
        for helper in self._helpers:
            helper.close()

    def _send(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if not batch.rows:
            return
        if self._sent == ALONE:
            self._start()
        if len(self._queue) >= AHEAD * max(1, len(self._helpers)):
            self._collect()
        if self._helpers:
            turn, ahead = self._sent % len(self._helpers), self._sent // len(self._helpers) % AHEAD
            batch.start = ahead * BATCH_BYTES
            if self._helpers[turn].take(batch):
                batch.helper = self._helpers[turn]
        self._sent += 1
        self._queue.append(batch)

    def _start(self) -> None:
        try:
            self._helpers += [_Helper(self._key) for _ in range(self._count)]
        except OSError as error:
            self._monitor.notice(f"small files are read by one process alone ({error.strerror})")

    def _collect(self) -> None:
        batch = self._queue.popleft()
        got = batch.helper.answer() if batch.helper is not None else None
        if got is not None and batch.helper is not None:
            data = batch.helper.space[batch.start :]
        else:
            if self._space is None:
                self._space = memoryview(bytearray(BATCH_BYTES))
            data = self._space
            got = read_batch(batch.wanted, data, self._key, self._folders)
        if any(one.errno for one in got):
            # Whoever hears of it may have all others read first, to read that one anew: into this very space.
            data = memoryview(bytes(data[: sum(one.length for one in got)]))
        self._deliver(batch.rows, batch.wanted, got, data)


class _Helper:
    """One process of seed/source/helper.py, and the space that it shares with this one. Raises OSError."""

    def __init__(self, key: bytes) -> None:
        size = AHEAD * BATCH_BYTES
        with _shared_file() as file:
            file.truncate(size)
            self.space = memoryview(mmap.mmap(file.fileno(), size))
            jobs, self._jobs = _pipe()
            self._answers, answers = _pipe()
            numbers = (jobs.fileno(), answers.fileno(), file.fileno())
            # In a session of its own no key of the terminal reaches it: it ends when the pipe does.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "seed.source.helper", *map(str, numbers)],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        jobs.close()
        answers.close()
        self._alive = True
        self._say(size, key)

    def take(self, batch: _Batch) -> bool:
        """Give it a batch to read; False where it has died."""
        return self._say(batch.start, BATCH_BYTES, [tuple(one) for one in batch.wanted])

    def answer(self) -> list[Got] | None:
        """What became of the oldest batch that it took; None where it has died over it."""
        if self._alive:
            with suppress(EOFError, OSError):
                return [Got(*one) for one in hear(self._answers)]
        self._alive = False
        return None

    def close(self) -> None:
        self._jobs.close()
        self._answers.close()
        self._process.wait()

    def _say(self, *message: object) -> bool:
        try:
            if self._alive:
                tell(self._jobs, *message)
        except OSError:
            self._alive = False
        return self._alive


def _pipe() -> tuple[Connection, Connection]:
    """The end to read from, and the one to write to."""
    source, sink = os.pipe()
    return Connection(source, writable=False), Connection(sink, readable=False)


def _shared_file() -> IO[bytes]:
    """A file without a name, in memory where the system has such."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("offseed"), "r+b")
    return tempfile.TemporaryFile()
