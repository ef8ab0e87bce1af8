"""What a seed would come to, from a walk over everything and a look into a little of it.

Two things decide how large it is. How well content compresses is seen at places that are drawn at random from all bytes, each
sealed as an export would seal it. How many files there are more than once is seen among files of equal length: of each order of
magnitude so many lengths are drawn that a few hundred files are read. Both estimates come with their standard errors.
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

DRAWS = 1024
ALIKE_MAX = 512  # files of one order of magnitude that are compared, and of one length
WHOLE_MAX = 1 << 20  # bytes: of longer files the beginning, the middle and the end are compared
PART = 64 << 10

READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


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
    """`duplicate` is the share of the bytes that lies in files met before, `stored` what is left of the others once they are
    sealed; `seal_seconds` of one processor and `read_seconds` for each byte."""

    population: Population
    duplicate: Share
    stored: Share
    seal_seconds: float
    read_seconds: float


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
    """A byte of a large file, or the small files that would share a bundle with the first of them."""

    paths: list[bytes]
    at: int
    small: bool
    bytes: int = 0


class Alike:
    """Files of one order of magnitude by their lengths: those of all lengths, until there are too many; then those of every
    second, fourth … length."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lengths: dict[int, list[bytes]] = defaultdict(list)
        self._kept = self._halved = 0

    def meet(self, path: bytes, size: int) -> None:
        self.bytes += size
        if not self._is_drawn(size) or len(self._lengths[size]) >= ALIKE_MAX:
            return
        self._lengths[size].append(path)
        self._kept += 1
        while self._kept > ALIKE_MAX and len(self._lengths) > 1:
            self._halved += 1
            self._lengths = defaultdict(
                list, {s: paths for s, paths in self._lengths.items() if self._is_drawn(s)}
            )
            self._kept = sum(map(len, self._lengths.values()))

    def _is_drawn(self, size: int) -> bool:
        mixed = size * 0x9E3779B97F4A7C15 >> 20  # Knuth's multiplicative hashing
        return not mixed & (1 << self._halved) - 1

    def duplicate(self, stopping: Monitor) -> Share:
        """The share of the bytes that is met again. Of lengths drawn together one is a cluster: a ratio estimate
        (Cochran, Sampling Techniques, 1977, section 9A.1)."""
        seen = [
            (size * len(paths), size * (len(paths) - len(set(_digests(paths, size, stopping)))))
            for size, paths in self._lengths.items()
        ]
        total = sum(size for size, _ in seen)
        if not total:
            return Share(0.0)
        share = sum(again for _, again in seen) / total
        if not self._halved or len(seen) < 2:
            return Share(share)
        spread = sum((again - share * size) ** 2 for size, again in seen)
        return Share(share, math.sqrt(spread * len(seen) / (len(seen) - 1)) / total)


