"""Revised recovery points: they replace points that need lost archives.

They name the contents that can still be had, and the files that are lost.
"""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from formats.documents.manifest import Manifest
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    NameHeldByOtherError,
    StoreError,
    damage_aside,
)
from formats.ids import ArchiveName, ChunkId, ContentId
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding
from formats.tables.archive import METADATA_CLASS
from formats.tables.index import CATALOG
from formats.tables.needs import Need
from formats.tables.sections import Section
from seed.pipeline.chunks import Sealed
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.packing import METADATA_SIZE, BufferPool, Packer
from seed.points.point_reader import PointReader
from seed.points.points import Point, needed_of
from seed.revision.catalog_revision import Revising, RevisionResult
from seed.session.new_manifest import describe, sign_revision
from seed.session.session import Session

Needs = dict[ArchiveName, Need]


def unmet(session: Session, found: Sequence[Point], gone: Collection[ArchiveName]) -> list[Point]:
    """Return the points that this machine signed and that need archives which are gone.

    A point that cannot be read is a finding.
    """
    found_unmet = []
    there = session.stock().without(gone)
    for point in found:
        if point.manifest.machine != session.home.identity.machine:
            continue
        try:
            needed = needed_of(session.own, point)
            if any(n.archive.name in gone and there.lacking(n) is not None for n in needed):
                found_unmet.append(point)
        except (FormatError, IntegrityError, StoreError, MediaError) as error:
            _tell_unrevised(session, point, error.code, error.what)
    return found_unmet


@dataclass(frozen=True)
class RevisionBase:
    """A base for a further revision, and the number of files that would be `lost` in that."""

    reader: PointReader
    stood: Needs
    lost: int


class Revision:
    """The revision of every point that needs archives which are `gone`.

    Points are left as they are if their records lie elsewhere, or may come yet.
    """

    def __init__(
        self, session: Session, gone: Collection[ArchiveName], level: int, earlier: Sequence[Point] = ()
    ) -> None:
        """Learn the contents of all points, the newest first; before these, of the `earlier` revisions.

        Points are renewed from the `earlier` revisions. Only the points that are revised report a catalog
        that cannot be read.
        """
        self._session = session
        self._gone = gone
        found = session.points()
        self._there = session.stock().without(gone)
        self.short = unmet(session, found, gone)
        master = session.home.identity.master
        self._metadata = Packer(BufferPool(METADATA_SIZE, 2), session.cache, METADATA_CLASS, master.key_id)
        self._known = KnownChunks()
        self._revising = Revising(ChunkSealer(master, level), self._known, self._store)
        # The archives of all points that are not gone: their indexes, and the records that count in them.
        self._sections: dict[ArchiveName, Section] = {}
        self._needs: Needs = {}
        for point in (*earlier, *reversed(found)) if self.short or earlier else ():
            with damage_aside():
                self._learn(PointReader(session.own, point, session.monitor))

    def has(self, content: ContentId) -> bool:
        """Return whether a small file's content lies somewhere."""
        return self._revising.has(content)

    def add(self, sections: Iterable[Section], files: Sequence[tuple[bytes, ChunkId, int]]) -> None:
        """Take in content that was laid anew: archives, and small files by content id, bundle and offset."""
        for section in sections:
            self._sections[section.archive.name] = section
            self._known.add_all(section.chunks())
        self._revising.remember(files)

    def publish(self) -> tuple[list[Manifest], set[bytes]]:
        """Put the new manifests into the vault; return them, and the files that lost a version.

        Raises as `Session.publish`.
        """
        session, manifests, lost = self._session, list[Manifest](), set[bytes]()
        for point in self.short:
            try:
                reader, stood = self._read(point)
                revised = self._revising.revise(reader)
            except (FormatError, IntegrityError, StoreError, MediaError) as error:
                _tell_unrevised(session, point, error.code, error.what)
                continue
            if (manifest := self._put(revised, stood, point)) is None:
                continue
            manifests.append(manifest)
            _tell_lost(session, point, [path for path in revised.lost if path not in lost])
            lost.update(revised.lost)
        return manifests, lost

    def base(self, earlier: Sequence[Point]) -> RevisionBase | None:
        """Return the first of some revisions of a point that can be read; nothing is written for it."""
        for point in earlier:
            with damage_aside():
                reader, stood = self._read(point)
                return RevisionBase(reader, stood, len(self._revising.lost(reader)))
        return None

    def renew(self, newest: Point, base: RevisionBase) -> Manifest | None:
        """Put a further revision after the `newest` one, made from another, as `publish` does."""
        return self._put(self._revising.revise(base.reader), base.stood, newest)

    def _read(self, point: Point) -> tuple[PointReader, Needs]:
        """Return a reader of a point, and those of its needs that are not gone.

        Raises IntegrityError, FormatError, StoreError, MediaError.
        """
        reader = PointReader(self._session.own, point, self._session.monitor)
        stood = {n.archive.name: n for n in reader.needs if n.archive.name not in self._gone}
        if unread := stood.keys() - self._sections.keys():
            raise IntegrityError("chunk-missing", f"the indexes of {len(unread)} archives cannot be read")
        return reader, stood

    def _put(self, revised: RevisionResult, stood: Needs, before: Point) -> Manifest | None:
        """Put the revision that takes the place of `before`. Raises as `Session.publish`.

        Return None, after a finding, if a damaged object in the vault holds one of its names: the importer
        must remove that first.
        """
        session = self._session
        self._metadata.flush()
        sections = [*self._sections.values(), *session.cache.sections]
        needs = [*(self._needs | stood).values()]
        described = describe(sections, revised.catalogued, needs, session.own.condemned)
        signed = sign_revision(session.home, described, before, len(revised.lost))
        waiting = {n.archive.name for n in described.needed if self._there.lacking(n) is not None}
        try:
            return session.publish(described, signed, waiting)
        except NameHeldByOtherError as error:
            _tell_unrevised(session, before, error.code, f"{error.subject}: {error.what}")
            return None

    def _learn(self, reader: PointReader) -> None:
        for need, section in zip(reader.needs, reader.sections, strict=True):
            if section is not None and need.archive.name not in self._gone:
                self._sections.setdefault(need.archive.name, section)
                self._needs.setdefault(need.archive.name, need)
                self._known.add_all(section.chunks())
        self._revising.learn(reader)

    def _store(self, sealed: Sealed) -> None:
        assert sealed.record is not None
        self._metadata.add(CATALOG, sealed.chunk, sealed.record, sealed.record_digest)


def _tell_lost(session: Session, point: Point, paths: Collection[bytes]) -> None:
    for path in paths:
        detail = f"what point {point.manifest.point[:8]} held of it is lost"
        session.monitor.finding(Finding(code="content-lost", subject="/" + os.fsdecode(path), detail=detail))


def _tell_unrevised(session: Session, point: Point, code: str, why: str) -> None:
    subject = f"point {point.manifest.point[:8]}"
    detail = f"{why}; it waits as before, and the same command tries it again"
    session.monitor.finding(Finding(code=code, subject=subject, detail=detail))
