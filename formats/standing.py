"""How a recovery point stands where one reads it: complete, or waiting for disks. Computed, never stored."""

from collections.abc import Iterable
from dataclasses import dataclass

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Label, SetDisk, SetDocument
from formats.errors import FormatError, MediaError, StoreError
from formats.ids import SetId
from formats.store.contract import Store


@dataclass(frozen=True)
class Standing:
    """`missing` archives of `needed`. `awaited` are the numbers of its set's disks that are not here, of `disks` in all;
    none where it is complete or nothing is known of its set."""

    needed: int
    missing: int
    awaited: tuple[int, ...] = ()
    disks: int = 0

    @property
    def complete(self) -> bool:
        return self.missing == 0

    def words(self) -> str:
        """`complete`, or what it waits for."""
        if self.complete:
            return "complete"
        disks = f"disk {', '.join(map(str, self.awaited))} of {self.disks}: " if self.awaited else ""
        return f"waits for {disks}{self.missing:,} of {self.needed:,} archives missing"


def awaited(stores: Iterable[Store], document: SetDocument) -> tuple[int, ...]:
    """The disks of a set that none of `stores` is, nor has received as its set was finished with it."""
    here = [number for store in stores if (number := number_there(store, document.set)) is not None]
    there = [d.number for d in document.disks if any(_received(s, document.set, d) for s in stores)]
    return tuple(d.number for d in document.disks if d.number not in {*here, *there})


def number_there(store: Store, disk_set: SetId) -> int | None:
    """The number of the disk of a set that `store` is, by its label; None where it is none."""
    label = label_of(store)
    return label.number if label is not None and label.set == disk_set else None


def label_of(store: Store) -> Label | None:
    """What a disk says that it is, signature unread; None where there is no label, or a damaged one."""
    try:
        return envelope.read(store.get("label"), "label").peek(Label)
    except (FormatError, StoreError, MediaError):
        return None


def _received(store: Store, disk_set: SetId, disk: SetDisk) -> bool:
    prefix = layout.received_prefix(disk_set, disk.number)
    return any(layout.number_of(name) >= disk.generation for name, _ in store.list(prefix))
