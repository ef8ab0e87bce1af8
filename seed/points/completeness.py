"""The state of recovery points in the stores at hand, and the message if no store holds the wanted one."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, cached_property

from formats import layout
from formats.documents import envelope
from formats.documents.disk import SetDocument
from formats.documents.envelope import raw_public
from formats.documents.manifest import Manifest
from formats.errors import FormatError, IntegrityError, MediaError, StoreError, damage_aside
from formats.ids import ArchiveName, MachineId, SetId, VaultId
from formats.monitor import Finding, Monitor, Tally
from formats.rules.completeness import (
    Arrivals,
    Completeness,
    Waiting,
    all_waiting,
    brings,
    judge,
    label_of,
    newest_sets,
)
from formats.rules.replacements import Stock
from formats.rules.retention import read_kept
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.tables.archive import CONTENT_CLASS
from seed.home.home import Home
from seed.points.layered_store import LayeredStore
from seed.points.points import Point, needed_of


def standings(
    union: LayeredStore, wanted: Iterable[Point], points: Iterable[Point]
) -> Iterator[tuple[Point, Completeness]]:
    """Yield each of the `wanted` with its standing in `union`. `points` are all that can be read there."""
    points, stocks = list(points), dict[tuple[str, ...], Stock]()

    @cache
    def behind(key_id: str, authority: str, vault: VaultId) -> _Behind:
        history = [p for p in points if p.manifest.key_id == key_id]
        return _Behind(union, points, history, Arrivals(union.stores, bytes.fromhex(authority), vault))

    for point in wanted:
        try:
            needed = needed_of(union, point)
        except (FormatError, IntegrityError, StoreError, MediaError):
            archives = point.manifest.totals.archives
            yield point, Completeness(archives, archives)  # nobody can tell which of them are there
            continue
        key_id, root = point.manifest.key_id, point.root
        sets = behind(key_id, root.authority, point.manifest.vault)
        names = (key_id, root.authority, root.public_key)
        stock = stocks[names] = stocks.get(names) or union.stock(key_id, root)
        yield point, judge(needed, stock, sets.waiting, sets.needed_by, sets.in_post)


class _Behind:
    """The sets behind the points of one key, with disks that have not come; each is read once for all points."""

    def __init__(
        self, union: LayeredStore, points: Sequence[Point], history: Sequence[Point], arrived: Arrivals
    ) -> None:
        self._union = union
        self._points = points
        self._history = history
        self._arrived = arrived
        self._needed: dict[SetId, set[ArchiveName]] = {}
        self._posted: dict[SetId, set[ArchiveName]] = {}

    @cached_property
    def waiting(self) -> list[Waiting]:
        return all_waiting(_sets(self._union, self._history), self._arrived.came)

    def needed_by(self, document: SetDocument) -> set[ArchiveName]:
        if document.set not in self._needed:
            self._needed[document.set] = _needed_by(self._union, self._points, document)
        return self._needed[document.set]

    def in_post(self, document: SetDocument) -> set[ArchiveName]:
        if document.set not in self._posted:
            self._posted[document.set] = _in_post(self._union, self._history, self._arrived, document)
        return self._posted[document.set]


def _sets(union: LayeredStore, points: Sequence[Point]) -> list[SetDocument]:
    return [*sets_behind(union, points), *_shipments(union)]


def _shipments(union: LayeredStore) -> Iterator[SetDocument]:
    """Yield the shipments to which disks at hand belong, by the labels that vaults wrote.

    They only tell which disk to attach.
    """
    labels = [label for store in union.stores if (label := label_of(store)) is not None and label.authority]
    for machine, key in sorted({(label.machine, label.signer) for label in labels}):
        yield from _signed_sets(union, machine, key)


def sets_behind(union: LayeredStore, points: Iterable[Point]) -> list[SetDocument]:
    """Return the sets of the machines that made `points`, by the documents that these machines signed."""
    machines = sorted({(p.manifest.machine, p.root.public_key) for p in points})
    return newest_sets(
        d for machine, key in machines for d in _signed_sets(union, machine, bytes.fromhex(key))
    )


def _signed_sets(union: LayeredStore, machine: MachineId, key: bytes) -> Iterator[SetDocument]:
    for name in union.list(layout.set_prefix(machine)):
        with suppress(FormatError, IntegrityError, StoreError, MediaError):
            yield envelope.read(union.get_document(name), name).verify(SetDocument, key)


def _needed_by(union: LayeredStore, points: Sequence[Point], document: SetDocument) -> set[ArchiveName]:
    """Return the archives that a set brings and the points need, as far as their need lists can be read."""
    names: set[ArchiveName] = set()
    for point in points:
        if brings(document, point.manifest, point.digest):
            with suppress(FormatError, IntegrityError, StoreError, MediaError):
                names |= {need.archive.name for need in needed_of(union, point)}
    return names


def _in_post(
    union: LayeredStore, points: Sequence[Point], arrived: Arrivals, document: SetDocument
) -> set[ArchiveName]:
    """Return the archives that only the disks of a set bring.

    No earlier point needs them, and no disk that came lists them.
    """
    brought = [point for point in points if brings(document, point.manifest, point.digest)]
    first = min((point.manifest.sequence for point in brought), default=0)
    found: set[ArchiveName] = set()
    for point in brought:
        with damage_aside():
            found |= {
                n.archive.name for n in needed_of(union, point) if n.archive.archive_class == CONTENT_CLASS
            }
    for point in points if found else ():
        if point.manifest.sequence < first:
            with damage_aside():
                found -= {need.archive.name for need in needed_of(union, point)}
    return found - arrived.listed(document)


def check_latest(home: Home, vault: Store, monitor: Monitor) -> None:
    """Report a finding if this machine's vault has lost the last point that it took from the machine.

    The vault is fine if it has this point whole, or a later one, or if the point has expired. An operator may
    withhold a document, but cannot forge one. Raises StoreError, MediaError.
    """
    identity, known = home.identity, home.state.acknowledged
    cached, prefix = home.path / "cache", layout.manifest_prefix(home.identity.machine)
    if known is None or not cached.is_dir():
        return
    with LocalStore.open(str(cached), read_only=True) as cache:
        last = next((name for name, _ in cache.list(prefix) if layout.is_name_of(name, known)), None)
        if last is None:
            return
        listed = [name for name, _ in vault.list(prefix) if layout.number_of(name) >= layout.number_of(last)]
        for name in listed:
            with damage_aside():
                signed = envelope.read(vault.get(name, length=envelope.SIZE_MAX + 1), name)
                manifest = signed.verify(Manifest, raw_public(identity.signing_key))
                if manifest.sequence == layout.number_of(name):
                    return
        with damage_aside():
            point = envelope.read(cache.get(last), last).peek(Manifest).point
            if point in read_kept(identity.view(vault), identity.machine, Tally()).expired:
                return
    held = "holds damaged" if last in listed else "lists no longer"
    detail = f"the vault {held} the last point that it has taken from this machine: it was rolled back, or has lost it"
    monitor.finding(Finding(code="vault-lost", subject=f"{vault.address}/{last}", detail=detail))


def nothing_here(union: LayeredStore, machines: Collection[MachineId]) -> str:
    """Return in words why no point of `machines` may be in `union`, and the remedy."""
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
