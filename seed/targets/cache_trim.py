"""The trimming of the home's cache: it keeps nothing of expired points."""

from collections.abc import Collection

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import FormatError, IntegrityError, NotFoundError
from formats.ids import ArchiveName, Digest, PointId
from formats.store.checked import read_need
from formats.store.contract import Store
from formats.tables import needs
from formats.tables.holdings import decode_rows
from formats.tables.needs import Need
from formats.tables.sections import decode_object


def trim(cache: Store, expired: Collection[PointId], standing_in: Collection[ArchiveName]) -> None:
    """Delete the objects that only `expired` points need, and last the manifests of these points.

    If the needs of the other points cannot be read, delete the manifests alone. The indexes of archives that
    are `standing_in` for others stay. Raises StoreError, MediaError.
    """
    found = {name: _manifest(cache, name) for name, _ in cache.list("manifests")}
    gone = {name for name, manifest in found.items() if manifest is not None and manifest.point in expired}
    if not gone:
        return
    kept = [manifest for name, manifest in found.items() if name not in gone]
    for name in _unneeded(cache, kept, standing_in):
        cache.delete(name)
    for name in gone:
        cache.delete(name)


def needed_in(cache: Store, manifest: Manifest) -> tuple[list[Need], set[str]]:
    """Return the needs of a point, and the names of the objects that list them.

    Raises FormatError, IntegrityError, NotFoundError.
    """
    names: set[str] = set()

    def fetch(wanted: Digest) -> bytes:
        names.add(layout.need_name(wanted))
        return read_need(cache, wanted)

    return needs.load(Digest(bytes.fromhex(manifest.needs)), fetch, "needs"), names


def _manifest(cache: Store, name: str) -> Manifest | None:
    try:
        return envelope.read(cache.get(name), name).peek(Manifest)
    except (FormatError, IntegrityError, NotFoundError):
        return None


def _unneeded(
    cache: Store, kept: Collection[Manifest | None], standing_in: Collection[ArchiveName]
) -> list[str]:
    keep, rows, known = set[str](), set[bytes](), set[Digest]()

    def fetch(wanted: Digest) -> bytes:
        keep.add(layout.need_name(wanted))
        return read_need(cache, wanted)

    try:
        for manifest in kept:
            if manifest is None:
                return []
            root = Digest(bytes.fromhex(manifest.needs))
            keep |= {layout.need_name(found) for found in needs.objects_of(root, fetch, "needs")}
            needs.add_rows(root, fetch, "needs", rows, known)
        archives = {holding.name for row in rows for holding in decode_rows(row, "needs")} | {*standing_in}
        keep |= {layout.archive_name(name) for name in archives}
        for name, _ in cache.list("indexes"):
            if any(s.archive.name in archives for s in decode_object(cache.get(name), name)):
                keep.add(name)
    except (FormatError, IntegrityError, NotFoundError):
        return []
    folders = ("archives", "indexes", "needs")
    return [name for folder in folders for name, _ in cache.list(folder) if name not in keep]
