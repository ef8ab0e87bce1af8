"""Small files, which helpers read, store and seal, several batches at once.

The choice of a helper for a batch changes only the files that share a bundle. This module alone decides which
files are stored already. Only then does a helper lay the other files into its bundle.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from seed.pipeline.chunking import Sealed, Unit
from seed.pipeline.row import Row
from seed.pipeline.small_file_table import Place
from seed.pipeline.small_file_worker import AHEAD, LAY, LAY_NEXT, SKIP, Helper
from seed.source.system import Got, Wanted

BATCH_FILES = 1024


@dataclass(slots=True)
class _Batch:
    rows: list[Row] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    size: int = 0


class Desk:
    """One helper, the bundle that it fills, and the questions that it has not answered yet."""

    def __init__(self, helper: Helper, size_max: int) -> None:
        self.helper = helper
        self._size_max = size_max
        self._bundle = Unit(None, 0, None)
        self.asked: deque[_Batch | Unit | None] = deque()  # a batch to read; a bundle to seal, or none
        self.batches = 0  # batches without a decision yet
        self._verdict = bytearray()
        self._closed: Unit | None = None

    def read(self, batch: _Batch) -> None:
        self.batches += 1
        self.asked.append(batch)
        self.helper.ask("read", batch.wanted)

    def skip(self) -> None:
        """Note that the next file of the batch at hand is not kept."""
        self._verdict.append(SKIP)

    def lay(self, length: int) -> Place:
        """Note that the next file of the batch at hand is kept, and return its place."""
        if self._bundle.size + length <= self._size_max:
            self._verdict.append(LAY)
        else:
            self._closed, self._bundle = self._bundle, Unit(None, 0, None)
            self._verdict.append(LAY_NEXT)
        place = self._bundle, self._bundle.size
        self._bundle.size += length
        return place

    def decided(self) -> None:
        """Tell the helper which files of the batch at hand are kept. This fills at most one bundle."""
        self.batches -= 1
        self.asked.append(self._closed)
        self.helper.ask("keep", bytes(self._verdict))
        self._verdict, self._closed = bytearray(), None

    def seal(self) -> None:
        """Have the open bundle sealed, if anything lies in it."""
        if self._bundle.size:
            self.asked.append(self._bundle)
            self.helper.ask("seal")
            self._bundle = Unit(None, 0, None)


Take = Callable[[Desk, Sequence[Row], Got], None]


class Gathering:
    """The desks of all helpers.

    `take` gets the rows of a batch and their results. It decides about each file in turn. `deliver` gets each
    sealed bundle. Neither may ask for more itself; the caller may use `add` once they have returned.
    """

    def __init__(
        self, helpers: Sequence[Helper], size_max: int, take: Take, deliver: Callable[[Unit, Sealed], None]
    ) -> None:
        """Open the desks. The files of a batch together, and a bundle, have at most `size_max` bytes."""
        self._desks = [Desk(helper, size_max) for helper in helpers]
        self._size_max = size_max
        self._take = take
        self._deliver = deliver
        self._batch = _Batch()

    def add(self, row: Row, wanted: Wanted) -> None:
        """Add a file to be read. Raises HomeError helper-ended."""
        size = wanted[1]
        batch = self._batch
        if batch.size + size > self._size_max or len(batch.rows) == BATCH_FILES:
            self._send()
            batch = self._batch
        batch.rows.append(row)
        batch.wanted.append(wanted)
        batch.size += size

    def drain(self) -> None:
        """Wait until all files so far are read, and all bundles are sealed. Raises HomeError helper-ended."""
        self._send()
        self._hear_all()
        for desk in self._desks:
            desk.seal()
        self._hear_all()

    def _send(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if not batch.rows:
            return
        self.hear()
        while (desk := min(self._desks, key=lambda desk: desk.batches)).batches >= AHEAD:
            self._wait()
        desk.read(batch)

    def hear(self) -> None:
        """Take in the answers that are there."""
        for desk in self._desks:
            while desk.asked and desk.helper.is_ready():
                self._answered(desk)

    def _hear_all(self) -> None:
        while any(desk.asked for desk in self._desks):
            self._wait()

    def _wait(self) -> None:
        """Wait until a helper has answered. If none has, wait for one with the most questions."""
        asked = [desk for desk in self._desks if desk.asked]
        ready = [desk for desk in asked if desk.helper.is_ready()]
        for desk in ready or [max(asked, key=lambda desk: len(desk.asked))]:
            self._answered(desk)

    def _answered(self, desk: Desk) -> None:
        asked = desk.asked.popleft()
        answer = desk.helper.answer()
        if isinstance(asked, _Batch):
            self._take(desk, asked.rows, Got(*answer))
            desk.decided()
        elif asked is not None:
            chunk, record_digest, start, length = answer
            asked.named(chunk)
            self._deliver(asked, Sealed(chunk, desk.helper.records[start : start + length], record_digest))
