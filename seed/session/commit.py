"""The commit of a recovery point: the order of its writes *is* the safety argument.

    content archives                       on the disks, all durable before anything names them;
    metadata archives, index objects,      in the home's cache, then on every attached disk: the catalog
        need list                          with the names of the chunks, and the lists for the keyless side;
    the manifest, in the home              from here on a second run finishes this commit, never another one;
    the manifest, on the disks             from here on the point exists;
    the inventories                        each closes its disk and lists all its objects;
    the set document                       finishes the export.

After a crash between any two steps, every named object lies on these disks, or on a disk that they name.
"""

from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Inventory, Label, SetDisk, SetDocument
from formats.documents.manifest import Manifest
from formats.errors import (
    FormatError,
    HomeError,
    IntegrityError,
    MediaError,
    NotFoundError,
    OffseedError,
    StoreError,
)
from formats.ids import ArchiveName, Digest, HexDigest, hex_digest
from formats.keyed.root import Doubt
from formats.monitor import Finding, Monitor
from formats.records import write_private
from formats.rules.disk_inventory import DiskContent
from formats.store.checked import read_need
from formats.tables import needs
from formats.tables.sections import Section
from seed.home.disk_sets import KeptSet
from seed.home.home import Home
from seed.pipeline.catalog_writer import CatalogResult
from seed.session.new_manifest import describe, sign_manifest
from seed.session.reusable import Reusable
from seed.targets.disk_pool import MetadataCache
from seed.targets.disk_writer import DiskWriter, read_journal


@dataclass(frozen=True)
class CommitResult:
    """A finished export: its manifest and the manifest's digest."""

    manifest: Manifest
    digest: HexDigest


