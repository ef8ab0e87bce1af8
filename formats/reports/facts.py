"""What a report tells of, gathered by either side in its own way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from formats.documents.manifest import Manifest
from formats.ids import ArchiveName
from formats.replaced import Stock
from formats.standing import Standing
from formats.tables.holdings import Holding
from formats.tables.needs import Need

# How an archive of a disk stands, the worst last.
ARRIVED, UNNEEDED, AWAITED, DAMAGED, MISSING = "arrived", "not needed", "awaited", "damaged", "missing"
STATES = (ARRIVED, UNNEEDED, AWAITED, DAMAGED, MISSING)


@dataclass(frozen=True)
class PointFact:
    """A recovery point. `needed_bytes` of archives it builds upon, `new_bytes` of them no earlier point did;
    `missing` of them are not there, and it `awaits` disks that may bring them."""

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
    def of(cls, m: Manifest, bytes_: tuple[int, int], standing: Standing | None) -> Self:
        """By its manifest, `bytes_` as `new_bytes` has them; `standing` None where the vault was not reached."""
        known = standing or Standing(0, 0)
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
    """A disk of a set; `speed` in bytes a second at which it was written, or read at the datacenter; `archives` are the states of
    those that lie on it, in their order there."""

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
class Told:
    """All that a report tells, `waiting` beside what points wait for; and the page that does."""

    points: list[PointFact] = field(default_factory=list)
    disks: list[DiskFact] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    jobs: list[JobFact] = field(default_factory=list)
    html: str = ""


def new_bytes(points: Iterable[Mapping[ArchiveName, Need]], there: Stock | None) -> list[tuple[int, int]]:
    """Of points in their order, by what each needs: the bytes it builds upon, and those of them that none before it did. What
    stands in for an archive counts in its place, as far as is known what is `there`."""
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
    """How an archive that lies on a disk stands in a vault, of which `need` is live there, None where nothing is; what is not there
    may still come from the disk."""
    if there is not None and there.holds(archive):
        return ARRIVED
    if there is None or comes:
        return AWAITED
    if need is None:
        return UNNEEDED
    short = there.lacking(need)
    if short is None:
        return ARRIVED  # others stand in for all that is needed of it
    return DAMAGED if short.live_count() < need.live_count() else MISSING


def worst(states: Sequence[str]) -> str:
    return max(states, key=STATES.index)
