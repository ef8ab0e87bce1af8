"""The verification of a vault: it reads and opens, with the keys, the records that this machine needs.

The home keeps the records that do not open. The next repair makes them again, even if the datacenter has not
noticed.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from mmap import mmap

from formats import layout
from formats.documents import envelope
from formats.errors import (
    FormatError,
    IntegrityError,
    Interrupted,
    MediaError,
    NotFoundError,
    StoreError,
    is_damage,
)
from formats.ids import digest, hex_digest
from formats.keyed.chunk import ChunkSealer
from formats.monitor import Finding, damage_told
from formats.rules.replacements import joined
from formats.tables.archive import ARCHIVE_SIZE_MAX
from formats.tables.index import IndexRow
from formats.tables.needs import Need, bitmap
from formats.tables.sections import Section
from formats.words import counted
from seed.home.broken_records import keep_broken
from seed.identity.passphrases import slots_of
from seed.points.layered_store import LayeredStore, believed
from seed.points.point_reader import PointReader
from seed.session.session import Session


@dataclass
class VaultVerdict:
    """The result: archives, their bytes, opened records, and the archives with missing or broken records."""

    archives: int = 0
    bytes: int = 0
    records: int = 0
    broken: list[Need] = field(default_factory=list)


def verify_vault(session: Session) -> VaultVerdict:
    """Read all archives that the points of this machine need and that have arrived.

    Raises Interrupted, StoreError, HomeError.
    """
    monitor = session.monitor
    todo, unheld = _needed(session)
    monitor.expect(total=sum(need.archive.size for need, _ in todo), files=0, final=True)
    verdict = VaultVerdict(broken=unheld)
    _check_slots(session)
    for need in unheld:
        name = f"{session.vault.address}/{layout.archive_name(need.archive.name)}"
        detail = f"the vault says that others hold it, and {counted(need.live_count(), 'record')} of it that are needed are in none"
        monitor.finding(Finding(code="object-missing", subject=name, detail=detail))
    buffer = memoryview(mmap(-1, ARCHIVE_SIZE_MAX))
    sealer = ChunkSealer(session.home.identity.master)
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for need, section in todo:
            if monitor.stopping():
                raise Interrupted(2)
            name = layout.archive_name(need.archive.name)
            try:
                data = buffer[: session.vault.get_into(name, buffer)]
            except NotFoundError:
                continue  # it waits for a disk, or a want list of the vault says that the vault lacks it
            except (IntegrityError, StoreError, MediaError) as error:
                if not is_damage(error):
                    raise
                monitor.finding(
                    Finding(code=error.code, subject=f"{session.vault.address}/{name}", detail=error.what)
                )
                verdict.broken.append(need)
                continue
            bad = _broken(need, section, data, sealer, pool)
            verdict.archives += 1
            verdict.bytes += len(data)
            verdict.records += need.live_count()
            monitor.progress(done=len(data))
            if bad or digest(data) != bytes(need.archive.name):
                detail = (
                    f"{len(bad):,} of the {need.live_count():,} records in it that are needed do not open"
                )
                monitor.finding(
                    Finding(code="object-damaged", subject=f"{session.vault.address}/{name}", detail=detail)
                )
            if bad:
                verdict.broken.append(Need(need.archive, bitmap(need.archive.records, bad)))
    keep_broken(session.home, verdict.broken)
    return verdict


def _check_slots(session: Session) -> None:
    """Report a finding if the vault holds this machine's key slots damaged, or not at all.

    Without the home, no passphrase would then open anything.
    """
    identity, signed = session.home.identity, session.home.identity.slots
    name = layout.numbered(
        layout.slot_prefix(identity.machine), slots_of(session.home).number, hex_digest(signed)
    )
    without = "whoever has the passphrase and not this home could restore nothing"
    code, detail = "", ""
    try:
        if session.vault.get(name, length=envelope.SIZE_MAX + 1) != signed:
            code, detail = (
                "object-damaged",
                "have the datacenter run `importer validate`, then run `seed backup`",
            )
    except NotFoundError:
        code, detail = "object-missing", "`seed backup` puts them there"
    if code:
        subject = f"{session.vault.address}/{name}"
        session.monitor.finding(
            Finding(code=code, subject=subject, detail=f"the key slots: {without}; {detail}")
        )


def _needed(session: Session) -> tuple[list[tuple[Need, Section]], list[Need]]:
    """Return the needs of the points, each archive once, with its index.

    Return also the needed records of replaced archives that no archive holds.
    """
    needs: list[Need] = []
    unheld: list[Need] = []
    indexes: dict[bytes, Section] = {}
    union = LayeredStore([session.vault], believed(session.home))
    for point in session.points():
        with damage_told(session.monitor, f"point {point.manifest.point[:8]}"):
            reader = PointReader(union, point, session.monitor)
            needs += reader.needs
            unheld += reader.unheld
            indexes |= {s.archive.name: s for s in reader.sections if s is not None}
    at_hand = [(need, indexes[need.archive.name]) for need in joined(needs) if need.archive.name in indexes]
    return at_hand, joined(unheld)


def _broken(
    need: Need, section: Section, data: memoryview, sealer: ChunkSealer, pool: ThreadPoolExecutor
) -> list[int]:
    """Return the numbers of the needed records that do not open."""
    name = layout.archive_name(need.archive.name)
    rows = [(number, row) for number, row in enumerate(section.rows(name)) if need.is_live(number)]

    def opens(item: tuple[int, IndexRow]) -> bool:
        row = item[1]
        try:
            sealer.open(row.kind, row.chunk, data[row.offset : row.offset + row.length], name)
        except (FormatError, IntegrityError):
            return False
        return True

    return [number for (number, _), whole in zip(rows, pool.map(opens, rows), strict=True) if not whole]