@dataclass
class Sample:
    """Takes in a walk; `look` then reads what was drawn."""

    parameters: ChunkingParameters
    chance: random.Random
    population: Population = field(default_factory=Population)

    def __post_init__(self) -> None:
        self._draws = Draws(DRAWS, self.chance)
        self._places: dict[int, Place] = {}
        self._filling: dict[int, Place] = {}
        self._alike: dict[int, Alike] = defaultdict(Alike)
        self._linked: set[tuple[int, int]] = set()

    def take_in(self, walk: Iterable[Found], monitor: Monitor) -> None:
        """Raises Interrupted."""
        began = time.monotonic()
        for found in walk:
            if monitor.stopping():
                raise Interrupted(2)
            entry = Entry(*found.looked)
            self.population.entries += 1
            if entry.type != FILE:
                continue
            self.population.files += 1
            monitor.progress(files=1)
            if entry.links > 1:
                if (entry.device, entry.inode) in self._linked:
                    continue
                self._linked.add((entry.device, entry.inode))
            if size := self._read_of(entry):
                self._meet(entry.path, size, small=entry.size <= self.parameters.small_file_max)
        self.population.seconds = time.monotonic() - began

    def _read_of(self, entry: Entry) -> int:
        """The bytes that an export reads of a file: holes of large ones are passed over."""
        if entry.size > self.parameters.small_file_max and sys.platform != "win32":
            with suppress(OSError):
                return min(entry.size, os.lstat(_located(entry.path)).st_blocks * 512)
        return entry.size

    def _meet(self, path: bytes, size: int, *, small: bool) -> None:
        self.population.bytes += size
        self._alike[size.bit_length()].meet(path, size)
        if small:
            self._fill(path, size)
        for number, at in self._draws.meet(size):
            self._places[number] = place = Place([path], at, small, size)
            self._filling.pop(number, None)
            if small:
                self._filling[number] = place

    def _fill(self, path: bytes, size: int) -> None:
        for number, place in list(self._filling.items()):
            if place.bytes + size > self.parameters.bundle_size:
                del self._filling[number]
            else:
                place.paths.append(path)
                place.bytes += size

    def look(self, level: int, monitor: Monitor) -> Sampled:
        """Read what was drawn. Raises Interrupted."""
        sealer = ChunkSealer(MasterKey.generate(), level)
        shares, read, sealed, total = [], 0.0, 0.0, 0
        for place in self._places.values():
            if monitor.stopping():
                raise Interrupted(2)
            began = time.monotonic()
            raw = self._read(place)
            read += time.monotonic() - began
            if not raw:
                continue
            began = time.thread_time()
            record = sealer.seal(CONTENT, sealer.chunk_id(CONTENT, raw), raw)
            sealed += time.thread_time() - began
            total += len(raw)
            shares.append(len(record) / len(raw))
            monitor.progress(done=len(raw))
        return Sampled(
            self.population,
            self._duplicate(monitor),
            Share(statistics.fmean(shares), _error(shares)) if shares else Share(1.0),
            sealed / max(total, 1),
            read / max(total, 1),
        )

    def _duplicate(self, monitor: Monitor) -> Share:
        """Over all orders of magnitude, each by its weight."""
        total = max(self.population.bytes, 1)
        shares = [(alike.bytes / total, alike.duplicate(monitor)) for alike in self._alike.values()]
        return Share(
            sum(weight * share.of for weight, share in shares),
            math.sqrt(sum((weight * share.error) ** 2 for weight, share in shares)),
        )

    def _read(self, place: Place) -> bytes:
        if place.small:
            return b"".join(_content(path, 0, self.parameters.small_file_max) for path in place.paths)
        return _content(place.paths[0], place.at, self.parameters.mean_size, in_data=True)


def _error(shares: list[float]) -> float:
    return statistics.stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else 0.0


def _located(path: bytes) -> bytes:
    return b"/" + path if os.name == "posix" else path


def _content(path: bytes, at: int, length: int, *, in_data: bool = False) -> bytes:
    """So much of a file from there on, `in_data` counted without its holes; nothing where it cannot be read any more."""
    with suppress(OSError):
        handle = os.open(_located(path), READ_FLAGS)
        try:
            if in_data:
                at = _in_data(data_extents(handle, os.fstat(handle).st_size), at)
            os.lseek(handle, at, os.SEEK_SET)
            return os.read(handle, length)
        finally:
            os.close(handle)
    return b""


def _in_data(regions: Iterable[tuple[int, int]], at: int) -> int:
    for start, length in regions:
        if at < length:
            return start + at
        at -= length
    return 0


def _digests(paths: list[bytes], size: int, monitor: Monitor) -> Iterator[bytes]:
    """What tells files of one length apart; of one that cannot be read, its path. One of its kind need not be read."""
    for path in paths if len(paths) > 1 else ():
        if monitor.stopping():
            raise Interrupted(2)
        if size <= WHOLE_MAX:
            parts = [_content(path, 0, size)]
        else:
            parts = [_content(path, at, PART) for at in (0, size // 2, size - PART)]
        yield blake3(b"".join(parts)).digest() if any(parts) else path
    if len(paths) == 1:
        yield paths[0]
