"""How a recovery point comes to exist: the order of writes *is* the safety argument, and it stands here.

    content archives                       all durable before anything names them
    metadata archives                      the catalog that names the chunks in them
    index objects, need list               what the keyless side needs
    the manifest, in the home              from here on a second run finishes this commit, never another one
    the manifest, on the disk              from here on the point exists
    the inventory                          closes the disk: all that lies on it
    the set document                       finishes the export

A crash between any two leaves a disk on which everything that is named is there.
"""

import time
from dataclasses import dataclass, replace

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Held, Inventory, SetDisk, SetDocument
from formats.documents.manifest import Manifest, Totals
from formats.errors import FormatError, IntegrityError, NotFoundError
from formats.ids import Digest, HexDigest, digest, hex_digest
from formats.keyed.root import Root, clear_digest, seal_root
from formats.tables import needs
from formats.tables.holdings import encode_tables
from formats.tables.sections import Section, encode_objects
from seed.cataloguing import Catalogued
from seed.disk import DiskWriter
from seed.home import Home, SetState, write_private, write_record


@dataclass(frozen=True)
class Committed:
    """A finished export."""

    manifest: Manifest
    digest: HexDigest
    archives: int
    stored: int


def commit_point(home: Home, disk: DiskWriter, catalogued: Catalogued) -> bytes:
    """Put index objects, need list and manifest; returns the manifest's envelope."""
    needed = need_list(disk.sections, catalogued)
    for data in encode_objects(disk.sections):
        disk.put(layout.index_name(digest(data)), data)
    root, buckets = needs.encode(needed)
    for bucket_digest, data in buckets.items():
        disk.put(layout.need_name(bucket_digest), data)
    disk.put(layout.need_name(digest(root)), root)
    manifest = _manifest(home, disk.state, catalogued, needed, hex_digest(root))
    signed = envelope.sign(manifest, home.identity.signing_key)
    write_private(home.set_folder(disk.state.set) / "manifest", signed)
    return signed


def finish_export(home: Home, disk: DiskWriter, signed: bytes) -> Committed:
    """From the manifest in the home to the set document. May be run again after a crash at any place in it."""
    identity, state = home.identity, disk.state
    manifest = envelope.read(signed, "manifest").verify(Manifest, identity.public_key)
    prefix = layout.manifest_prefix(identity.machine)
    disk.put(layout.numbered(prefix, manifest.sequence, hex_digest(signed)), signed)
    if not _has_set_document(home, disk, hex_digest(signed)):
        _put_set_document(home, disk, manifest, hex_digest(signed))
    home.spend(manifest.sequence, hex_digest(signed))
    write_record(home.set_folder(state.set) / "set.json", replace(state, status="finished"))
    return Committed(
        manifest, hex_digest(signed), len(disk.sections), sum(s.archive.size for s in disk.sections)
    )


def holds_point(disk: DiskWriter, manifest: Manifest) -> bool:
    """Whether all that a signed manifest needs is on the disk still."""

    def fetch(wanted: Digest) -> bytes:
        data = disk.store.get(layout.need_name(wanted))
        if digest(data) != wanted:
            raise IntegrityError("object-damaged", "a part of a need list is damaged")
        return data

    held = {section.archive for section in disk.sections}
    try:
        needed = needs.load(Digest(bytes.fromhex(manifest.needs)), fetch, "needs")
    except (FormatError, IntegrityError, NotFoundError):
        return False
    return all(need.archive in held for need in needed)


def forget_point(home: Home, disk: DiskWriter, signed: bytes) -> None:
    """Take back a manifest that was signed, and that this disk can no longer keep."""
    sequence = envelope.read(signed, "manifest").peek(Manifest).sequence
    prefix = layout.manifest_prefix(home.identity.machine)
    disk.store.delete(layout.numbered(prefix, sequence, hex_digest(signed)))
    (home.set_folder(disk.state.set) / "manifest").unlink()


def _has_set_document(home: Home, disk: DiskWriter, manifest: HexDigest) -> bool:
    for name, _ in disk.store.list(layout.set_prefix(home.identity.machine)):
        document = envelope.read(disk.store.get(name), name).verify(SetDocument, home.identity.public_key)
        if document.manifest == manifest:
            return True
    return False


