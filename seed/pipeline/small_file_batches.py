"""Small files, which workers read, store and seal, several batches at once.

The choice of a worker for a batch changes only the files that share a bundle. This module alone decides which
files are stored already. Only then does a worker lay the other files into its bundle.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from seed.pipeline.chunking import PendingChunk, Sealed
from seed.pipeline.row import PlacedEntry
from seed.pipeline.small_file_table import Place
from seed.pipeline.small_file_worker import AHEAD, LAY, LAY_NEXT, SKIP, Worker
from seed.source.system import BatchResult, Wanted

BATCH_FILES = 1024


@dataclass(slots=True)
class _Batch:
    rows: list[PlacedEntry] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    size: int = 0


class WorkerQueue:
    """One worker, the bundle that it fills, and the questions that it has not answered yet."""

    def __init__(self, worker: Worker, size_max: int) -> None:
        self.worker = worker
        self._size_max = size_max
        self._bundle = PendingChunk(None, 0, None)
        self.asked: deque[_Batch | PendingChunk | None] = (
            deque()
        )  # a batch to read; a bundle to seal, or none
        self.batches = 0  # batches without a decision yet
        self._verdict = bytearray()
        self._closed: PendingChunk | None = None

    def read(self, batch: _Batch) -> None:
        self.batches += 1
        self.asked.append(batch)
        self.worker.ask("read", batch.wanted)

    def skip(self) -> None:
        """Note that the next file of the batch at hand is not kept."""
        self._verdict.append(SKIP)

    def lay(self, length: int) -> Place:
        """Note that the next file of the batch at hand is kept, and return its place."""
        if self._bundle.size + length <= self._size_max:
            self._verdict.append(LAY)
        else:
            self._closed, self._bundle = self._bundle, PendingChunk(None, 0, None)
            self._verdict.append(LAY_NEXT)
        place = self._bundle, self._bundle.size
        self._bundle.size += length
        return place

    def decided(self) -> None:
        """Tell the worker which files of the batch at hand are kept. This fills at most one bundle."""
        self.batches -= 1
        self.asked.append(self._closed)
        self.worker.ask("keep", bytes(self._verdict))
        self._verdict, self._closed = bytearray(), None

    def seal(self) -> None:
        """Have the open bundle sealed, if anything lies in it."""
        if self._bundle.size:
            self.asked.append(self._bundle)
            self.worker.ask("seal")
            self._bundle = PendingChunk(None, 0, None)


Take = Callable[[WorkerQueue, Sequence[PlacedEntry], BatchResult], None]


class SmallFileBatches:
    """The queues of all workers.

    `take` gets the rows of a batch and their results. It decides about each file in turn. `deliver` gets each
    sealed bundle. Neither may ask for more itself; the caller may use `add` once they have returned.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        size_max: int,
        take: Take,
        deliver: Callable[[PendingChunk, Sealed], None],
    ) -> None:
        """Open the queues. The files of a batch together, and a bundle, have at most `size_max` bytes."""
        self._queues = [WorkerQueue(worker, size_max) for worker in workers]
        self._size_max = size_max
        self._take = take
        self._deliver = deliver
        self._batch = _Batch()

    def add(self, row: PlacedEntry, wanted: Wanted) -> None:
        """Add a file to be read. Raises HomeError worker-ended."""
        size = wanted[1]
        batch = self._batch
        if batch.size + size > self._size_max or len(batch.rows) == BATCH_FILES:
            self._send()
            batch = self._batch
        batch.rows.append(row)
        batch.wanted.append(wanted)
        batch.size += size

    def drain(self) -> None:
        """Wait until all files so far are read, and all bundles are sealed. Raises HomeError worker-ended."""
        self._send()
        self._hear_all()
        for queue in self._queues:
            queue.seal()
        self._hear_all()

    def _send(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if not batch.rows:
            return
        self.hear()
        while (queue := min(self._queues, key=lambda queue: queue.batches)).batches >= AHEAD:
            self._wait()
        queue.read(batch)

    def hear(self) -> None:
        """Take in the answers that are there."""
        for queue in self._queues:
            while queue.asked and queue.worker.is_ready():
                self._answered(queue)

    def _hear_all(self) -> None:
        while any(queue.asked for queue in self._queues):
            self._wait()

    def _wait(self) -> None:
        """Wait until a worker has answered. If none has, wait for one with the most questions."""
        asked = [queue for queue in self._queues if queue.asked]
        ready = [queue for queue in asked if queue.worker.is_ready()]
        for queue in ready or [max(asked, key=lambda queue: len(queue.asked))]:
            self._answered(queue)

    def _answered(self, queue: WorkerQueue) -> None:
        asked = queue.asked.popleft()
        answer = queue.worker.answer()
        if isinstance(asked, _Batch):
            self._take(queue, asked.rows, BatchResult(*answer))
            queue.decided()
        elif asked is not None:
            chunk, record_digest, start, length = answer
            asked.named(chunk)
            self._deliver(asked, Sealed(chunk, queue.worker.records[start : start + length], record_digest))