@dataclass
class Commit:
    """The common state of all steps of a commit: the attached disks, and the sections of all other disks."""

    home: Home
    kept: KeptSet
    cache: MetadataCache
    disks: list[DiskWriter]
    monitor: Monitor
    over: Reusable = field(default_factory=Reusable)  # archives of earlier points, not written again

    def sections(self) -> list[Section]:
        """Return every archive of the set that counts: on disks, attached or not, and in the cache."""
        return [*self.cache.sections, *chain.from_iterable(self.on_disks().values())]

    def on_disks(self) -> dict[int, list[Section]]:
        """Return the archives of each disk that counts, attached or not."""
        attached = {disk.number: disk.sections for disk in self.disks}
        return {
            disk.number: attached.get(disk.number) or read_journal(self.kept, disk.number, self.monitor)
            for disk in self.kept.state.disks
            if not disk.dropped
        }

    def point(self, catalogued: CatalogResult, doubts: Sequence[Doubt] = ()) -> None:
        """Write from the catalog to the manifest in the home. `doubts` are the doubts about the point."""
        described = describe((*self.over.sections, *self.sections()), catalogued, self.over.needs)
        for name, data in described.objects.items():
            self.cache.put(name, data)
        self._hand_out(described.archives)
        state = self.kept.state
        kind = "incremental" if self.over.needs else "seed"
        signed = sign_manifest(
            self.home, described, point=state.point, kind=kind, disk_set=state.set, doubts=doubts
        )
        write_private(self.kept.folder / "manifest", signed)
        settle_sequence(self.home)

    def take_up(self, manifest: Manifest) -> None:
        """Continue after a run that signed `manifest`. Other disks may be attached now."""
        self._hand_out({need.archive.name for need in self._needs(manifest)})

    def finish(self, signed: bytes) -> CommitResult:
        """Write from the manifest in the home to the set document.

        It may run again after a crash at any step.
        """
        identity = self.home.identity
        manifest = envelope.read(signed, "manifest").verify(Manifest, identity.public_key)
        prefix = layout.manifest_prefix(identity.machine)
        name = layout.numbered(prefix, manifest.sequence, hex_digest(signed))
        self.cache.put(name, signed)
        for disk in self.disks:
            disk.ensure(name, signed)
        for disk in self.disks:
            if not self.is_closed(disk):
                self.close(disk)
        self._put_set_document(manifest, hex_digest(signed))
        self.home.spend(manifest.sequence, hex_digest(signed))
        self.kept.change(status="finished")
        return CommitResult(manifest, hex_digest(signed))

    def holds(self, manifest: Manifest) -> bool:
        """Return whether all archives that a signed manifest needs are still there."""
        held = {section.archive for section in (*self.over.sections, *self.sections())}
        try:
            return all(need.archive in held for need in self._needs(manifest))
        except (FormatError, IntegrityError, NotFoundError):
            return False

    def forget(self, signed: bytes) -> None:
        """Take back a signed manifest that these disks can no longer keep.

        Raises MediaError disk-needed if a disk that may carry it is not attached.
        """
        attached = {disk.number for disk in self.disks}
        if missing := [d.number for d in self.kept.state.disks if not d.dropped and d.number not in attached]:
            raise _disk_needed(missing, "a part of what was written is lost, and the others must be told")
        sequence = envelope.read(signed, "manifest").peek(Manifest).sequence
        name = layout.numbered(
            layout.manifest_prefix(self.home.identity.machine), sequence, hex_digest(signed)
        )
        for disk in self.disks:
            for document, _ in list(disk.store.list("sets")):
                disk.remove(document)
            disk.remove(name)
        for prefix in ("indexes", "needs", "manifests", "sets"):
            for stale, _ in list(self.cache.store.list(prefix)):
                self.cache.store.delete(stale)
        (self.kept.folder / "set").unlink(missing_ok=True)
        (self.kept.folder / "manifest").unlink()

    def _check_closed(self) -> None:
        """Raise MediaError disk-needed for disks of the set that are neither attached nor closed."""
        attached = {disk.number for disk in self.disks}
        missing = []
        for disk in self.kept.state.disks:
            if disk.dropped or disk.number in attached or disk.inventory is not None:
                continue
            if read_journal(self.kept, disk.number, self.monitor):
                missing.append(disk.number)
            else:  # no part of the point lies there
                self.kept.know(replace(disk, dropped=True))
        if missing:
            raise _disk_needed(missing, "the run that wrote it ended before it could close it")

    def close(self, disk: DiskWriter) -> None:
        """Put the next generation of a disk's inventory."""
        store, identity = disk.store, self.home.identity
        content = DiskContent.of([s.archive for s in disk.sections], store)
        for name, data in content.tables:
            disk.ensure(name, data)
        label = envelope.read(store.get("label"), "label")
        before = sorted(name for name, _ in store.list("inventories"))
        previous = store.get(before[-1]) if before else None
        # Never use a generation twice, even if its inventory is lost: that would be a forked disk.
        generation = max(layout.number_of(before[-1]) if before else 0, disk.state.generation) + 1
        inventory = content.inventory(
            (label.verify(Label, identity.public_key), label.digest),
            generation,
            int(self.home.clock.now()),
            previous=hex_digest(previous) if previous is not None else None,
            others=tuple(d for d in self._closed_disks() if d.number != disk.number),
        )
        data = envelope.sign(inventory, identity.signing_key)
        disk.put(layout.numbered("inventories", generation, hex_digest(data)), data)
        disk.closed(generation, hex_digest(data))

    def is_closed(self, disk: DiskWriter) -> bool:
        """Return whether the inventory that the home remembers lies on the disk.

        The objects that it lists beside archives must be whole too.
        """
        known = disk.state.inventory
        if known is None:
            return False
        name = layout.numbered("inventories", disk.state.generation, known)
        try:
            signed = envelope.read(disk.store.get(name), name)
            inventory = signed.verify(Inventory, self.home.identity.public_key)
            held = (*inventory.tables, *inventory.objects)
            whole = all(hex_digest(disk.store.get(h.name)) == h.digest for h in held)
        except (FormatError, IntegrityError, NotFoundError):
            return False
        return whole and signed.digest == known

    def _closed_disks(self) -> list[SetDisk]:
        return [
            SetDisk(
                number=d.number, disk=d.disk, label=d.label, generation=d.closed_by, inventory=d.closed_with
            )
            for d in self.kept.state.disks
            if d.label is not None and d.inventory is not None and d.closed_with is not None and not d.dropped
        ]

    def _needs(self, manifest: Manifest) -> list[needs.Need]:
        root, cache = Digest(bytes.fromhex(manifest.needs)), self.cache.store
        return needs.load(root, lambda wanted: read_need(cache, wanted), "needs")

    def _hand_out(self, needed: Set[ArchiveName]) -> None:
        """Put metadata on every attached disk.

        At least one disk must take it; a disk that cannot is closed as it is. Raises MediaError, StoreError,
        and MediaError disk-needed for disks that are neither attached nor closed.
        """
        metadata = [s for s in self.cache.sections if s.archive.name in needed]
        failure: OffseedError | None = None
        for disk in self.disks[:]:
            try:
                self._put_metadata(disk, metadata)
            except (MediaError, StoreError) as error:
                failure = error
                self.monitor.finding(
                    Finding(code=error.code, subject=str(disk.path), detail=f"no catalog on it: {error.what}")
                )
                self.disks.remove(disk)
                with suppress(OffseedError):  # the finding above has reported it
                    self.close(disk)
        if not self.disks and failure is not None:
            raise failure
        self._check_closed()

    def _put_metadata(self, disk: DiskWriter, metadata: Sequence[Section]) -> None:
        there = {section.archive.name for section in disk.sections}
        for section in metadata:
            if section.archive.name not in there:
                disk.adopt(section, self.cache.store.get(layout.archive_name(section.archive.name)))
        for prefix in ("indexes", "needs"):
            for name, _ in self.cache.store.list(prefix):
                disk.ensure(name, self.cache.store.get(name))

    def _put_set_document(self, manifest: Manifest, signed: HexDigest) -> None:
        """Put the set document.

        If a run signed it before, put the same one, unless other disks have come since.
        """
        identity, path = self.home.identity, self.kept.folder / "set"
        disks = tuple(self._closed_disks())
        if not path.exists() or envelope.read(path.read_bytes(), "set").peek(SetDocument).disks != disks:
            document = SetDocument(
                vault=identity.vault,
                machine=identity.machine,
                set=self.kept.state.set,
                revision=1,
                point=manifest.point,
                manifest=signed,
                created=int(self.home.clock.now()),
                disks=disks,
            )
            write_private(path, envelope.sign(document, identity.signing_key))
        data = path.read_bytes()
        name = layout.numbered(layout.set_prefix(identity.machine), manifest.sequence, hex_digest(data))
        self.cache.put(name, data)
        for disk in self.disks:
            for there, size in list(disk.store.list("sets")):
                if there != name or size != len(data) or disk.store.get(there) != data:
                    disk.store.delete(there)
            disk.put_last(name, data)


