"""The choice between disks and the uplink: sizes, times and the advice, from a sample.

Nothing here reads a file or asks a question. All errors are two standard errors of the sample: nineteen times
in twenty the truth lies within them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seed.plan.sampling.sample import SampleResult

ENTRY_BYTES = 30  # in the catalog, as in exports of source code and of a server's /usr
CHUNK_BYTES = 100  # in indexes, need lists and inventories
CHUNK_MEAN = 512 << 10
METADATA_ERROR = 0.5
CATALOG_SHARE = 1.1  # times the time of the walk: the other work for an entry takes about as long again
USABLE = 0.95  # of a disk's nominal size: ext4 keeps a twentieth, others less
CERTAIN = 2.0  # standard errors
START = 1.2  # seconds, most of them for the passphrase's keys
SIDE_BY_SIDE = 1.2  # times the usual time of a processor, when all of them work
COPY_SPEED = 1.5e9  # bytes a second that one processor hands to the system
READ_SPEED = 1e9  # bytes a second that one thread reads and cuts; only one thread does so
SPEED_ERROR = 0.3  # the share by which these may be wrong, as seen on a few machines
USE_OF_LINE = 0.95  # the share of an uplink's bits that carry content
IMPORT_SPEED = 130e6  # bytes a second, of a hard disk in the datacenter
DAY = 86_400.0
SPEEDS = {"a hard disk": 130e6, "an SSD": 400e6}  # bytes a second over USB 3
RATES = (10e6, 20e6, 50e6, 100e6, 1000e6)  # bits a second
DISK_SIZES = (10**12, 2 * 10**12, 4 * 10**12, 8 * 10**12)
CLEARLY = 1.5  # times faster; a smaller gain is not worth a change of ways
AT_ONCE = 2 * DAY  # an upload that takes no longer needs no disk


@dataclass(frozen=True)
class Estimate:
    """A number, and its error in both directions."""

    of: float
    error: float = 0.0

    @property
    def low(self) -> float:
        return max(self.of - self.error, 0.0)

    @property
    def high(self) -> float:
        return self.of + self.error

    def times(self, factor: float) -> "Estimate":
        return Estimate(self.of * factor, self.error * factor)

    def and_(self, other: float) -> "Estimate":
        return Estimate(self.of + other, self.error)

    def at_least(self, other: "Estimate") -> "Estimate":
        return self if self.of >= other.of else other


@dataclass(frozen=True)
class Plan:
    """The estimates for a seed: bytes, disks of each size at least and at most, seconds."""

    seed: Estimate
    disks: dict[int, tuple[int, int]]
    prepare: Estimate
    export: dict[str, Estimate]
    upload: dict[float, Estimate]
    travel: Estimate
    advice: str


def plan(
    sampled: SampleResult,
    *,
    processors: int,
    uplink: float | None,
    disk_size: int | None,
    courier_days: float,
) -> Plan:
    """Return the plan for a sampled source.

    `uplink` is in bits a second, None if it is not known. `disk_size` is in bytes, None for the usual sizes.
    """
    seed, prepare = seed_size(sampled), preparing(sampled, processors)
    export = {name: seed.times(1 / speed).at_least(prepare) for name, speed in SPEEDS.items()}
    rates = RATES if uplink is None else (uplink,)
    upload = {rate: seed.times(8 / (rate * USE_OF_LINE)).at_least(prepare) for rate in rates}
    slowest = max(export.values(), key=lambda e: e.of)
    travel = Estimate(slowest.of, slowest.error + seed.error / IMPORT_SPEED)
    travel = travel.and_(seed.of / IMPORT_SPEED + courier_days * DAY)
    return Plan(
        seed,
        {size: disks_of(seed, size) for size in (DISK_SIZES if disk_size is None else (disk_size,))},
        prepare,
        export,
        upload,
        travel,
        "" if uplink is None else advised(upload[uplink], travel),
    )


def seed_size(sampled: SampleResult) -> Estimate:
    """Return the bytes of a seed: the content without duplicates, compressed, and the metadata."""
    there, content = sampled.population, sampled.content
    unique = content.unique
    metadata = there.entries * ENTRY_BYTES + unique / CHUNK_MEAN * CHUNK_BYTES
    error = CERTAIN * math.hypot(
        unique * content.stored.error, content.bytes * content.duplicate.error * content.stored.of
    )
    return Estimate(unique * content.stored.of + metadata, math.hypot(error, metadata * METADATA_ERROR))


def preparing(sampled: SampleResult, processors: int) -> Estimate:
    """Return the seconds that this machine takes to read, compress, seal and write everything.

    The estimate holds if the machine never waits for a disk.
    """
    content = sampled.content
    work = content.seconds + content.unique * content.stored.of / COPY_SPEED
    done = max(work * SIDE_BY_SIDE / processors, content.bytes / READ_SPEED)
    seconds = START + done + sampled.population.seconds * (1 + CATALOG_SHARE)
    return Estimate(seconds, seconds * SPEED_ERROR)


def disks_of(seed: Estimate, size: int) -> tuple[int, int]:
    """Return how many disks of that size are needed, at least and at most."""
    least, most = (max(math.ceil(bytes_ / (size * USABLE)), 1) for bytes_ in (seed.low, seed.high))
    return least, most


def advised(upload: Estimate, travel: Estimate) -> str:
    """Return `ship`, `send`, or `either` if the times are too near to each other to say."""
    if upload.high <= AT_ONCE or upload.high * CLEARLY <= travel.low:
        return "send"
    return "ship" if travel.high * CLEARLY <= upload.low else "either"


def span(bounds: Sequence[int]) -> str:
    """Return `3`, or `3 to 4`."""
    least, most = bounds
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
