"""The report of a vault, made without keys: its machines, their points and sizes, its disks and its work."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from formats.documents.job import ImportJob
from formats.documents.vault import Membership
from formats.ids import ArchiveName, MachineId, SetId
from formats.monitor import Monitor, Tally
from formats.rules.custody import told as told_of
from formats.rules.replacements import Stock
from formats.shell.reports import charts, sections
from formats.shell.reports.facts import DiskFact, JobFact, PointFact, ReportPage, new_bytes, state_of
from formats.shell.reports.page import page, section
from formats.tables.holdings import Holding
from formats.tables.needs import Need
from formats.words import counted, moment, size
from importer.reports.jobs import jobs
from importer.reports.status import DiskStatus, SetStatus, standings
from importer.vault.losses import listed_on
from importer.vault.points import History, by_name, stocks
from importer.vault.receipts import receipts
from importer.vault.vault import Vault, members
from importer.vault.want_lists import lacking

Wanted = Callable[[Membership], bool]


def overview(vault: Vault, wanted: Wanted, monitor: Monitor) -> ReportPage:
    """Build the report of a vault about the machines that are `wanted`. Raises StoreError."""
    told = ReportPage()
    known, there = members(vault, monitor), stocks(vault, monitor)
    needed: dict[MachineId, dict[ArchiveName, Need]] = {}
    for member in filter(wanted, by_name(known)):
        history = History(vault, member, known, monitor)
        told.points += _points(history, there[member.key_id])
        needed[member.machine] = {
            need.archive.name: need for _, signed in history.found for need in history.needed(signed) or ()
        }
    for key_id, lack in lacking(vault, known, Tally()).items():
        if lack and any(m.key_id == key_id and wanted(m) for m in known.values()):
            who = " or ".join(lack.machines)
            told.waiting.append(
                f"{counted(lack.records, 'record')} of damaged archives: `seed repair` on {who}"
            )
    speeds = _speeds(vault, monitor)
    for member, sets in standings(vault, monitor, wanted):
        view = _View(vault, member, there[member.key_id], needed[member.machine], speeds)
        for standing in sets:
            told.disks += [view.disk(standing, disk) for disk in standing.disks]
    told.html = _page(vault, told, needed, known, monitor)
    return told


def _points(history: History, there: Stock) -> Iterator[PointFact]:
    found = list(history.points(there))
    needed = [{need.archive.name: need for need in history.needed(p.signed) or ()} for p in found]
    for point, bytes_ in zip(found, new_bytes(needed, there), strict=True):
        yield PointFact.of(point.manifest, bytes_, point.standing)


def _speeds(vault: Vault, monitor: Monitor) -> dict[tuple[SetId, int], float]:
    """Return the bytes a second at which each disk was read, if it brought something."""
    started = {job.job: job.started for job in vault.view.documents("jobs", ImportJob, monitor)}
    return {
        (r.disk.set, r.disk.number): r.copied_bytes / max(r.finished - started[r.job], 1)
        for r in receipts(vault, monitor)
        if r.copied_bytes and r.job in started
    }


@dataclass
class _View:
    """The data that the report on the disks of one machine needs."""

    vault: Vault
    member: Membership
    there: Stock
    needed: Mapping[ArchiveName, Need]
    speeds: Mapping[tuple[SetId, int], float]

    def disk(self, standing: SetStatus, disk: DiskStatus) -> DiskFact:
        archives = self._archives(standing.set, disk)
        return DiskFact(
            machine=self.member.name,
            set=standing.set,
            number=disk.number,
            state=disk.words(),
            bytes=sum(archive.size for archive in archives),
            speed=self.speeds.get((standing.set, disk.number)),
            history=tuple(told_of(disk.steps)),
            archives=tuple(state_of(a, self.needed.get(a.name), self.there, comes=False) for a in archives),
        )

    def _archives(self, disk_set: SetId, disk: DiskStatus) -> list[Holding]:
        """Return the archives that a disk's newest inventory lists.

        Return none if the disk has not come, or if the inventory or a table cannot be read.
        """
        if not disk.received:
            return []
        return listed_on(self.vault, self.member, disk_set, disk.number, disk.received) or []


def _page(
    vault: Vault,
    told: ReportPage,
    needed: Mapping[MachineId, Mapping[ArchiveName, Need]],
    known: Mapping[MachineId, Membership],
    monitor: Monitor,
) -> str:
    names = {known[machine].name for machine in needed}
    stored = sum(size_ for _, size_ in vault.store.list("archives"))
    by_machine: dict[str, int] = defaultdict(int)
    for machine, archives in needed.items():
        by_machine[known[machine].name] += sum(need.archive.size for need in archives.values())
    told.jobs = [
        JobFact(j.kind, j.started, j.finished - j.started if j.finished is not None else None,
                "done" if j.finished is not None else "goes on, or was stopped", j.bytes, j.findings,
                ", ".join(filter(None, (*j.machines, j.what))))
        for j in jobs(vault, monitor)
        if not j.machines or names.intersection(j.machines)
    ]  # fmt: skip
    awaited = sum(d.state in ("awaited", "on its way") for d in told.disks)
    cards = [
        ("machines", f"{len(names):,}"),
        ("recovery points", f"{len(told.points):,}"),
        ("not complete", f"{sum(bool(p.missing) for p in told.points):,}"),
        ("in archives", size(stored)),
        ("disks awaited", f"{awaited:,}"),
        ("may be erased", f"{sum(d.state.endswith('may be erased') for d in told.disks):,}"),
    ]
    shown = sorted(by_machine.items(), key=lambda item: -item[1])[: sections.ROWS_MAX]
    machines = (
        charts.rows([name for name, _ in shown], [n for _, n in shown], size)
        if shown
        else "<p>None is registered.</p>"
    )
    return page(
        f"Vault {vault.name}",
        f"{vault.store.address}; {moment(vault.now())}",
        cards,
        sections.everything(told, "as it was imported", section("What each machine builds upon", machines)),
    )
