"""How recovery points stand in the stores at hand, and what to say where none of them holds the one that is wanted."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from formats import layout
from formats.documents import envelope
from formats.documents.disk import SetDocument
from formats.errors import FormatError, IntegrityError, MediaError, StoreError
from formats.ids import Digest, MachineId
from formats.standing import Standing, awaited, label_of
from formats.tables import needs
from seed.reading import Point, Union


def standings(union: Union, points: Iterable[Point]) -> Iterator[tuple[Point, Standing]]:
    """Each point with its standing in `union`."""
    there = {(name, size) for store in union.stores for name, size in store.list("archives")}
    for point in points:
        yield point, _standing(union, point, there)


def _standing(union: Union, point: Point, there: set[tuple[str, int]]) -> Standing:
    needed = point.manifest.totals.archives
    try:
        root = Digest(bytes.fromhex(point.manifest.needs))
        found = needs.load(root, lambda d: union.get_checked(layout.need_name(d), d), "needs")
    except (FormatError, IntegrityError, StoreError, MediaError):
        return Standing(needed, needed)  # which are there, nobody can tell
    missing = sum((layout.archive_name(n.archive.name), n.archive.size) not in there for n in found)
    standing = Standing(needed, missing)
    if missing and (document := _set_of(union, point)) is not None:
        standing = replace(standing, awaited=awaited(union.stores, document), disks=len(document.disks))
    return standing


def _set_of(union: Union, point: Point) -> SetDocument | None:
    """The set that a point was exported as, by a document that its machine signed."""
    key = bytes.fromhex(point.root.public_key)
    for name in union.list(layout.set_prefix(point.manifest.machine)):
        try:
            document = envelope.read(union.get_document(name), name).verify(SetDocument, key)
        except (FormatError, IntegrityError, StoreError, MediaError):
            continue
        if document.manifest == point.digest:
            return document
    return None


def nothing_here(union: Union, machines: Collection[MachineId]) -> str:
    """Why no point of `machines` may be in `union`, and what to do."""
    labels = [label for store in union.stores if (label := label_of(store)) is not None]
    if not labels:
        return "no export of this machine was announced to this vault so far, nor imported into it"
    shown = ", ".join(f"disk {x.number} of set {x.set[:8]} of {x.machine_name}" for x in labels)
    if not any(label.machine in machines for label in labels):
        return f"here is {shown}: to read another machine's disk give its passphrase by --passphrase-file"
    return (
        f"here is {shown}: the catalog lies on the disks that were attached when the export ended, so name these by "
        "--from as well; an export that has not ended has no recovery point yet"
    )
