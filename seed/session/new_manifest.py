"""A new recovery point beside its archives: index objects, need list, then the signed manifest.

The manifest contains the sealed root.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest, Totals
from formats.ids import ArchiveName, HexDigest, PointId, SetId, digest, hex_digest
from formats.keyed.root import DOUBTS_MAX, Doubt, PointRoot, clear_digest, seal_root
from formats.tables import needs
from formats.tables.holdings import Holding
from formats.tables.sections import Section, encode_objects
from seed.home.home import Home
from seed.pipeline.catalog_writer import CatalogResult
from seed.points.points import Point
from seed.session.further_archives import NOTHING_FURTHER, FurtherArchives


@dataclass(frozen=True)
class Description:
    """A catalog, and the facts about its point that readers without a key must know.

    `needed` are the archives that it needs. `objects` tell these to readers, by name, in the order in which
    they are put. `root` is the digest of the need list's root.
    """

    catalogued: CatalogResult
    needed: tuple[needs.Need, ...]
    objects: Mapping[str, bytes]
    root: HexDigest

    @property
    def archives(self) -> frozenset[ArchiveName]:
        return frozenset(need.archive.name for need in self.needed)


def describe(
    sections: Sequence[Section],
    catalogued: CatalogResult,
    before: Sequence[needs.Need] = (),
    condemned: Collection[str] = (),
    further: FurtherArchives = NOTHING_FURTHER,
) -> Description:
    """Describe a point with its chunks in `sections`, or in `further` archives that other points need.

    `before` is the need list of the point that it follows, if any. The new need list contains no object that
    is `condemned`. Raises as `FurtherArchives.sections`.
    """
    needed = need_list(sections, catalogued, before, further.sections())
    indexed = {need.archive.name for need in before} | further.places.keys()
    new = {n.archive.name for n in needed} - indexed
    objects = {
        layout.index_name(digest(data)): data
        for data in encode_objects({s.archive.name: s for s in sections if s.archive.name in new}.values())
    }
    root, buckets = needs.encode(needed, lambda found: layout.need_name(found) in condemned)
    objects |= {layout.need_name(found): data for found, data in buckets.items()}
    objects[layout.need_name(digest(root))] = root
    return Description(catalogued, tuple(needed), objects, hex_digest(root))


def need_list(
    sections: Sequence[Section],
    catalogued: CatalogResult,
    before: Sequence[needs.Need] = (),
    further: Iterable[Section] = (),
) -> list[needs.Need]:
    """Return the archives that hold the chunks of the catalog; a chunk counts where it lies first.

    Chunks that were counted `before` stay where they were counted: without changes, the need list is the
    same. `further` sections are asked for only while a chunk lies in none of the others.
    """
    wanted = set(catalogued.live)
    sections = list({section.archive.name: section for section in sections}.values())
    live: dict[Holding, list[int]] = {}
    stood = {need.archive.name: need for need in before}
    for section in sections:
        if (need := stood.get(section.archive.name)) is not None:
            for number, chunk in enumerate(section.chunks()):
                if need.is_live(number) and chunk in wanted:
                    wanted.discard(chunk)
                    live.setdefault(section.archive, []).append(number)
    for section in chain(sections, further):
        if not wanted:
            break
        for number, chunk in enumerate(section.chunks()):
            if chunk in wanted:
                wanted.discard(chunk)
                live.setdefault(section.archive, []).append(number)
    if wanted:
        raise AssertionError(f"{len(wanted)} chunks of the catalog lie in no archive")
    return [needs.Need(archive, needs.bitmap(archive.records, numbers)) for archive, numbers in live.items()]


def sign_manifest(
    home: Home,
    described: Description,
    *,
    point: PointId,
    kind: str,
    disk_set: SetId | None = None,
    doubts: Sequence[Doubt] = (),
) -> bytes:
    """Return the signed manifest of a point, the next in this machine's sequence.

    `doubts` are the doubts about the point.
    """
    identity = home.identity
    return _signed(
        home,
        described,
        Manifest(
            vault=identity.vault,
            machine=identity.machine,
            machine_name=identity.name,
            key_id=identity.master.key_id.hex(),
            point=point,
            revision=1,
            sequence=home.state.sequence + 1,
            previous=home.state.manifest,
            created=int(home.clock.now()),
            point_kind=kind,
            set=disk_set,
            totals=_NOTHING,
            needs=described.root,
            root=b"",
            doubted=True if doubts else None,
        ),
        doubts=tuple(doubts[:DOUBTS_MAX]) or None,
    )


def sign_revision(home: Home, described: Description, before: Point, lost: int) -> bytes:
    """Return the signed manifest that replaces that of `before`, for the same point.

    `lost` of its files are lost.
    """
    manifest = replace(before.manifest, revision=before.manifest.revision + 1)
    return _signed(home, described, manifest, lost, before.root.doubts)


_NOTHING = Totals(entries=0, files=0, file_bytes=0, archives=0, archive_bytes=0, lost=0)


def _signed(
    home: Home,
    described: Description,
    manifest: Manifest,
    lost: int = 0,
    doubts: tuple[Doubt, ...] | None = None,
) -> bytes:
    """Return `manifest` with its totals, its sealed root, and the machine's signature."""
    identity, catalogued = home.identity, described.catalogued
    totals = Totals(
        entries=catalogued.entries,
        files=catalogued.files,
        file_bytes=catalogued.file_bytes,
        archives=len(described.needed),
        archive_bytes=sum(n.archive.size for n in described.needed),
        lost=lost,
    )
    manifest = replace(manifest, totals=totals, needs=described.root, root=b"")
    root = PointRoot(
        public_key=identity.public_key.hex(),
        authority=identity.authority,
        clear=clear_digest(manifest),
        chunking=home.chunking,
        pages=tuple(page.hex() for page in catalogued.pages),
        doubts=doubts,
    )
    return envelope.sign(replace(manifest, root=seal_root(identity.master, root)), identity.signing_key)
