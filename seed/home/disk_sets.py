"""The disk sets of a home: the disks that it has written, and their state since then."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from formats.documents import envelope
from formats.documents.codec import Record, choice, flag, hexed, integer, many, member, nested, optional, text
from formats.documents.disk import DISKS_MAX, SetDocument
from formats.errors import UsageError
from formats.ids import HexDigest, PointId, SetId
from formats.records import read_record, write_record
from seed.home.home import ITEM, ITEMS_MAX, Home, LeftOut
from seed.home.schedule import COMMAND_MAX

SENT_MAX = 4 * DISKS_MAX


class DiskState(Record):
    """One disk of a set, as this home has seen it.

    `dropped` means that its owner gave it up. `arrived` means that the vault was seen to have received it.

    `generation` and `inventory` belong to the newest inventory, which closes the disk. `inventory` is None as
    soon as a run writes more. `closed_by` and `closed_with` belong to the inventory that an export has put,
    because verifications add no object. `mounted` says whether the disk was a file system of its own.

    `begun` is the time of its label, `closed_at` the time of closing, `verified_at` the time of the last
    reading back. Each is 0 if it never happened. `write_ms` and `write_bytes` count the time and bytes that
    made its archives durable.
    """

    number: int = member(integer(1, DISKS_MAX))
    disk: str = member(hexed(16))
    label: HexDigest | None = member(optional(hexed(32)), default=None)
    generation: int = member(integer(), default=0)
    closed_by: int = member(integer(), default=0)
    closed_with: HexDigest | None = member(optional(hexed(32)), default=None)
    inventory: HexDigest | None = member(optional(hexed(32)), default=None)
    mounted: bool = member(flag(), default=False)
    dropped: bool = member(flag(), default=False)
    arrived: bool = member(flag(), default=False)
    begun: int = member(integer(), default=0)
    closed_at: int = member(integer(), default=0)
    verified_at: int = member(integer(), default=0)
    write_ms: int = member(integer(), default=0)
    write_bytes: int = member(integer(), default=0)

    @property
    def verified(self) -> bool:
        """Whether it was read back as it is now."""
        return self.inventory is not None and self.generation > self.closed_by


class CourierNote(Record):
    """A disk given to a courier: the time, the courier, its number, and whether the vault was `told`."""

    number: int = member(integer(1, DISKS_MAX))
    at: int = member(integer())
    carrier: str | None = member(optional(text(100)), default=None)
    tracking: str | None = member(optional(text(100)), default=None)
    note: str | None = member(optional(text(500)), default=None)
    told: bool = member(flag(), default=False)

    @property
    def what(self) -> tuple[int, int, str | None, str | None, str | None]:
        """The fields that tell one sending from another."""
        return self.number, self.at, self.carrier, self.tracking, self.note


class SetState(Record):
    """One disk set of this home. It is open until its set document is put, or until it is given up.

    `announced` means that the vault knows of the finished set. `began` is in seconds since 1970. `again`
    means that it was begun although another set was there. `warnings` counts the findings of its export.

    `resends` names the disks that this set replaces. `resent` is the point with the content that was sent
    again for disks that were given up. `before` and `after` are the commands that run beside its export.
    `given_back` counts the disks that were begun and could hold nothing.

    `given_up_at` is the time when the whole set was last given up. `unsaid` means that the vault does not
    know that, or does not know that the set was taken back.
    """

    set: SetId = member(hexed(16))
    point: PointId = member(hexed(16))
    began: int = member(integer())
    items: tuple[bytes, ...] = member(many(ITEM, ITEMS_MAX))
    disks: tuple[DiskState, ...] = member(many(nested(DiskState), DISKS_MAX), default=())
    status: str = member(choice("open", "finished", "abandoned"), default="open")
    slots_on_disk: bool = member(flag(), default=True)
    announced: bool = member(flag(), default=False)
    again: bool = member(flag(), default=False)
    left_out: LeftOut = member(nested(LeftOut), default=LeftOut())
    resends: str | None = member(optional(text(200)), default=None)
    resent: PointId | None = member(optional(hexed(16)), default=None)
    given_back: int = member(integer(), default=0)
    before: str = member(text(COMMAND_MAX), default="")
    after: str = member(text(COMMAND_MAX), default="")
    warnings: int = member(integer(), default=0)
    unsaid: bool = member(flag(), default=False)
    given_up_at: int = member(integer(), default=0)
    sent: tuple[CourierNote, ...] = member(many(nested(CourierNote), SENT_MAX), default=())

    @property
    def written(self) -> bool:
        """Whether anything of it lies on a disk."""
        return any(disk.label for disk in self.disks)

    @property
    def goes_on(self) -> bool:
        """Whether it was begun on a disk and is not finished."""
        return self.status == "open" and self.written

    @property
    def disks_by_number(self) -> dict[int, DiskState]:
        return {disk.number: disk for disk in self.disks}

    def with_disk(self, disk: DiskState) -> "SetState":
        """Return this state with the new state of one of its disks, in order of their numbers."""
        others = [d for d in self.disks if d.number != disk.number]
        return replace(self, disks=tuple(sorted([*others, disk], key=lambda d: d.number)))


class KeptSet:
    """The state of one set. The home keeps it at every change. Any thread may call it."""

    def __init__(self, folder: Path, state: SetState) -> None:
        self.folder = folder
        self.state = state
        self._lock = threading.Lock()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the state of a set from its folder. Raises HomeError home-damaged."""
        return cls(folder, read_record(folder / "set.json", SetState))

    def save(self) -> None:
        write_record(self.folder / "set.json", self.state)

    def change(self, **changes: object) -> None:
        with self._lock:
            self._renew()
            self.state = replace(self.state, **changes)  # type: ignore[arg-type]
            self.save()

    def know(self, disk: DiskState) -> None:
        """Keep the new state of one of the set's disks."""
        with self._lock:
            self._renew()
            self.state = self.state.with_disk(disk)
            self.save()

    def forget(self, disk: DiskState) -> None:
        """Keep that a disk holds nothing of the set.

        If no inventory has named it, another disk gets its number.
        """
        if disk.generation:
            self.know(replace(disk, dropped=True))
            return
        with self._lock:
            self._renew()
            others = tuple(d for d in self.state.disks if d.number != disk.number)
            self.state = replace(self.state, disks=others, given_back=self.state.given_back + 1)
            self.save()
        self.journal(disk.number).unlink(missing_ok=True)

    def send(self, sendings: Sequence[CourierNote]) -> None:
        """Keep that disks were sent, each once."""
        with self._lock:
            self._renew()
            known = {sent.what for sent in self.state.sent}
            new = tuple(sent for sent in sendings if sent.what not in known)
            self.state = replace(self.state, sent=(*self.state.sent, *new))
            self.save()

    def told(self, sent: CourierNote) -> None:
        """Keep that the vault knows of a sending."""
        with self._lock:
            self._renew()
            rows = (
                replace(other, told=True) if other.what == sent.what else other for other in self.state.sent
            )
            self.state = replace(self.state, sent=tuple(rows))
            self.save()

    def _renew(self) -> None:
        """Read the state again, because others in this process may have kept changes."""
        if (self.folder / "set.json").exists():
            self.state = read_record(self.folder / "set.json", SetState)

    @property
    def cache(self) -> Path:
        """The folder of the store that keeps the set's metadata: catalog, indexes, need lists, manifest."""
        return self.folder / "cache"

    def document(self) -> SetDocument:
        """Return the last revision of the set document. Raises FormatError, OSError."""
        return envelope.read((self.folder / "set").read_bytes(), "set").peek(SetDocument)

    def journal(self, number: int) -> Path:
        """Return the path of the journal of a disk: the indexes of its durable archives."""
        return self.folder / f"disk-{number}.journal"


