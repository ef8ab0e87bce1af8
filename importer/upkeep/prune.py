"""Prune: retention is applied, and objects that nobody needs any more are deleted, without keys.

The order of writes is the safety argument (SWEEP-1 to SWEEP-4):

    the sweep begins                       an import that comes from here on waits; this object gives the
                                           store's time.
    the terms                              complete points are admitted; points after their term expire.
    all needs are read                     an import with a job in the vault stops the sweep here.
    objects condemned a day ago            are deleted, unless needed by now; then the list that named them.
    the manifests of expired points        nobody counts them any more.
    the sweep ends.
    new archives, replacements             the live records of archives that are mostly dead.
    a condemned list                       objects that nobody needs; nobody builds on them from here on.

A machine reads the lists and the archives in the vault less than an hour before it puts a manifest. A day is
longer than an hour. So there are two cases for an archive on which it builds. Either the machine knows it as
condemned, or the manifest is there when prune reads the needs. After a kill at any place, the next run finds
everything as it is, and goes on.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from formats import layout
from formats.documents.damage import Replacement, Wants
from formats.documents.envelope import Signed
from formats.documents.job import Validation
from formats.documents.manifest import Manifest
from formats.documents.retention import CONDEMNED_MAX, Condemned
from formats.documents.vault import Membership
from formats.errors import OffseedError
from formats.ids import HexDigest, MachineId
from formats.monitor import Monitor, Tally
from formats.rules.replacements import Stock, index_objects
from formats.rules.retention import read_kept
from formats.store.clock import moment_of
from formats.view.facts import Look
from importer.upkeep.compaction import compact, wasting
from importer.vault.doubtful import Doubtful
from importer.vault.reachability import Live, Needed, effective, needed
from importer.vault.registers import register
from importer.vault.retention import RetentionDecision, decide, publish
from importer.vault.sweeps import Sweeping, begin
from importer.vault.vault import Vault, members

GRACE = timedelta(hours=24)


@dataclass
class PruneResult:
    """The decisions of a prune, and the objects that it deleted, rewrote and condemned.

    In a rehearsal, these are the changes that it would make. `importing` are the imports that go on: because
    of them, nothing was deleted. `blind` are the machines with unreadable documents.
    """

    decided: list[RetentionDecision] = field(default_factory=list)
    deleted: int = 0
    deleted_bytes: int = 0
    acquitted: int = 0
    rewritten: int = 0
    rewritten_bytes: int = 0
    condemned: int = 0
    condemned_bytes: int = 0
    waiting: int = 0  # objects of lists that are not a day old
    ripe: datetime | None = None  # the time at which the next of these will be
    importing: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()


def prune(
    vault: Vault, wanted: Callable[[Membership], bool], monitor: Monitor, *, rehearse: bool = False
) -> PruneResult:
    """Apply the retention of the `wanted` machines, and delete unneeded objects. Raises StoreError."""
    if not rehearse:
        register(vault, monitor)
    known = members(vault, monitor)
    if rehearse:
        return _pruned(vault, known, wanted, None, moment_of(vault.clock), monitor)
    sweeping = begin(vault)
    try:
        return _pruned(vault, known, wanted, sweeping, sweeping.began, monitor)
    finally:
        with suppress(OffseedError):  # no import need wait for a sweep that has failed
            sweeping.end()


def _pruned(
    vault: Vault,
    known: Mapping[MachineId, Membership],
    wanted: Callable[[Membership], bool],
    sweeping: Sweeping | None,
    now: datetime,
    monitor: Monitor,
) -> PruneResult:
    """Prune at a time of the store's clock; without `sweeping`, rehearse it."""
    done = PruneResult(decide(vault, known, wanted, int(now.timestamp()), monitor))
    if sweeping is not None:
        publish(vault, done.decided)
        if any(item.admitted or item.expired for item in done.decided):
            register(vault, monitor)  # a term that rots before the next run would be missed by nobody
    expired = {item.member.machine: {manifest.point for manifest in item.expired} for item in done.decided}
    found = needed(vault, known, expired, now.timestamp(), monitor)
    live = effective(vault, found)
    done.importing, done.blind = tuple(found.importing), tuple(_names(known, found.blind))
    if sweeping is not None:
        _sweep(sweeping, known, found, live, done, monitor)
        for key_id in sorted(live.keys() - found.blind):
            count, size = _compact(vault, key_id, found.stocks[key_id], live[key_id], now, monitor)
            done.rewritten += count
            done.rewritten_bytes += size
        live = effective(vault, found) if done.rewritten else live
    lists = {name: document for name, document, _ in _lists(vault, monitor)}
    doomed = _doomed(vault, found, live, lists.values(), now)
    done.condemned, done.condemned_bytes = len(doomed), sum(size for _, size in doomed)
    if sweeping is not None:
        last = max((document.number for document in lists.values()), default=0)
        lists |= _condemn(vault, [name for name, _ in doomed], last)
    for name, document in lists.items():
        if (written := vault.store.written(name)) is not None:
            done.waiting += len(document.names)
            done.ripe = min(filter(None, (done.ripe, written + GRACE)))
    return done