def settle_sequence(home: Home) -> None:
    """Spend the sequence number of a signed manifest, even if the run was killed right after signing."""
    if home.state.set is not None:
        folder = home.set_folder(home.state.set)
        if (folder / "manifest").exists():
            with suppress(HomeError):  # the caller that needs the manifest reports the error
                if (signed := signed_manifest(home, KeptSet.read(folder))) is not None:
                    home.spend(signed[1].sequence, hex_digest(signed[0]))


def signed_manifest(home: Home, kept: KeptSet) -> tuple[bytes, Manifest] | None:
    """Return the manifest of a set as this home signed it, or None before that.

    Raises HomeError home-damaged.
    """
    path = kept.folder / "manifest"
    try:
        signed = path.read_bytes()
        return signed, envelope.read(signed, "manifest").verify(Manifest, home.identity.public_key)
    except FileNotFoundError:
        return None
    except (FormatError, IntegrityError, OSError) as error:
        raise HomeError(
            "home-damaged",
            "the manifest of the last export cannot be read",
            subject=str(path),
            hint="bring this file back from a copy, or begin a new set with --again; the disks stay good",
        ) from error


def _disk_needed(numbers: Sequence[int], why: str) -> MediaError:
    shown = ", ".join(map(str, numbers))
    given_up = " ".join(f"--without {n}" for n in numbers)
    return MediaError(
        "disk-needed",
        f"disk {shown} of the set must be attached once more: {why}",
        subject=f"disk {shown}",
        hint="run the same command with its path after --to as well; if it is lost, its part is written again with "
        f"{given_up}",
    )
