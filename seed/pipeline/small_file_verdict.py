"""The two values between the reading of small files and dedup: a batch that was read, and the verdict about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from seed.pipeline.chunks import PendingChunk, Place
from seed.pipeline.row import PlacedEntry
from seed.source.system import BatchResult

# For each file: drop it; put it into the open bundle; seal the open bundle, and put it into the next.
SKIP, LAY, LAY_NEXT = range(3)


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """A batch of small files that a worker has read: their rows, and the results in the same order.

    `bundle` is the open bundle of this `worker`. A bundle has at most `size_max` bytes.
    """

    rows: Sequence[PlacedEntry]
    result: BatchResult
    worker: int
    bundle: PendingChunk
    size_max: int


@dataclass(slots=True)
class Verdict:
    """The decision about a batch: a word for each file in turn, and the places of the kept ones.

    The kept files of a batch fill at most one bundle, which is then `closed`. The `bundle` stays open.
    """

    bundle: PendingChunk
    size_max: int
    words: bytearray = field(default_factory=bytearray)
    closed: PendingChunk | None = None

    def skip(self) -> None:
        """Drop the next file."""
        self.words.append(SKIP)

    def lay(self, length: int) -> Place:
        """Keep the next file, and return its place."""
        if self.bundle.size + length <= self.size_max:
            self.words.append(LAY)
        else:
            self.closed, self.bundle = self.bundle, PendingChunk(None, 0, None)
            self.words.append(LAY_NEXT)
        place = self.bundle, self.bundle.size
        self.bundle.size += length
        return place
