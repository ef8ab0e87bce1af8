"""What of the last recovery point a run may build upon, judged before it is believed (PROTOCOL 10).

An archive may be reused if the vault lists it at its right size, or if it is promised: it lies on a disk of a set that
is announced and has not arrived. Only the authority's receipts say that a disk has arrived. Of what the vault holds, some
records are fetched and opened. What is neither there nor promised is lost: what lay in it is read and sent again.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from formats import layout
from formats.documents import envelope
from formats.documents.job import Receipt
from formats.errors import FormatError, IntegrityError, MediaError, StoreError
from formats.ids import ArchiveName, SetId
from formats.monitor import Finding, Monitor
from formats.store.contract import Store
from formats.tables.needs import Need
from formats.tables.sections import Section
from seed.home import Home
from seed.reading import Point, PointReader, Union
from seed.standing import needed_of, sets_of

SAMPLE = 16  # records


@dataclass(frozen=True)
class Reusable:
    """The archives of points that may be reused, and how many were promised and are not there yet."""

    needs: tuple[Need, ...] = ()
    sections: tuple[Section, ...] = ()
    promised: int = 0

    def __or__(self, other: "Reusable") -> "Reusable":
        """What either may; of an archive that both have, as this one has it."""
        had = {need.archive.name for need in self.needs}
        new = [
            pair for pair in zip(other.needs, other.sections, strict=True) if pair[0].archive.name not in had
        ]
        return Reusable(
            (*self.needs, *(need for need, _ in new)),
            (*self.sections, *(section for _, section in new)),
            max(self.promised, other.promised),
        )


def reusable(
    home: Home, reader: PointReader, points: Sequence[Point], vault: Store, union: Union, monitor: Monitor
) -> Reusable:
    """What of the point of `reader` may be reused; `points` are all that this machine has. What is lost is a finding."""
    there = dict(vault.list("archives"))
    missing = {n.archive.name for n in reader.needs if not _is_there(there, n)}
    promised = missing & set(_promised(home, points, vault, union)) if missing else set()
    kept: list[tuple[Need, Section]] = []
    lost: list[Need] = []
    for need, section in zip(reader.needs, reader.sections, strict=True):
        if section is None or need.archive.name in missing - promised:
            lost.append(need)
        else:
            kept.append((need, section))
    lost += _untrue(reader, vault, [(n, s) for n, s in kept if n.archive.name not in missing], monitor)
    if lost:
        what = f"{len(lost)} of {len(reader.needs)} archives of point {reader.point.manifest.point[:8]}"
        detail = f"the vault has lost {what}, or holds them damaged; what lay in them is read and sent again"
        monitor.finding(Finding(code="vault-lost", subject=vault.address, detail=detail))
    gone = {need.archive.name for need in lost}
    kept = [(n, s) for n, s in kept if n.archive.name not in gone]
    return Reusable(tuple(n for n, _ in kept), tuple(s for _, s in kept), len(promised))


def _is_there(there: Mapping[str, int], need: Need) -> bool:
    return there.get(layout.archive_name(need.archive.name)) == need.archive.size


def _promised(home: Home, points: Sequence[Point], vault: Store, union: Union) -> Iterator[ArchiveName]:
    """The archives of all points whose sets have disks that did not arrive."""
    arrived = set(_receipts(home, vault))
    known = {point.digest: point for point in points}
    for document in sets_of(union, home.identity.machine, home.identity.public_key):
        if all((document.set, d.number, d.generation) in arrived for d in document.disks):
            continue
        if (point := known.get(document.manifest)) is not None:
            yield from (need.archive.name for need in needed_of(union, point))


def _receipts(home: Home, vault: Store) -> Iterator[tuple[SetId, int, int]]:
    """(set, disk, generation) of every disk that the authority says has arrived whole, at any generation up to its own."""
    key = bytes.fromhex(home.identity.authority)
    for name, _ in vault.list("jobs"):
        if layout.number_of(name) < 2:
            continue
        try:
            receipt = envelope.read(vault.get(name), name).verify(Receipt, key)
        except (FormatError, IntegrityError, StoreError, MediaError):
            continue
        if receipt.whole and receipt.disk.machine == home.identity.machine:
            for generation in range(1, receipt.disk.generation + 1):
                yield receipt.disk.set, receipt.disk.number, generation


def _untrue(
    reader: PointReader, vault: Store, kept: Sequence[tuple[Need, Section]], monitor: Monitor
) -> list[Need]:
    """The archives of which a record that was asked for is not what it should be; then further ones are asked for."""
    bad: dict[ArchiveName, Need] = {}
    left = SAMPLE
    while left and (good := [(n, s) for n, s in kept if n.archive.name not in bad]):
        need, section = secrets.choice(good)
        row = secrets.choice(section.rows("sample"))
        name = layout.archive_name(need.archive.name)
        try:
            reader.sealer.open(row.kind, row.chunk, vault.get(name, row.offset, row.length), name)
            left -= 1
        except (FormatError, IntegrityError, StoreError, MediaError) as error:
            monitor.finding(Finding(code=error.code, subject=f"{vault.address}/{name}", detail=error.what))
            bad[need.archive.name] = need
            left = SAMPLE
    return list(bad.values())
