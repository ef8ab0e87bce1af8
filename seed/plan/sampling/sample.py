"""A sample of the source for the estimate of a seed: a walk over everything, and a look into a part of it.

Two things decide the size of a seed: how well content compresses, and how much of it is there more than once.
For the first, the sample draws places at random from all bytes, and seals each as an export would. For the
second, it counts repeated content in the large files that it reads through. Otherwise it looks for equal
files among files of equal length, for each order of magnitude apart. It draws so many lengths that a few
hundred files are read. Each estimate comes with its standard error. The sample does not see equal parts of
large files that it did not read through.
"""

import io
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from formats.errors import Interrupted
from formats.keyed.catalog import FILE, CatalogEntry
from formats.keyed.chunk import ChunkSealer
from formats.keyed.chunking import ChunkingParameters
from formats.keyed.keys import MasterKey
from formats.monitor import Finding, Monitor
from formats.store.clock import SYSTEM, Clock
from formats.tables.index import CONTENT
from seed.pipeline.chunking import Cutter
from seed.pipeline.chunks import UNNAMED
from seed.plan.sampling.content import content_of, located, regions_of, within
from seed.plan.sampling.draws import Draws
from seed.plan.sampling.duplicates import Alike
from seed.plan.sampling.share import Stratum, mean, together
from seed.plan.sampling.whole_files import Through
from seed.source.bytes_to_read import to_read
from seed.source.system import FoundEntry

LARGE_PLACES, SMALL_PLACES = 768, 256  # in larger files, and in bundles of small ones
THROUGH_MAX = 8 << 30  # bytes of large files that are read through unasked: a minute of a hard disk
CUT_BEFORE = 2  # mean chunks before a place: cuts then fall as if the file were read from its beginning
PLACE_FILES = 1000  # small files that one place takes in, at most
OPENED_MAX = 30_000  # small files that are opened to see how they compress
FEW = 8  # places: an order of magnitude with fewer takes the mean of all places


@dataclass
class Population:
    """Everything that a run would read.

    `bytes` counts a file of several names once, and holes not at all.
    """

    entries: int = 0
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0  # the duration of the walk


@dataclass(frozen=True)
class SampleResult:
    """The result: `content` is all bytes together; `through` tells if large files were read to their ends."""

    population: Population
    content: Stratum
    through: bool


@dataclass
class SamplePlace:
    """A byte of a large file of this order of magnitude, or small files that would share one bundle."""

    paths: list[bytes]
    at: int
    order: int
    bytes: int


