"""The facts of a report. Each side gathers them in its own way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from formats.documents.manifest import Manifest
from formats.ids import ArchiveName
from formats.rules.completeness import Completeness
from formats.rules.replacements import Stock
from formats.tables.holdings import Holding
from formats.tables.needs import Need

# The states of an archive on a disk, the worst last.
ARRIVED, UNNEEDED, AWAITED, DAMAGED, MISSING = "arrived", "not needed", "awaited", "damaged", "missing"
STATES = (ARRIVED, UNNEEDED, AWAITED, DAMAGED, MISSING)


@dataclass(frozen=True)
class PointFact:
    """A recovery point.

    It builds upon `needed_bytes` of archives; no earlier point needed `new_bytes` of them. `missing` archives
    are not there, and it `awaits` disks that may bring them.
    """

    machine: str
    point: str
    created: int
    kind: str
    files: int
    file_bytes: int
    needed_bytes: int
    new_bytes: int
    standing: str
    missing: int
    awaits: tuple[str, ...]

    @classmethod
    def of(cls, m: Manifest, bytes_: tuple[int, int], standing: Completeness | None) -> Self:
        """Return the fact for a manifest, with `bytes_` from `new_bytes`.

        `standing` is None if the vault was not reached.
        """
        known = standing or Completeness(0, 0)
        return cls(
            machine=m.machine_name,
            point=m.point,
            created=m.created,
            kind=m.point_kind,
            files=m.totals.files,
            file_bytes=m.totals.file_bytes,
            needed_bytes=bytes_[0],
            new_bytes=bytes_[1],
            standing=known.of(m) if standing is not None else "the vault was not reached",
            missing=known.missing,
            awaits=tuple(f"disk {d.number} of {d.disks} of set {d.set[:8]}" for d in known.awaited),
        )


@dataclass(frozen=True)
class DiskFact:
    """A disk of a set. `archives` are the states of its archives, in their order on the disk.

    `speed` is in bytes a second, of writing it, or of reading it at the datacenter.
    """

    machine: str
    set: str
    number: int
    state: str
    bytes: int
    speed: float | None
    history: tuple[str, ...]
    archives: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.set[:8]}/{self.number}"


@dataclass(frozen=True)
class JobFact:
    """A piece of work that ran, or runs."""

    kind: str
    began: int
    seconds: int | None
    state: str
    bytes: int
    findings: int
    detail: str


@dataclass
class ReportPage:
    """The content of a report, and its page as `html`.

    `waiting` lists the other things to wait for, beside the disks of the points.
    """

    points: list[PointFact] = field(default_factory=list)
    disks: list[DiskFact] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    jobs: list[JobFact] = field(default_factory=list)
    html: str = ""


def new_bytes(points: Iterable[Mapping[ArchiveName, Need]], there: Stock | None) -> list[tuple[int, int]]:
    """Return for each point, in order, the bytes that it builds upon, and the new ones among them.

    New bytes are those that no point before it needed. An archive that replaces another counts in its place,
    as far as the archives that are `there` are known.
    """
    known: set[Holding] = set()
    found = []
    for needed in points:
        upon: set[Holding] = set()
        for need in needed.values():
            by = [] if there is None or there.holds(need.archive) else there.stand_ins(need.archive)
            upon.update(by or [need.archive])
        found.append((_size(upon), _size(upon - known)))
        known |= upon
    return found


def _size(archives: Iterable[Holding]) -> int:
    return sum(archive.size for archive in archives)


def state_of(archive: Holding, need: Need | None, there: Stock | None, *, comes: bool) -> str:
    """Return the state of a disk's archive in a vault; a missing one may still come from the disk (`comes`).

    `need` is the live part of the archive there, None if nothing is live.
    """
    if there is not None and there.holds(archive):
        return ARRIVED
    if there is None or comes:
        return AWAITED
    if need is None:
        return UNNEEDED
    short = there.lacking(need)
    if short is None:
        return ARRIVED  # others replace all needed records
    return DAMAGED if short.live_count() < need.live_count() else MISSING


def worst(states: Sequence[str]) -> str:
    return max(states, key=STATES.index)
