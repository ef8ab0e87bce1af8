"""Recovery points revised: those that need what is gone, so that they name what can still be had, and what is lost."""

import os
from collections.abc import Collection, Iterable, Sequence

from formats.documents.manifest import Manifest
from formats.errors import FormatError, IntegrityError, MediaError, StoreError, damage_aside
from formats.ids import ArchiveName, ChunkId, ContentId
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding
from formats.tables.archive import METADATA_CLASS
from formats.tables.index import CATALOG
from formats.tables.needs import Need
from formats.tables.sections import Section
from seed.chunking import Sealed
from seed.new_point import describe, sign_revision
from seed.packing import METADATA_SIZE, BufferPool, Packer
from seed.point_reader import PointReader
from seed.reading import Point, needed_of
from seed.revising import Revising
from seed.sealing import Known
from seed.work import Work


def unmet(work: Work, found: Sequence[Point], gone: Collection[ArchiveName]) -> list[Point]:
    """The points that this machine signed and that need what is gone. One that cannot be read is a finding."""
    found_unmet = []
    there = work.stock().without(gone)
    for point in found:
        if point.manifest.machine != work.home.identity.machine:
            continue
        try:
            needed = needed_of(work.own, point)
            if any(n.archive.name in gone and there.lacking(n) is not None for n in needed):
                found_unmet.append(point)
        except (FormatError, IntegrityError, StoreError, MediaError) as error:
            _tell_unrevised(work, point, error.code, error.what)
    return found_unmet


class Revision:
    """Revises every point that needs archives which are `gone`. What is elsewhere, or may come yet, is left as it is."""

    def __init__(self, work: Work, gone: Collection[ArchiveName], level: int) -> None:
        """Takes in what any point has, the newest first. What cannot be read is said of the points that are revised."""
        self._work = work
        self._gone = gone
        found = work.points()
        self._there = work.stock().without(gone)
        self.short = unmet(work, found, gone)
        master = work.home.identity.master
        self._metadata = Packer(BufferPool(METADATA_SIZE, 2), work.cache, METADATA_CLASS, master.key_id)
        self._known = Known()
        self._revising = Revising(ChunkSealer(master, level), self._known, self._store)
        # The archives of all points that are not gone: their indexes, and what is counted in them.
        self._sections: dict[ArchiveName, Section] = {}
        self._needs: dict[ArchiveName, Need] = {}
        for point in reversed(found) if self.short else ():
            with damage_aside():
                self._learn(PointReader(work.own, point, work.monitor))

    def has(self, content: ContentId) -> bool:
        """Whether a small file's content lies somewhere."""
        return self._revising.has(content)

    def add(self, sections: Iterable[Section], files: Sequence[tuple[bytes, ChunkId, int]]) -> None:
        """Content was laid anew: archives, and of small files their content id, bundle and offset in it."""
        for section in sections:
            self._sections[section.archive.name] = section
            self._known.add_all(section.chunks())
        self._revising.remember(files)

    def publish(self) -> tuple[list[Manifest], set[bytes]]:
        """The new manifests, put into the vault, and the files of which a version is lost. Raises as `Work.publish`."""
        work, manifests, lost = self._work, list[Manifest](), set[bytes]()
        for point in self.short:
            try:
                reader = PointReader(work.own, point, work.monitor)
                stood = {n.archive.name: n for n in reader.needs if n.archive.name not in self._gone}
                if unread := stood.keys() - self._sections.keys():
                    why = f"the indexes of {len(unread)} archives cannot be read"
                    _tell_unrevised(work, point, "chunk-missing", why)
                    continue
                revised = self._revising.revise(reader)
            except (FormatError, IntegrityError, StoreError, MediaError) as error:
                _tell_unrevised(work, point, error.code, error.what)
                continue
            self._metadata.flush()
            sections = [*self._sections.values(), *work.cache.sections]
            needs = [*(self._needs | stood).values()]
            described = describe(sections, revised.catalogued, needs, work.own.condemned)
            count = len(revised.lost)
            signed = sign_revision(work.home, revised.catalogued, described, point, count)
            waiting = {n.archive.name for n in described.needed if self._there.lacking(n) is not None}
            manifests.append(work.publish(described, signed, waiting))
            _tell_lost(work, point, [path for path in revised.lost if path not in lost])
            lost.update(revised.lost)
        return manifests, lost

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


def _tell_lost(work: Work, point: Point, paths: Collection[bytes]) -> None:
    for path in paths:
        detail = f"what point {point.manifest.point[:8]} held of it is lost"
        work.monitor.finding(Finding(code="content-lost", subject="/" + os.fsdecode(path), detail=detail))


def _tell_unrevised(work: Work, point: Point, code: str, why: str) -> None:
    subject = f"point {point.manifest.point[:8]}"
    detail = f"{why}; it waits as before, and the same command tries it again"
    work.monitor.finding(Finding(code=code, subject=subject, detail=detail))
