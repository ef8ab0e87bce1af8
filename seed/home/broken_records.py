"""Damage that the last verification of the vault found. The home keeps it until it is repaired."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from formats.documents.codec import Record, blob, many, member, nested
from formats.documents.damage import ArchiveRow
from formats.errors import HomeError
from formats.records import read_record, write_record
from formats.tables.index import RECORDS_MAX
from formats.tables.needs import Need
from seed.home.home import Home

BROKEN_MAX = 100_000


class Broken(Record):
    """Records of an archive that did not open, or that no store holds."""

    archive: ArchiveRow = member(nested(ArchiveRow))
    records: bytes = member(blob((RECORDS_MAX + 7) // 8))


class FoundDamage(Record):
    """The damage that a verification found. The home keeps it until it is repaired."""

    broken: tuple[Broken, ...] = member(many(nested(Broken), BROKEN_MAX), default=())


def found_broken(home: Home) -> list[Need]:
    """Return the damage that the last verification found, if it is not repaired."""
    with suppress(HomeError, FileNotFoundError):
        if _path(home).exists():
            found = read_record(_path(home), FoundDamage)
            return [Need(b.archive.holding, b.records) for b in found.broken]
    return []


def forget_broken(home: Home) -> None:
    _path(home).unlink(missing_ok=True)


def keep_broken(home: Home, broken: Sequence[Need]) -> None:
    if not broken:
        forget_broken(home)
        return
    rows = tuple(
        Broken(archive=ArchiveRow.of(need.archive), records=need.live) for need in broken[:BROKEN_MAX]
    )
    write_record(_path(home), FoundDamage(broken=rows))


def _path(home: Home) -> Path:
    return home.path / "run/broken.json"