def _sweep(
    sweeping: Sweeping,
    known: Mapping[MachineId, Membership],
    found: Needed,
    live: Mapping[str, Live],
    done: PruneResult,
    monitor: Monitor,
) -> None:
    vault, swept = sweeping.vault, list[HexDigest]()
    ripe = [
        (name, document, signed.digest)
        for name, document, signed in _lists(vault, monitor)
        if not found.importing and _is_old(vault, name, sweeping.began)
    ]
    unneeded = dict(_unneeded(vault, found, live)) if ripe else {}
    for name, document, digest in ripe:
        for condemned_name in document.names:
            if sweeping.late or monitor.stopping():
                break
            if condemned_name in unneeded:
                vault.store.delete(condemned_name)
                done.deleted += 1
                done.deleted_bytes += unneeded.pop(condemned_name)
                monitor.progress(files=1)
            else:
                done.acquitted += vault.store.head(condemned_name) is not None
        else:
            vault.store.delete(name)
            swept.append(digest)
    _forget_points(vault, known)
    sweeping.end(swept, done.deleted, done.deleted_bytes)
    _forget_older(vault, known)


def _unneeded(vault: Vault, found: Needed, live: Mapping[str, Live]) -> Iterator[tuple[str, int]]:
    """Yield the objects that nobody needs, and their sizes.

    If a document cannot be read, the objects that may depend on it are not among them.
    """
    doubtful = Doubtful(vault, found)
    if doubtful.all or not found.keys:
        return
    stays = {layout.archive_name(archive.name) for needs in live.values() for archive in needs}
    for name, size in vault.store.list("archives"):
        if name not in stays and not doubtful.has_archive(name):
            yield name, size
    for name, size in vault.store.list("needs"):
        if name not in found.objects and not doubtful.has_need(name):
            yield name, size
    olds = {archive.name for needs in found.live.values() for archive in needs}
    described = olds | {archive.name for needs in live.values() for archive in needs}
    sizes = dict(vault.store.list("indexes"))
    for name, listed in index_objects(vault.store):
        if name not in sizes or any(section.archive.name in described for section in listed):
            continue
        if not doubtful.has_index(name, listed):
            yield name, sizes[name]
    for fact in vault.view.look(layout.REPLACEMENTS, Replacement, vault.key, Tally()).facts:
        needs = found.live.get(fact.document.key_id, {})
        if doubtful.has_key(fact.document.key_id):
            continue
        if not any(entry.archive.holding in needs for entry in fact.document.replaced):
            yield fact.name, len(fact.signed.data)


def _doomed(
    vault: Vault, found: Needed, live: Mapping[str, Live], lists: Iterable[Condemned], now: datetime
) -> list[tuple[str, int]]:
    """Return the unneeded objects that are a day old and on no condemned list yet, and their sizes.

    A manifest that needs a younger object may be on its way.
    """
    before = {name for document in lists for name in document.names}
    unneeded = _unneeded(vault, found, live)
    return [(name, size) for name, size in unneeded if name not in before and _is_old(vault, name, now)]


def _condemn(vault: Vault, names: Sequence[str], last: int) -> Iterator[tuple[str, Condemned]]:
    """Put the names on condemned lists, numbered after the `last` one. Yield these lists by their names."""
    for number, at in enumerate(range(0, len(names), CONDEMNED_MAX), last + 1):
        document = Condemned(
            number=number,
            vault=vault.id,
            role="authority",
            created=vault.now(),
            names=tuple(names[at : at + CONDEMNED_MAX]),
        )
        yield vault.sign(layout.CONDEMNED, number, document), document


def _compact(
    vault: Vault, key_id: str, stock: Stock, live: Live, now: datetime, monitor: Monitor
) -> tuple[int, int]:
    """Rewrite the archives of a key that are mostly dead. Return their number, and the bytes of the new ones."""
    here = {archive: bits for archive, bits in live.items() if stock.holds(archive)}
    chosen = [
        item
        for item in wasting(vault, here)
        if _is_old(vault, layout.archive_name(item.archive.name), now) and not monitor.stopping()
    ]
    made = compact(vault, key_id, chosen, stock, monitor) if chosen else []
    return len(chosen) if made else 0, sum(archive.size for archive, _ in made)


def _is_old(vault: Vault, name: str, now: datetime) -> bool:
    written = vault.store.written(name)
    return written is not None and now - written >= GRACE


def _forget_points(vault: Vault, known: Mapping[MachineId, Membership]) -> None:
    """Delete the manifests of points that have expired."""
    for machine in known:
        gone = read_kept(vault.view, machine, Tally()).expired
        key = bytes.fromhex(known[machine].public_key)
        look = vault.view.look(layout.manifest_prefix(machine), Manifest, key, Tally()) if gone else Look()
        for fact in look.facts:
            if fact.document.point in gone:
                vault.store.delete(layout.copy_name(fact.name))
                vault.store.delete(fact.name)
                vault.view.forget(fact.name)


def _forget_older(vault: Vault, known: Mapping[MachineId, Membership]) -> None:
    """Delete want lists and validations that a newer one has replaced."""
    prefixes: dict[str, type[Wants] | type[Validation]] = {
        layout.wants_prefix(member.key_id): Wants for member in known.values()
    }
    for prefix, kind in {**prefixes, "validations": Validation}.items():
        if (last := vault.view.newest(prefix, kind, vault.key, Tally())) is not None:
            for name, _ in list(vault.store.list(prefix)):
                if layout.number_of(name) < last.number:
                    vault.store.delete(name)


def _lists(vault: Vault, monitor: Monitor) -> list[tuple[str, Condemned, Signed]]:
    facts = vault.view.look(layout.CONDEMNED, Condemned, vault.key, monitor).facts
    return [(fact.name, fact.document, fact.signed) for fact in facts]


def _names(known: Mapping[MachineId, Membership], keys: Collection[str]) -> list[str]:
    return sorted({member.name for member in known.values() if member.key_id in keys})
