"""The cargo of a shipment: all parts of a recovery point that a vault holds."""

from collections.abc import Iterator
from dataclasses import dataclass

from formats import layout
from formats.documents.damage import Replacement
from formats.documents.vault import Slots
from formats.monitor import Finding, Monitor, Tally
from formats.tables.archive import METADATA_CLASS
from formats.tables.holdings import Holding
from importer.vault.points import VaultPoint, load_needs, need_digests, stocks
from importer.vault.vault import Vault


@dataclass(frozen=True)
class Cargo:
    """The parts of a recovery point that the vault holds.

    `objects` are the small objects by name, `catalog` the archives of the catalog, `content` all other
    archives. `known` are these archives and also the needed ones that the vault lacks, because a disk may
    have them. `whole` tells whether the vault lacks none.
    """

    objects: dict[str, bytes]
    catalog: list[Holding]
    content: list[Holding]
    known: set[Holding]
    whole: bool

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(holding.size for holding in (*self.catalog, *self.content))


def load_cargo(vault: Vault, point: VaultPoint, monitor: Monitor) -> Cargo:
    """Return the cargo of a point. Raises FormatError, IntegrityError, StoreError.

    If the vault lacks a part, this is a finding.
    """
    manifest = point.manifest
    needed = load_needs(vault.store, manifest)
    there = stocks(vault, monitor)[manifest.key_id]
    held = {need.archive for need in needed if there.holds(need.archive)}
    replaced = {need.archive: there.stand_ins(need.archive) for need in needed if need.archive not in held}
    archives = held | {by for stand_ins in replaced.values() for by in stand_ins}
    if not point.standing.complete:
        detail = f"the vault does not have all of it: {point.standing.words()}"
        monitor.finding(
            Finding(code="point-incomplete", subject=f"point {manifest.point[:8]}", detail=detail)
        )
    objects = dict(_small(vault, point))
    for fact in vault.view.look(layout.REPLACEMENTS, Replacement, vault.key, Tally()).facts:
        if any(entry.archive.holding in replaced for entry in fact.document.replaced):
            objects[fact.name] = fact.signed.data
    ordered = sorted(archives, key=lambda holding: holding.name)
    return Cargo(
        objects,
        [holding for holding in ordered if holding.archive_class == METADATA_CLASS],
        [holding for holding in ordered if holding.archive_class != METADATA_CLASS],
        archives | {need.archive for need in needed},
        point.standing.complete,
    )


def _small(vault: Vault, point: VaultPoint) -> Iterator[tuple[str, bytes]]:
    """Yield the small objects that open a point, by name; the manifest comes last."""
    manifest = point.manifest
    prefix, key = layout.slot_prefix(manifest.machine), bytes.fromhex(point.member.public_key)
    for fact in vault.view.look(prefix, Slots, key, Tally()).facts:
        yield fact.name, fact.signed.data
    for name in map(layout.need_name, sorted(need_digests(vault.store, manifest.needs))):
        yield name, vault.store.get(name)
    prefix = layout.manifest_prefix(manifest.machine)
    yield layout.numbered(prefix, manifest.sequence, point.signed.digest), point.signed.data
