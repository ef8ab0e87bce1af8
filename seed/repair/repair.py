"""Repair: the records that the vault lacks are made again and sent; the others are named as lost.

Nothing else is sent. The order of writes:

    archives of records made again         the records have the same ids, and are durable in the vault.
    indexes                                of these archives, and of those that they are for. By them the
                                           authority judges the next document.
    this machine's replacement             names the old archives, and the records of these that they hold,
                                           or that other archives hold. The authority signs one like it after
                                           reading them.
    archives of files from old bundles     some files of these bundles have changed since; the others are
                                           laid anew.
    a revision of each point               that needs records lost for good. It takes the point's place, and
                                           names the lost files.
    a further revision of each point       that lost files, if these are back.

The same command goes on after a crash at any place in it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass

from formats import layout
from formats.documents import envelope
from formats.documents.damage import Replaced, Replacement, Wants
from formats.documents.manifest import Manifest
from formats.errors import Interrupted, MediaError, NameHeldByOtherError, StoreError, damage_aside
from formats.ids import ArchiveName, ChunkId, ContentId, digest, hex_digest
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding
from formats.rules.replacements import Stock, in_documents, index_objects, joined, sections, stand_in
from formats.store.contract import Store
from formats.tables.archive import CONTENT_CLASS, METADATA_CLASS
from formats.tables.index import CONTENT, record_digest
from formats.tables.needs import Need
from formats.tables.sections import Section, encode_objects
from seed.home.broken_records import forget_broken, found_broken
from seed.pipeline.packing import BufferPool, Packer
from seed.points.layered_store import LayeredStore
from seed.points.point_reader import PointReader
from seed.repair.chunk_recovery import Remaking, sealed_copy, wanted_rows
from seed.repair.want_list import wanted_records
from seed.revision.point_revisions import Revision
from seed.revision.recovered_files import TakenBack, take_back
from seed.session.session import Session
from seed.targets.vault_upload import ARCHIVE_SIZE, BUFFERS

Short = tuple[Need, Section]  # records that are lacking, and the index of their archive


@dataclass(frozen=True)
class RepairResult:
    """The result of a repair.

    Of the `wanted` records, so many were `made` again. `objects` counts the small objects sent. `archives`
    and `archive_bytes` count the archives sent. `revised` are the points that were revised. `lost` are the
    files that lost a version. `taken_back` are earlier losses that are losses no longer.
    """

    wanted: int = 0
    made: int = 0
    objects: int = 0
    archives: int = 0
    archive_bytes: int = 0
    revised: tuple[Manifest, ...] = ()
    lost: frozenset[bytes] = frozenset()
    taken_back: tuple[TakenBack, ...] = ()


def repair(session: Session, disks: Sequence[Store], level: int, wants: Wants | None) -> RepairResult:
    """Answer a want list, from the home, `disks` and the source; the caller has locked the home.

    Raises HomeError, VaultError, StoreError, MediaError, Interrupted; the same call goes on where it ended.
    """
    session.settle()
    broken = found_broken(session.home)
    objects = _send_objects(session, wants) if wants is not None else 0
    short = _short(session, wanted_records(wants, session.own), broken, disks)
    wanted = sum(need.live_count() for need, _ in short)
    damaged = {need.archive.name for need in broken}
    short = _offer(session, short, (s for s in _elsewhere(session) if s.archive.name not in damaged))
    with ExitStack() as stack:
        sending = stack.enter_context(closing(_Sending(session, level)))
        remaking = stack.enter_context(closing(Remaking(sending.sealer, _content_ids(short))))
        left = _make_again(session, short, disks, remaking, sending)
        rest = _offer(session, short, session.uplink.sections)
        there = session.stock()
        # Losses that the datacenter has not noticed yet are left to a later run.
        gone = {need.archive.name for need, _ in rest if not there.holds(need.archive)}
        revised, lost = list[Manifest](), set[bytes]()
        if gone:
            revision = Revision(session, gone, level)
            files = _lay_anew(left, remaking, revision, sending)
            revision.add(session.uplink.sections, files)
            revised, lost = revision.publish()
        forget_broken(session.home)
    taken_back = take_back(session, session.points(), level)
    sent = sending.sent
    size = sum(section.archive.size for section in sent)
    made = wanted - len(left)
    return RepairResult(wanted, made, objects, len(sent), size, tuple(revised), frozenset(lost), taken_back)


class _Sending:
    """The records of one run, packed and sent to the vault.

    Records that a stopped run has sent are not sent again.
    """

    def __init__(self, session: Session, level: int) -> None:
        identity = session.home.identity
        self.sealer = ChunkSealer(identity.master, level)
        self.bundle_size = session.home.chunking.bundle_size
        self._uplink = session.uplink
        self._before = len(session.uplink.sections)
        self._known = {chunk for section in session.uplink.sections for chunk in section.chunks()}
        pool = BufferPool(ARCHIVE_SIZE, BUFFERS)
        key_id = identity.master.key_id
        self._packers = {c: Packer(pool, session.uplink, c, key_id) for c in (CONTENT_CLASS, METADATA_CLASS)}

    @property
    def sent(self) -> list[Section]:
        return self._uplink.sections[self._before :]

    def __contains__(self, chunk: ChunkId) -> bool:
        return chunk in self._known

    def add(self, archive_class: int, kind: int, chunk: ChunkId, record: bytes) -> None:
        self._known.add(chunk)
        self._packers[archive_class].add(kind, chunk, record, record_digest(record))

    def seal(self, raw: bytes) -> ChunkId:
        """Send content, unless it is sent already; return its id."""
        chunk = self.sealer.chunk_id(CONTENT, raw)
        if chunk not in self:
            self.add(CONTENT_CLASS, CONTENT, chunk, self.sealer.seal(CONTENT, chunk, raw))
        return chunk

    def drain(self) -> None:
        """Wait until everything is durable."""
        for packer in self._packers.values():
            packer.flush()
        self._uplink.drain()

    def close(self) -> None:
        """Send everything that was made, however the run ends."""
        with suppress(StoreError, MediaError):  # the caller reports the first error
            self.drain()


def _short(
    session: Session, wanted: Sequence[Need], broken: Sequence[Need], disks: Sequence[Store]
) -> list[Short]:
    """Return the records that are wanted or were found broken, and are still not there.

    Records that cannot be named, because there is no index, are a finding.
    """
    if not wanted and not broken:
        return []
    there = session.stock()
    there.there.difference_update((layout.archive_name(n.archive.name), n.archive.size) for n in broken)
    lacking = [rest for need in joined([*wanted, *broken]) if (rest := there.lacking(need)) is not None]
    stores = [*session.own.stores, *disks]
    objects = (found for store in stores for found in index_objects(store))
    indexes, _ = sections(objects, [need.archive for need in lacking])
    for need in lacking:
        if need.archive.name not in indexes:
            detail = "its index is nowhere: what lay in it cannot be named"
            name = layout.archive_name(need.archive.name)
            session.monitor.finding(Finding(code="chunk-missing", subject=name, detail=detail))
    return [(n, indexes[n.archive.name]) for n in lacking if n.archive.name in indexes]


def _content_ids(short: Iterable[Short]) -> set[ChunkId]:
    return {row.chunk for need, section in short for row in wanted_rows(need, section)}


def _make_again(
    session: Session, short: Sequence[Short], disks: Sequence[Store], remaking: Remaking, sending: _Sending
) -> list[ChunkId]:
    """Send the records that can be made again under their ids; return the ids of the others.

    The source is asked last: it may have changed.
    """
    stores = [*(store for store in session.own.stores if store is not session.vault), *disks]
    rest = []
    for need, section in short:
        for row in wanted_rows(need, section):
            if row.chunk in sending:
                continue
            if (record := sealed_copy(stores, need, row)) is not None:
                sending.add(need.archive.archive_class, row.kind, row.chunk, record)
            else:
                rest.append(row)
    if any(row.kind == CONTENT for row in rest):
        _learn(session, remaking)
    left = []
    for row in rest:
        if session.monitor.stopping():
            raise Interrupted(2)
        raw = remaking.make(row.chunk) if row.kind == CONTENT else None
        if raw is None:
            left.append(row.chunk)
        else:
            sending.seal(raw)
            session.monitor.progress(done=len(raw))
    sending.drain()
    return left


def _learn(session: Session, remaking: Remaking) -> None:
    """Learn the files of the wanted chunks from all points, the newest first."""
    for point in reversed(session.points()):
        # A damaged catalog is passed over here; a point that is revised reports it.
        with damage_aside():
            remaking.learn(PointReader(session.own, point, session.monitor))


def _offer(session: Session, short: Sequence[Short], sections: Iterable[Section]) -> list[Short]:
    """Tell the vault which lacking records lie in these archives; return those still lacking."""
    entries: list[Replaced] = []
    indexes: dict[ArchiveName, Section] = {}
    rest = list(short)
    for section in sections if rest else ():
        for entry in (found := stand_in(rest, section)):
            entries.append(entry)
            old = next(s for need, s in rest if need.archive == entry.archive.holding)
            indexes |= {s.archive.name: s for s in (old, section)}
        if found:
            there = Stock({(layout.archive_name(e.by.holding.name), e.by.size) for e in found})
            there.add(found, copied=False)
            rest = [(left, s) for need, s in rest if (left := there.lacking(need)) is not None]
            if not rest:
                break
    if entries:
        # The authority judges the offer by these indexes: it may have lost them.
        for data in encode_objects(indexes.values()):
            session.vault.put_new(layout.index_name(digest(data)), data)
        _put_offer(session, entries)
    return rest


def _put_offer(session: Session, entries: Sequence[Replaced]) -> None:
    identity = session.home.identity
    prefix = layout.offers_prefix(identity.machine)
    number = sum(1 for _ in session.vault.list(prefix))
    for part in in_documents(entries):
        number += 1
        document = Replacement(
            copied=False,
            vault=identity.vault,
            key_id=identity.master.key_id.hex(),
            role="machine",
            created=int(session.home.clock.now()),
            replaced=part,
        )
        signed = envelope.sign(document, identity.signing_key)
        session.vault.put_new(layout.numbered(prefix, number, hex_digest(signed)), signed)


def _elsewhere(session: Session) -> Iterator[Section]:
    """Yield the indexes of archives in the vault that points of this machine need, the newest first."""
    there, seen = session.stock(), set[ArchiveName]()
    for point in reversed(session.points()):
        needed: Sequence[Section | None] = ()
        with damage_aside():
            needed = PointReader(session.own, point, session.monitor).sections
        for section in needed:
            if section is not None and section.archive.name not in seen and there.holds(section.archive):
                seen.add(section.archive.name)
                yield section


def _lay_anew(
    left: Sequence[ChunkId], remaking: Remaking, revision: Revision, sending: _Sending
) -> list[tuple[bytes, ChunkId, int]]:
    """Lay into new bundles the files of broken bundles that are still there, and lie nowhere else.

    Returns for each file the content id, the bundle and the offset in it.
    """
    laid: list[tuple[bytes, ChunkId, int]] = []
    bundle, waiting = bytearray(), list[tuple[ContentId, int]]()
    done: set[ContentId] = set()

    def close() -> None:
        if bundle:
            chunk = sending.seal(bytes(bundle))
            laid.extend((content, chunk, at) for content, at in waiting)
        bundle.clear()
        waiting.clear()

    for lost in left:
        for content, data in remaking.files(lost):
            if content in done or revision.has(content):
                continue
            if len(bundle) + len(data) > sending.bundle_size:
                close()
            done.add(content)
            waiting.append((content, len(bundle)))
            bundle += data
    close()
    sending.drain()
    return laid


def _send_objects(session: Session, wants: Wants) -> int:
    """Send the small objects that the vault lacks and this home has; return how many were sent."""
    sent = 0
    kept = LayeredStore([store for store in session.own.stores if store is not session.vault])
    for name in wants.objects:
        data = None
        with damage_aside():
            data = kept.get(name)
        if data is None or not layout.is_name_of(name, hex_digest(data)):
            detail = "the vault lacks it, and this home has it no more"
            session.monitor.finding(Finding(code="object-missing", subject=name, detail=detail))
            continue
        try:
            sent += session.vault.put_new(name, data)
        except NameHeldByOtherError as error:
            session.monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
    return sent
