"""Lost files that are back: a disk that was given up came after all, or damage in the vault is mended.

An earlier revision of the point still names the archives of such files. So a further revision is made from
the earlier one. It is put only if it loses fewer files (DMG-5). If no point has lost files, nothing is read
for this.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from formats import layout
from formats.documents.codec import Record, hexed, many, member
from formats.errors import HomeError, damage_aside
from formats.ids import ArchiveName, HexDigest, PointId, hex_digest
from formats.monitor import Tally
from formats.records import read_record, write_record
from formats.tables.archive import CONTENT_CLASS
from formats.tables.needs import Buckets, Need
from formats.tables.sections import Section
from formats.untrusted import Json
from formats.words import counted
from seed.home.home import Home
from seed.points.machine_keys import own_machines
from seed.points.point_reader import PointReader
from seed.points.points import Point, needed_of, revisions
from seed.revision.point_revisions import Revision
from seed.session.awaited_archives import promised
from seed.session.further_archives import NOTHING_FURTHER
from seed.session.reuse import SAMPLE_REBUILT, untrue
from seed.session.session import Session

TRIED_MAX = 10_000


@dataclass(frozen=True)
class TakenBack:
    """A point with `files` that counted as lost and are whole again."""

    point: PointId
    files: int

    def words(self) -> str:
        verb = "is" if self.files == 1 else "are"
        return f"{counted(self.files, 'file')} of point {self.point[:8]} that counted as lost {verb} back"

    def to_json(self) -> dict[str, Json]:
        return {"point": self.point, "files": self.files}


def take_back(session: Session, found: Sequence[Point], level: int) -> tuple[TakenBack, ...]:
    """Put a further revision of each point in `found` with lost files that are back, and report it.

    Raises as `Session.publish`. The same call continues where it ended.
    """
    machine = session.home.identity.machine
    lossy = [p for p in found if p.manifest.totals.lost and p.manifest.machine == machine]
    return tuple(_Losses(session, found).taken_back(lossy, level)) if lossy else ()


class Tried(Record):
    """The states of points for which nothing could be taken back."""

    states: tuple[HexDigest, ...] = member(many(hexed(32), TRIED_MAX), default=())


class _Losses:
    """The lost files that may be in the vault again.

    `coming` is the set of archives that disks may still bring.
    """

    def __init__(self, session: Session, found: Sequence[Point]) -> None:
        self._session = session
        self._found = found
        self._there = session.stock()
        coming = promised(session.home, found, session.vault, session.own, session.monitor)
        self._coming = {name for name, _ in coming}
        self._buckets: Buckets = {}

    def taken_back(self, lossy: Sequence[Point], level: int) -> Iterator[TakenBack]:
        """Renew the points with files that are back.

        A failed attempt is repeated once something changes.
        """
        session, bad = self._session, set[ArchiveName]()
        known, vain = _tried(session.home), set[HexDigest]()
        chosen: list[tuple[Point, list[Point], HexDigest]] = []
        for newest, before in self._earlier(lossy):
            state = self._state(newest, before)
            if state in known:
                vain.add(state)
            elif back := self._back(newest, before):
                wrong = self._wrong(before, back)
                bad |= wrong
                if back - wrong:
                    chosen.append((newest, before, state))
        revision = self._revision(bad, [b for _, before, _ in chosen for b in before], level)
        for newest, before, state in chosen:
            base = revision.base(before) if revision is not None else None
            lost = newest.manifest.totals.lost
            if revision is None or base is None:
                continue
            if base.lost >= lost:
                if not bad:  # else a bad archive may become whole, and the state stays the same
                    vain.add(state)
                continue
            if (manifest := revision.renew(newest, base)) is None:
                continue
            taken = TakenBack(manifest.point, lost - manifest.totals.lost)
            session.monitor.notice(taken.words())
            yield taken
        if vain != known:
            write_record(_path(session.home), Tried(states=tuple(sorted(vain)[:TRIED_MAX])))

    def _revision(self, bad: set[ArchiveName], bases: Sequence[Point], level: int) -> Revision | None:
        """Return the maker of revisions from the `bases`, or None without bases.

        Lacking and `bad` archives count as gone.
        """
        if not bases:
            return None
        lacking = {
            need.archive.name
            for point in (*bases, *self._found)
            for need in self._needed(point)
            if self._there.lacking(need) is not None
        }
        return Revision(self._session, bad | (lacking - self._coming), level, bases)

    def _state(self, newest: Point, before: Iterable[Point]) -> HexDigest:
        """Return a digest of the newest revision and of the archives of earlier ones that the vault has.

        It changes if a further attempt may succeed.
        """
        names = {
            layout.archive_name(archive.name)
            for base in before
            for need in self._needed(base)
            for archive in (need.archive, *self._there.stand_ins(need.archive))
            if self._there.holds(archive)
        }
        return hex_digest("\n".join((newest.digest, *sorted(names))).encode())

    def _earlier(self, lossy: Sequence[Point]) -> Iterator[tuple[Point, list[Point]]]:
        """Yield each point with its revisions before the newest one.

        The first revision comes first, because it names the most archives.
        """
        machines = own_machines(self._session.home.identity, [self._session.vault], Tally())
        known = sorted(revisions(self._session.own, machines, Tally()), key=lambda p: p.manifest.revision)
        for newest in lossy:
            mine = newest.manifest
            yield (
                newest,
                [
                    point
                    for point in known
                    if (point.manifest.machine, point.manifest.point) == (mine.machine, mine.point)
                    and point.manifest.revision < mine.revision
                ],
            )

    def _back(self, newest: Point, before: Iterable[Point]) -> set[ArchiveName]:
        """Return the content archives in the vault that earlier revisions need and the newest does not.

        If the newest lacks archives that no disk brings, return none. `seed repair` or `seed resend` revises
        it first.
        """
        needs = self._needed(newest)
        if any(n.archive.name not in self._coming and self._there.lacking(n) is not None for n in needs):
            return set()
        return set[ArchiveName]().union(*map(self._at_hand, before)) - self._at_hand(newest)

    def _at_hand(self, point: Point) -> set[ArchiveName]:
        """Return the content archives that a point needs and the vault has.

        Include the replacements of others.
        """
        there = self._there
        return {
            archive.name
            for need in self._needed(point)
            if need.archive.archive_class == CONTENT_CLASS
            for archive in ([need.archive] if there.holds(need.archive) else there.stand_ins(need.archive))
        }

    def _wrong(self, before: Iterable[Point], back: set[ArchiveName]) -> set[ArchiveName]:
        """Return the archives that do not hold the content that their names promise.

        Some of their records, taken at random, are opened. Anybody with write access to the vault can put
        something under a name.
        """
        session = self._session
        known: dict[ArchiveName, tuple[Need, Section]] = {}
        for base in before if back else ():
            with damage_aside():
                reader = PointReader(session.own, base, session.monitor)
                for need, section in zip(reader.needs, reader.sections, strict=True):
                    if need.archive.name in back and section is not None:
                        known[need.archive.name] = need, section
        bad = untrue(session, known, known, NOTHING_FURTHER, SAMPLE_REBUILT)
        return bad | (back - known.keys())

    def _needed(self, point: Point) -> list[Need]:
        """Return the needs of a point, or nothing if its need list cannot be read."""
        with damage_aside():
            return needed_of(self._session.own, point, self._buckets)
        return []


def _tried(home: Home) -> set[HexDigest]:
    with suppress(HomeError, FileNotFoundError):
        if _path(home).exists():
            return set(read_record(_path(home), Tried).states)
    return set()


def _path(home: Home) -> Path:
    return home.path / "run/tried.json"