@dataclass(eq=False)
class Sample:
    """A sample of the source: it takes in a walk, and `look` then reads the places that were drawn.

    If it is `thorough`, `take_in` already reads all large files through.
    """

    parameters: ChunkingParameters
    chance: random.Random
    level: int
    thorough: bool = False
    population: Population = field(default_factory=Population)
    clock: Clock = SYSTEM

    def __post_init__(self) -> None:
        self._large = Draws(LARGE_PLACES, self.chance)
        self._small = Draws(SMALL_PLACES, self.chance)
        # The keys say whether the files are small, and give a number or an order of magnitude.
        self._places: dict[tuple[bool, int], SamplePlace] = {}
        self._alike: dict[tuple[bool, int], Alike] = defaultdict(Alike)
        self._filling: dict[int, SamplePlace] = {}
        self._linked: set[tuple[int, int]] = set()
        self._through = Through(self.parameters, self.chance, self.level)
        self._waiting: list[tuple[bytes, int]] = []  # large files, as long as they may be read through
        self._large_bytes = 0

    def take_in(self, walk: Iterable[FoundEntry], monitor: Monitor) -> None:
        """Take in the entries of a walk. Raises Interrupted."""
        met = iter(walk)
        while True:
            began = self.clock.elapsed()
            found = next(met, None)
            self.population.seconds += self.clock.elapsed() - began
            if found is None:
                return
            if monitor.stopping():
                raise Interrupted(2)
            self.population.entries += 1
            entry = CatalogEntry(*found.looked)
            if entry.type == FILE:
                self.population.files += 1
                monitor.progress(files=1)
                self._take(entry, found, monitor)

    def _take(self, entry: CatalogEntry, found: FoundEntry, monitor: Monitor) -> None:
        if entry.links > 1:
            if (entry.device, entry.inode) in self._linked:
                return
            self._linked.add((entry.device, entry.inode))
        size = to_read(found, self.parameters.small_file_max)
        if not size:
            return
        self.population.bytes += size
        order = size.bit_length()
        if entry.size > self.parameters.small_file_max:
            self._take_large(entry.path, size, monitor)
            return
        self._alike[True, order].meet(entry.path, size)
        self._fill(entry.path, size)
        for number, _ in self._small.meet(size):
            self._places[True, number] = self._filling[number] = SamplePlace([entry.path], 0, order, size)

    def _take_large(self, path: bytes, size: int, monitor: Monitor) -> None:
        if self.thorough:
            self._read_through(path, size, monitor)
            return
        self._large_bytes += size
        if self._large_bytes <= THROUGH_MAX:
            self._waiting.append((path, size))
        else:
            self._waiting.clear()
        order = size.bit_length()
        self._alike[False, order].meet(path, size)
        for number, at in self._large.meet(size):
            self._places[False, number] = SamplePlace([path], at, order, size)

    def _read_through(self, path: bytes, size: int, monitor: Monitor) -> None:
        try:
            self._through.read(path, monitor)
        except OSError as error:
            monitor.finding(
                Finding(
                    code="source-unreadable",
                    subject=os.fsdecode(located(path)),
                    detail=error.strerror or str(error),
                )
            )
            self.population.files -= 1
            self.population.bytes -= size

    def _fill(self, path: bytes, size: int) -> None:
        for number, place in list(self._filling.items()):
            if place.bytes + size > self.parameters.bundle_size or len(place.paths) >= PLACE_FILES:
                del self._filling[number]
            else:
                place.paths.append(path)
                place.bytes += size

    def look(self, monitor: Monitor) -> SampleResult:
        """Read the places that were drawn, and return the result. Raises Interrupted."""
        for path, size in self._waiting:
            self._read_through(path, size, monitor)
        through = self._large_bytes <= THROUGH_MAX
        if through:  # of large files, nothing is left to be estimated
            self._places = {key: place for key, place in self._places.items() if key[0]}
            self._alike = {key: alike for key, alike in self._alike.items() if key[0]}
        strata = self._strata(monitor)
        return SampleResult(self.population, together([*strata, self._through.stratum()]), through)

    def _strata(self, monitor: Monitor) -> list[Stratum]:
        """Return a stratum for the files of each order of magnitude, from their places."""
        sealer = ChunkSealer(MasterKey.generate(), self.level)
        stored: dict[tuple[bool, int], list[float]] = defaultdict(list)
        seconds: dict[tuple[bool, int], list[float]] = defaultdict(list)
        cutter = Cutter(MasterKey.generate(), self.parameters)
        opened = 0
        for (small, _), place in sorted(self._places.items()):
            if small and opened > OPENED_MAX:
                break
            if monitor.stopping():
                raise Interrupted(2)
            began = time.thread_time()
            raw = self._read(place, cutter, small=small)
            opened += small * len(place.paths)
            if raw:
                record = sealer.seal(CONTENT, sealer.chunk_id(CONTENT, raw), raw)
                seconds[small, place.order].append((time.thread_time() - began) / len(raw))
                stored[small, place.order].append(len(record) / len(raw))
                monitor.progress(done=len(raw))
        every_stored, every_seconds = _all(stored), _all(seconds)
        strata = []
        for key, alike in self._alike.items():
            enough = len(stored[key]) >= FEW
            share = mean(stored[key] if enough else every_stored)
            each = mean(seconds[key] if enough else every_seconds).of
            strata.append(Stratum(alike.bytes, alike.duplicate(monitor), share, alike.bytes * each))
        return strata

    def _read(self, place: SamplePlace, cutter: Cutter, *, small: bool) -> bytes:
        """Return a bundle of small files, or the chunk of a large file that holds the place."""
        if small:
            most = self.parameters.small_file_max
            return b"".join(content_of(path, [(0, most)]) for path in place.paths)
        (path,) = place.paths
        begin = max(place.at - CUT_BEFORE * self.parameters.mean_size, 0)
        length = place.at - begin + self.parameters.max_size
        read = io.BytesIO(content_of(path, within(regions_of(path), begin, length)))
        found = b""
        for unit in cutter.cut(read.readinto, length):
            if begin <= place.at:
                assert unit.raw is not None
                found = bytes(unit.raw)
            begin += unit.size
            unit.named(UNNAMED)
        return found


def _all(by_key: dict[tuple[bool, int], list[float]]) -> list[float]:
    return [value for values in by_key.values() for value in values]
