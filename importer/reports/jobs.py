"""The work that was done on a vault, by its own papers: imports, validations, sweeps and exports.

Work that still runs is among it.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from formats import layout
from formats.documents.job import ImportJob, Receipt, Validation
from formats.documents.retention import Sweep
from formats.documents.vault import Membership
from formats.ids import MachineId
from formats.monitor import Monitor
from formats.words import counted
from importer.outbound.shipment_records import outgoing
from importer.vault.receipts import receipts
from importer.vault.vault import Vault, members


@dataclass(frozen=True)
class WorkDone:
    """One piece of work.

    `finished` is None if the work goes on or was stopped. `machines` wrote the disks that it read. `objects`
    and `bytes` count the data that it copied, read or deleted.
    """

    kind: str
    started: int
    finished: int | None
    machines: tuple[str, ...]
    what: str
    objects: int
    bytes: int
    findings: int


def jobs(vault: Vault, monitor: Monitor) -> list[WorkDone]:
    """Return all work that has papers in the vault, by the time at which it began. Raises StoreError."""
    found = [
        *_imports(vault, monitor),
        *_validations(vault, monitor),
        *_sweeps(vault, monitor),
        *_exports(vault, monitor),
    ]
    return sorted(found, key=lambda done: (done.started, done.kind))


def _imports(vault: Vault, monitor: Monitor) -> Iterator[WorkDone]:
    known = members(vault, monitor)
    ended: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in receipts(vault, monitor):
        ended[receipt.job].append(receipt)
    for job in vault.view.documents("jobs", ImportJob, monitor):
        told = ended[job.job]
        over = len(told) >= len(job.disks)
        disks = ", ".join(f"{disk.set[:8]}/{disk.number}" for disk in job.disks)
        yield WorkDone(
            "import",
            job.started,
            max((receipt.finished for receipt in told), default=job.started) if over else None,
            tuple(sorted({_name(known, disk.machine) for disk in job.disks})),
            disks,
            sum(receipt.copied for receipt in told),
            sum(receipt.copied_bytes for receipt in told),
            sum(receipt.findings for receipt in told),
        )


def _validations(vault: Vault, monitor: Monitor) -> Iterator[WorkDone]:
    for run in vault.view.documents("validations", Validation, monitor):
        what = "a sample" if run.sampled else "goes on later" if run.after else "to its end"
        yield WorkDone("validate", run.started, run.finished, (), what, run.objects, run.bytes, run.damaged)


def _exports(vault: Vault, monitor: Monitor) -> Iterator[WorkDone]:
    for one in outgoing(vault, monitor):
        label = one.labels[min(one.labels)][0]
        inventories = [inventory for inventory, _ in one.inventories.values()]
        yield WorkDone(
            "export",
            one.begun,
            one.finished[0].created if one.finished is not None else None,
            (label.machine_name,),
            f"point {(label.point or '')[:8]}, {counted(len(one.labels), 'disk')}",
            sum(inventory.archives for inventory in inventories),
            sum(inventory.archive_bytes for inventory in inventories),
            0,
        )


def _sweeps(vault: Vault, monitor: Monitor) -> Iterator[WorkDone]:
    found: dict[str, dict[str, Sweep]] = defaultdict(dict)
    for document in vault.view.documents(layout.SWEEPS, Sweep, monitor):
        found[document.sweep][document.state] = document
    for states in found.values():
        begun, ended = states.get("begun"), states.get("ended")
        first = begun or ended
        if first is not None:
            objects, size = (ended.objects, ended.bytes) if ended is not None else (0, 0)
            finished = ended.created if ended is not None else None
            yield WorkDone("prune", first.created, finished, (), "", objects, size, 0)


def _name(known: dict[MachineId, Membership], machine: MachineId) -> str:
    member = known.get(machine)
    return member.name if member is not None else machine[:8]
