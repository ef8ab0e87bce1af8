"""What a shipment carries: all of a recovery point that a vault has."""

from collections.abc import Iterator
from dataclasses import dataclass

from formats import layout
from formats.monitor import Finding, Monitor, Tally
from formats.replaced import replacements
from formats.tables.archive import METADATA_CLASS
from formats.tables.holdings import Holding
from importer.points import Point, load_needs, need_digests, stocks
from importer.vault import Vault


@dataclass(frozen=True)
class Cargo:
    """What a point needs that the vault has: small `objects` by name, its catalog, and what else it is made of. `known` are all
    archives that it needs, those among them that the vault lacks: a disk may have them. It is `whole` where it lacks none."""

    objects: dict[str, bytes]
    catalog: list[Holding]
    content: list[Holding]
    known: set[Holding]
    whole: bool

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(holding.size for holding in (*self.catalog, *self.content))


def load_cargo(vault: Vault, point: Point, monitor: Monitor) -> Cargo:
    """What the vault lacks is a finding. Raises FormatError, IntegrityError, StoreError."""
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
    objects = {name: vault.store.get(name) for name in _small(vault, point)}
    for name, document in replacements(vault.store, layout.REPLACEMENTS, vault.key, Tally()):
        if any(entry.archive.holding in replaced for entry in document.replaced):
            objects[name] = vault.store.get(name)
    ordered = sorted(archives, key=lambda holding: holding.name)
    return Cargo(
        objects,
        [holding for holding in ordered if holding.archive_class == METADATA_CLASS],
        [holding for holding in ordered if holding.archive_class != METADATA_CLASS],
        archives | {need.archive for need in needed},
        point.standing.complete,
    )


def _small(vault: Vault, point: Point) -> Iterator[str]:
    """The names of the small objects that open a point; the manifest last."""
    manifest = point.manifest
    yield from (name for name, _ in vault.store.list(layout.slot_prefix(manifest.machine)))
    yield from map(layout.need_name, sorted(need_digests(vault.store, manifest.needs)))
    yield layout.numbered(layout.manifest_prefix(manifest.machine), manifest.sequence, point.signed.digest)