def current_set(home: Home) -> KeptSet | None:
    """Return the set that the last export wrote, unless it was given up. Raises HomeError home-damaged."""
    if home.state.set is None:
        return None
    kept = KeptSet.read(home.set_folder(home.state.set))
    return kept if kept.state.status != "abandoned" else None


def kept_sets(home: Home) -> list[KeptSet]:
    """Return all disk sets of a home, the oldest first. Raises HomeError home-damaged, and OSError."""
    sets = home.path / "sets"
    # Not by glob: it treats an unreadable folder as empty.
    folders = [folder for folder in sets.iterdir() if (folder / "set.json").exists()] if sets.exists() else []
    return sorted(map(KeptSet.read, folders), key=lambda kept: (kept.state.began, kept.state.set))


def find_set(home: Home, wanted: str | None) -> KeptSet:
    """Return the set with an id that begins with `wanted`, or without `wanted` the set of the last export.

    Raises UsageError set-unknown.
    """
    begin = home.state.set if wanted is None else wanted.lower()
    matches = [kept for kept in kept_sets(home) if begin and kept.state.set.startswith(begin)]
    if len(matches) != 1:
        raise UsageError(
            "set-unknown",
            "several disk sets begin so" if matches else "this home knows no such disk set",
            subject=wanted or "",
            hint="see `seed status` for its sets, and name one by the beginning of its id. If another home of this machine "
            "wrote the disks, and they are lost, write them anew by `seed export --again`",
        )
    return matches[0]
