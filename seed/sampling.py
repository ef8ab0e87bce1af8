"""What a seed would come to, from a walk over everything and a look into a little of it.

Two things decide how large it is, and both are estimated for files of each order of magnitude apart. How well content compresses is
seen at places that are drawn at random from all bytes, each sealed as an export would seal it. How many files there are more than
once is seen among files of equal length: so many lengths are drawn that a few hundred files are read. Both come with their standard
errors. What is alike within large files, and not as a whole, is not seen: a seed may be smaller for that.
"""

import heapq
import math
import os
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from blake3 import blake3

from formats.errors import Interrupted
from formats.keyed.catalog import FILE, Entry
from formats.keyed.chunk import ChunkSealer
from formats.keyed.keys import MasterKey
from formats.keyed.slots import ChunkingParameters
from formats.monitor import Monitor
from formats.tables.index import CONTENT
from seed.source.system import Found, data_extents

LARGE_PLACES, SMALL_PLACES = 768, 256  # in larger files, and in bundles of small ones
PLACE_FILES = 1000  # small files that one place takes in, at most
OPENED_MAX = 30_000  # small files that are opened to see how they compress
ALIKE_MAX = 512  # files of one order of magnitude that are compared
WHOLE_MAX = 1 << 20  # bytes: of longer files the beginning, the middle and the end are compared
PART = 64 << 10
FEW = 8  # places: with fewer, an order of magnitude is taken for what all are
RULE_OF_THREE = (
    1.5  # of none in n it is 3/n at most, nineteen times in twenty; half of that is a standard error
)

READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

Region = tuple[int, int]  # offset and length


@dataclass(frozen=True)
class Share:
    """A part of 1, and its standard error."""

    of: float
    error: float = 0.0


@dataclass
class Population:
    """All that would be read. `bytes` counts a file of several names once, and holes not at all."""

    entries: int = 0
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0  # that the walk took


@dataclass(frozen=True)
class Sampled:
    """`duplicate` is the share of the bytes that lies in files met before; `stored` what is left of the others once they are sealed,
    as a share of them; `sealing` the seconds of one processor for each of their bytes."""

    population: Population
    duplicate: Share
    stored: Share
    sealing: float


class Draws:
    """Places drawn with replacement from all bytes that pass by, of which nobody knows beforehand how many there are.

    Each is drawn anew when the total passes its next threshold: after one at `t` bytes the next comes at `t / u`, u uniform
    in (0, 1], so that at any time each place is equally likely to be any byte (the exponential jumps of Efraimidis and
    Spirakis, Weighted random sampling with a reservoir, 2006, for samples of one).
    """

    def __init__(self, count: int, chance: random.Random) -> None:
        self._chance = chance
        self._due = [(1.0 - chance.random(), number) for number in range(count)]
        heapq.heapify(self._due)
        self._passed = 0

    def meet(self, size: int) -> Iterator[tuple[int, int]]:
        """The places that are drawn anew from the next `size` bytes: which, and at which of these."""
        end = self._passed + size
        while self._due[0][0] <= end:
            threshold, number = self._due[0]
            yield number, min(max(int(threshold) - self._passed, 0), size - 1)
            heapq.heapreplace(self._due, (threshold / (1.0 - self._chance.random()), number))
        self._passed = end


@dataclass
class Place:
    """A byte of a large file, in a file of that order of magnitude; or small files that would share a bundle with the first."""

    paths: list[bytes]
    at: int
    order: int
    bytes: int