def _put_set_document(home: Home, disk: DiskWriter, manifest: Manifest, signed: HexDigest) -> None:
    """Close the disk and finish the set."""
    identity, state = home.identity, disk.state
    inventory, generation = close_disk(home, disk)
    document = SetDocument(
        vault=identity.vault,
        machine=identity.machine,
        set=state.set,
        point=manifest.point,
        manifest=signed,
        created=int(time.time()),
        disks=(
            SetDisk(
                number=disk.number,
                disk=state.disk,
                label=hex_digest(disk.store.get("label")),
                generation=generation,
                inventory=inventory,
            ),
        ),
    )
    data = envelope.sign(document, identity.signing_key)
    disk.put(layout.numbered(layout.set_prefix(identity.machine), manifest.sequence, hex_digest(data)), data)


def close_disk(home: Home, disk: DiskWriter) -> tuple[HexDigest, int]:
    """Put the next generation of the inventory. Returns its digest and generation."""
    store, identity = disk.store, home.identity
    tables = [
        (layout.holdings_name(digest(data)), data)
        for data in encode_tables([s.archive for s in disk.sections])
    ]
    for name, data in tables:
        disk.put(name, data)
    before = sorted(name for name, _ in store.list("inventories"))
    previous = store.get(before[-1]) if before else None
    generation = layout.number_of(before[-1]) + 1 if before else 1
    inventory = Inventory(
        vault=identity.vault,
        machine=identity.machine,
        set=disk.state.set,
        number=disk.number,
        disk=disk.state.disk,
        label=hex_digest(store.get("label")),
        generation=generation,
        previous=hex_digest(previous) if previous is not None else None,
        created=int(time.time()),
        archives=len(disk.sections),
        archive_bytes=sum(s.archive.size for s in disk.sections),
        tables=tuple(Held(name=n, size=len(d), digest=hex_digest(d)) for n, d in tables),
        objects=_other_objects(disk, {name for name, _ in tables}),
    )
    data = envelope.sign(inventory, identity.signing_key)
    disk.put(layout.numbered("inventories", generation, hex_digest(data)), data)
    return hex_digest(data), generation


def need_list(sections: list[Section], catalogued: Catalogued) -> list[needs.Need]:
    """The archives that hold what the catalog refers to, each chunk counted where it lies first."""
    wanted = set(catalogued.live)
    found: list[needs.Need] = []
    for section in sections:
        live = []
        for number, row in enumerate(section.rows("journal")):
            if row.chunk in wanted:
                wanted.discard(row.chunk)
                live.append(number)
        if live:
            found.append(needs.Need(section.archive, needs.bitmap(section.archive.records, live)))
    if wanted:
        raise AssertionError(f"{len(wanted)} chunks of the catalog lie in no archive")
    return found


def _manifest(
    home: Home, state: SetState, catalogued: Catalogued, needed: list[needs.Need], root_digest: HexDigest
) -> Manifest:
    identity = home.identity
    manifest = Manifest(
        vault=identity.vault,
        machine=identity.machine,
        machine_name=identity.name,
        key_id=identity.master.key_id.hex(),
        point=state.point,
        revision=1,
        sequence=home.state.sequence + 1,
        previous=home.state.manifest,
        created=int(time.time()),
        point_kind="seed",
        set=state.set,
        totals=Totals(
            entries=catalogued.entries,
            files=catalogued.files,
            file_bytes=catalogued.file_bytes,
            archives=len(needed),
            archive_bytes=sum(n.archive.size for n in needed),
        ),
        needs=root_digest,
        root=b"",
    )
    root = Root(
        point=manifest.point,
        revision=manifest.revision,
        machine=manifest.machine,
        public_key=identity.public_key.hex(),
        sequence=manifest.sequence,
        created=manifest.created,
        previous=manifest.previous,
        clear=clear_digest(manifest),
        pages=tuple(page.hex() for page in catalogued.pages),
    )
    return replace(manifest, root=seal_root(identity.master, root))


def _other_objects(disk: DiskWriter, tables: set[str]) -> tuple[Held, ...]:
    """All that is neither archive, label, current table, inventory nor set document."""
    held = []
    for name, size in disk.store.list(""):
        if name == "label" or name in tables or name.startswith(("archives/", "inventories/", "sets/")):
            continue
        held.append(Held(name=name, size=size, digest=hex_digest(disk.store.get(name))))
    return tuple(held)
