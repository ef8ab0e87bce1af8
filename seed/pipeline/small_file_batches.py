"""Small files, which workers read, store and seal, several batches at once.

The choice of a worker for a batch changes only the files that share a bundle. A worker keeps the files of a
batch in memory until it hears which of them are new. Only then does it lay these into its bundle.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from seed.pipeline.chunks import PendingChunk, Sealed
from seed.pipeline.row import PlacedEntry
from seed.pipeline.small_file_verdict import ReadBatch, Verdict
from seed.pipeline.small_file_worker import AHEAD, Worker
from seed.source.system import BatchResult, Wanted

BATCH_FILES = 1024

Answer = ReadBatch | tuple[PendingChunk, Sealed]  # a batch that waits for a verdict; or a sealed bundle


@dataclass(slots=True)
class _Batch:
    rows: list[PlacedEntry] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    size: int = 0


class _WorkerQueue:
    """One worker, the bundle that it fills, and the questions that it has not answered yet."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.bundle = PendingChunk(None, 0, None)
        self.asked: deque[_Batch | PendingChunk | None] = (
            deque()
        )  # a batch to read; a bundle to seal, or none
        self.batches = 0  # batches without a verdict yet

    def read(self, batch: _Batch) -> None:
        self.batches += 1
        self.asked.append(batch)
        self.worker.ask("read", batch.wanted)

    def keep(self, verdict: Verdict) -> None:
        """Tell the worker which files of the oldest batch are kept."""
        self.batches -= 1
        self.bundle = verdict.bundle
        self.asked.append(verdict.closed)
        self.worker.ask("keep", bytes(verdict.words))

    def seal(self) -> None:
        """Have the open bundle sealed, if anything lies in it."""
        if self.bundle.size:
            self.asked.append(self.bundle)
            self.worker.ask("seal")
            self.bundle = PendingChunk(None, 0, None)


class SmallFileBatches:
    """The queues of all workers.

    Their answers come from `send`, `hear` and `drain`. The caller goes through all of them, and answers each
    `ReadBatch` by `keep` before it asks for the next.
    """

    def __init__(self, workers: Sequence[Worker], size_max: int) -> None:
        """Open the queues. The files of a batch together, and a bundle, have at most `size_max` bytes."""
        self._queues = [_WorkerQueue(worker) for worker in workers]
        self._size_max = size_max
        self._batch = _Batch()

    def has_room(self, size: int) -> bool:
        """Return whether the batch at hand can take a further file of this size."""
        batch = self._batch
        return batch.size + size <= self._size_max and len(batch.rows) < BATCH_FILES

    def add(self, row: PlacedEntry, wanted: Wanted) -> None:
        """Add a file to the batch at hand, which has room for it."""
        batch = self._batch
        batch.rows.append(row)
        batch.wanted.append(wanted)
        batch.size += wanted[1]

    def send(self) -> Iterator[Answer]:
        """Have the batch at hand read, once a worker is free. Raises HomeError worker-ended."""
        batch, self._batch = self._batch, _Batch()
        if not batch.rows:
            return
        yield from self.hear()
        while (queue := min(self._queues, key=lambda queue: queue.batches)).batches >= AHEAD:
            yield from self._wait()
        queue.read(batch)

    def hear(self) -> Iterator[Answer]:
        """Yield the answers that are there. Raises HomeError worker-ended."""
        for number, queue in enumerate(self._queues):
            while queue.asked and queue.worker.is_ready():
                yield from self._answered(number)

    def keep(self, batch: ReadBatch, verdict: Verdict) -> None:
        """Let the worker of a batch keep the files that are new. Raises HomeError worker-ended."""
        self._queues[batch.worker].keep(verdict)

    def drain(self) -> Iterator[Answer]:
        """Wait until all files so far are read, and all bundles are sealed. Raises HomeError worker-ended."""
        yield from self.send()
        yield from self._hear_all()
        for queue in self._queues:
            queue.seal()
        yield from self._hear_all()

    def _hear_all(self) -> Iterator[Answer]:
        while any(queue.asked for queue in self._queues):
            yield from self._wait()

    def _wait(self) -> Iterator[Answer]:
        """Wait until a worker has answered. If none has, wait for one with the most questions."""
        asked = [number for number, queue in enumerate(self._queues) if queue.asked]
        ready = [number for number in asked if self._queues[number].worker.is_ready()]
        for number in ready or [max(asked, key=lambda number: len(self._queues[number].asked))]:
            yield from self._answered(number)

    def _answered(self, number: int) -> Iterator[Answer]:
        queue = self._queues[number]
        asked = queue.asked.popleft()
        answer = queue.worker.answer()
        if isinstance(asked, _Batch):
            yield ReadBatch(asked.rows, BatchResult(*answer), number, queue.bundle, self._size_max)
        elif asked is not None:
            chunk, record_digest, start, length = answer
            asked.named(chunk)
            yield asked, Sealed(chunk, queue.worker.records[start : start + length], record_digest)