class Alike:
    """Files of one order of magnitude by their lengths: those of all lengths, until there are too many; then those of about every
    second, fourth … length."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lengths: dict[int, list[bytes]] = defaultdict(list)
        self._met: dict[int, int] = defaultdict(int)  # files of each length that is drawn
        self._kept = self._halved = 0

    def meet(self, path: bytes, size: int) -> None:
        self.bytes += size
        if not self._is_drawn(size):
            return
        self._met[size] += 1
        if len(self._lengths[size]) >= ALIKE_MAX:
            return
        self._lengths[size].append(path)
        self._kept += 1
        while self._kept > ALIKE_MAX and len(self._lengths) > 1:
            self._halved += 1
            for length in [length for length in self._lengths if not self._is_drawn(length)]:
                self._kept -= len(self._lengths.pop(length))
                del self._met[length]

    def _is_drawn(self, size: int) -> bool:
        if not self._halved:
            return True
        return (
            not int.from_bytes(blake3(size.to_bytes(8, "little")).digest(8), "little")
            & (1 << self._halved) - 1
        )

    def duplicate(self, stopping: Monitor) -> Share:
        """The share of the bytes that is met again. Of lengths drawn together each is a cluster: a ratio estimate (Cochran, Sampling
        Techniques, 1977, section 9A.1). Of a length with more files than are compared, what lies between those that
        were seen and all of them is unknown."""
        seen: list[tuple[float, float]] = []
        unknown = 0.0
        for size, paths in self._lengths.items():
            count = self._met[size]
            again = (len(paths) - len(set(_digests(paths, size, stopping)))) / len(paths)
            seen.append((size * count, size * count * again))
            if count > len(paths):
                unknown += size * count * (1 - again) / 2
        total = sum(size for size, _ in seen)
        if not total:
            return Share(0.0)
        share = sum(again for _, again in seen) / total
        error = unknown / total
        if self._halved:
            spread = sum((again - share * size) ** 2 for size, again in seen)
            clusters = len(seen)
            sampled = math.sqrt(spread * clusters / max(clusters - 1, 1)) / total
            error += max(sampled, min(RULE_OF_THREE / clusters, 1 - share))
        return Share(share, error)


@dataclass
class Sample:
    """Takes in a walk; `look` then reads what was drawn."""

    parameters: ChunkingParameters
    chance: random.Random
    population: Population = field(default_factory=Population)

    def __post_init__(self) -> None:
        self._large = Draws(LARGE_PLACES, self.chance)
        self._small = Draws(SMALL_PLACES, self.chance)
        self._places: dict[
            tuple[bool, int], Place
        ] = {}  # by whether it is one of small files, and its number
        self._filling: dict[int, Place] = {}
        self._alike: dict[int, Alike] = defaultdict(Alike)
        self._linked: set[tuple[int, int]] = set()

    def take_in(self, walk: Iterable[Found], monitor: Monitor) -> None:
        """Raises Interrupted."""
        met = iter(walk)
        while True:
            began = time.perf_counter()
            found = next(met, None)
            self.population.seconds += time.perf_counter() - began
            if found is None:
                return
            if monitor.stopping():
                raise Interrupted(2)
            self.population.entries += 1
            entry = Entry(*found.looked)
            if entry.type == FILE:
                self.population.files += 1
                monitor.progress(files=1)
                self._take(entry)

    def _take(self, entry: Entry) -> None:
        if entry.links > 1:
            if (entry.device, entry.inode) in self._linked:
                return
            self._linked.add((entry.device, entry.inode))
        size = self._read_of(entry)
        if not size:
            return
        self.population.bytes += size
        order = size.bit_length()
        self._alike[order].meet(entry.path, size)
        if entry.size > self.parameters.small_file_max:
            for number, at in self._large.meet(size):
                self._places[False, number] = Place([entry.path], at, order, size)
            return
        self._fill(entry.path, size)
        for number, _ in self._small.meet(size):
            self._places[True, number] = self._filling[number] = Place([entry.path], 0, order, size)

    def _read_of(self, entry: Entry) -> int:
        """The bytes that an export reads of a file: holes of large ones are passed over."""
        if entry.size > self.parameters.small_file_max and sys.platform != "win32":
            with suppress(OSError):
                if os.lstat(_located(entry.path)).st_blocks * 512 < entry.size:  # holes; or it is compressed
                    return sum(length for _, length in _regions(entry.path))
        return entry.size

    def _fill(self, path: bytes, size: int) -> None:
        for number, place in list(self._filling.items()):
            if place.bytes + size > self.parameters.bundle_size or len(place.paths) >= PLACE_FILES:
                del self._filling[number]
            else:
                place.paths.append(path)
                place.bytes += size

    def look(self, level: int, monitor: Monitor) -> Sampled:
        """Read what was drawn. Raises Interrupted."""
        sealer = ChunkSealer(MasterKey.generate(), level)
        stored: dict[int, list[float]] = defaultdict(list)
        sealing: dict[int, list[float]] = defaultdict(list)
        opened = 0
        for (small, _), place in sorted(self._places.items()):
            if small and opened > OPENED_MAX:
                break
            if monitor.stopping():
                raise Interrupted(2)
            raw = self._read(place, small=small)
            opened += small * len(place.paths)
            if raw:
                began = time.thread_time()
                record = sealer.seal(CONTENT, sealer.chunk_id(CONTENT, raw), raw)
                sealing[place.order].append((time.thread_time() - began) / len(raw))
                stored[place.order].append(len(record) / len(raw))
                monitor.progress(done=len(raw))
        return self._weighed(stored, sealing, monitor)

    def _weighed(
        self, stored: dict[int, list[float]], sealing: dict[int, list[float]], monitor: Monitor
    ) -> Sampled:
        """All orders of magnitude together, each by the bytes that are left of it."""
        total = max(self.population.bytes, 1)
        all_stored = [share for shares in stored.values() for share in shares]
        all_sealing = [seconds for some in sealing.values() for seconds in some]
        again = again_error = unique = kept = kept_error = seconds = 0.0
        for order, alike in self._alike.items():
            duplicate, weight = alike.duplicate(monitor), alike.bytes / total
            share = _mean(stored[order] if len(stored[order]) >= FEW else all_stored)
            again += weight * duplicate.of
            again_error += (weight * duplicate.error) ** 2
            left = weight * (1 - duplicate.of)
            unique += left
            kept += left * share.of
            kept_error += (left * share.error) ** 2
            seconds += left * _mean(sealing[order] if len(sealing[order]) >= FEW else all_sealing).of
        return Sampled(
            self.population,
            Share(again, math.sqrt(again_error)),
            Share(kept / unique, math.sqrt(kept_error) / unique) if unique else Share(1.0),
            seconds / unique if unique else 0.0,
        )

    def _read(self, place: Place, *, small: bool) -> bytes:
        if small:
            most = self.parameters.small_file_max
            return b"".join(_content(path, [(0, most)]) for path in place.paths)
        block = self.parameters.mean_size
        begin = place.at // block * block  # whole blocks: no more short ones than an export makes
        return _content(place.paths[0], _within(_regions(place.paths[0]), begin, block))


def _mean(values: list[float]) -> Share:
    if not values:
        return Share(1.0)
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Share(statistics.fmean(values), error)


def _located(path: bytes) -> bytes:
    return b"/" + path if os.name == "posix" else path


def _regions(path: bytes) -> list[Region]:
    """The data regions of a file; none where it cannot be read any more."""
    with suppress(OSError):
        handle = os.open(_located(path), READ_FLAGS)
        try:
            return list(data_extents(handle, os.fstat(handle).st_size))
        finally:
            os.close(handle)
    return []


def _within(regions: Iterable[Region], at: int, length: int) -> Iterator[Region]:
    """So much from there on of what is left of a file without its holes."""
    for start, size in regions:
        if at < size and length > 0:
            taken = min(size - at, length)
            yield start + at, taken
            length -= taken
        at = max(at - size, 0)


def _content(path: bytes, regions: Iterable[Region]) -> bytes:
    """These parts of a file, end to end; what cannot be read any more is missing."""
    parts = []
    with suppress(OSError):
        handle = os.open(_located(path), READ_FLAGS)
        try:
            for start, length in regions:
                os.lseek(handle, start, os.SEEK_SET)
                parts.append(os.read(handle, length))
        finally:
            os.close(handle)
    return b"".join(parts)


def _digests(paths: list[bytes], size: int, monitor: Monitor) -> Iterator[bytes]:
    """What tells files of one length apart; of one that cannot be read, its path. One of its kind need not be read."""
    if len(paths) == 1:
        yield paths[0]
        return
    for path in paths:
        if monitor.stopping():
            raise Interrupted(2)
        if size <= WHOLE_MAX:
            read = _content(path, _within(_regions(path), 0, size))
        else:
            regions = _regions(path)
            parts = [part for at in (0, size // 2, size - PART) for part in _within(regions, at, PART)]
            read = repr(regions if len(regions) > 1 else ()).encode() + _content(path, parts)
        yield blake3(read).digest() if read else path
