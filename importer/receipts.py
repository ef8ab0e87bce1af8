"""The result of the import of a disk, and the receipt that records it."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Inventory, SetDisk, SetDocument
from formats.documents.job import Job, JobDisk, Receipt
from formats.documents.vault import Membership
from formats.errors import damage_aside
from formats.ids import HexDigest, MachineId, SetId
from formats.monitor import Finding, Monitor, Tally
from formats.standing import Came
from importer.vault import Vault

if TYPE_CHECKING:
    from importer.intake import Disk


@dataclass
class Imported:
    """The result of the import of one disk.

    `whole`: the vault holds everything that this disk can give it. `finished`: its export has ended, and no
    lost files may lie on the disk. Before that, its machine may need the disk again.
    """

    disk: "Disk"
    member: Membership
    generation: int = 0
    unchanged: bool = False
    whole: bool = False
    finished: bool = False
    abandoned: bool = False  # its machine has given up the whole export
    given_up: bool = False  # by its machine, from a finished set
    gives_back: bool = False  # points have lost files that may lie on it
    copied: int = 0
    copied_bytes: int = 0
    salvaged: int = 0  # records of damaged archives
    already: int = 0
    announced: int = 0
    not_needed: int = 0
    findings: list[Finding] = field(default_factory=list)
    objects: dict[str, "Outcome"] = field(default_factory=dict)
    healed: set[str] = field(
        default_factory=set
    )  # subjects: objects that were damaged in the vault, and are whole now from the disk

    def outcomes(self) -> dict[str, "Outcome"]:
        """Return the outcome of each object of the disk, also of objects that only a finding names."""
        found = dict(self.objects)
        for finding in self.findings:
            head, _, name = finding.subject.partition("/")
            if name and head == self.disk.name and name not in found:
                found[name] = Outcome(STATES.get(finding.code, "damaged"), detail=finding.detail)
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Outcome:
    """The outcome of one object: `imported`, `there` before, `damaged`, `missing`, `unlisted` or `foreign`.

    Of a damaged archive, `whole` of its `records` are whole. The others lie in the `damaged` ranges of bytes,
    first and last.
    """

    state: str
    size: int = 0
    records: int = 0
    whole: int = 0
    damaged: tuple[tuple[int, int], ...] = ()
    detail: str = ""


STATES = {
    "object-missing": "missing",
    "not-found": "missing",
    "object-unlisted": "unlisted",
    "vault-foreign": "foreign",
    "disk-foreign": "foreign",
    "signature-wrong": "foreign",
}


def receipts(vault: Vault, monitor: Monitor) -> list[Receipt]:
    """Return all receipts of the vault that verify."""
    return vault.view.documents("jobs", Receipt, monitor, least=2)


def came_to(vault: Vault) -> Came:
    """Return a function that tells which disks the vault has received, by its receipts.

    The function raises StoreError.
    """
    newest = cache(lambda: generations(receipts(vault, Tally())))

    def came(document: SetDocument, disk: SetDisk) -> bool:
        return newest().get((document.machine, document.set, disk.number), -1) >= disk.generation

    return came


def generations(found: Iterable[Receipt]) -> dict[tuple[MachineId, SetId, int], int]:
    """Return the newest generation of each disk with a receipt; 0 if its inventory could not be read."""
    newest: dict[tuple[MachineId, SetId, int], int] = {}
    for receipt in found:
        disk = receipt.disk
        key = (disk.machine, disk.set, disk.number)
        newest[key] = max(newest.get(key, 0), disk.generation)
    return newest


def inventories(vault: Vault, found: Iterable[Receipt]) -> Iterator[Inventory]:
    """Yield the inventories of the disks with receipts, as far as the vault has them whole.

    Raises StoreError.
    """
    named = {
        layout.numbered(
            layout.received_prefix(r.disk.machine, r.disk.set, r.disk.number),
            r.disk.generation,
            r.disk.inventory,
        ): r.disk.inventory
        for r in found
    }
    for name, digest in named.items():
        with damage_aside():
            signed = envelope.read(vault.store.get(name, length=envelope.SIZE_MAX + 1), name)
            if signed.digest == digest:
                yield signed.peek(Inventory)


def make_receipt(vault: Vault, job: Job, result: Imported) -> Receipt:
    return Receipt(
        vault=vault.id,
        job=job.job,
        role="authority",
        disk=job_disk(result.disk),
        finished=int(time.time()),
        whole=result.whole,
        copied=result.copied,
        copied_bytes=result.copied_bytes,
        already=result.already,
        not_needed=result.not_needed,
        findings=len(result.findings),
    )


def job_disk(disk: "Disk") -> JobDisk:
    return JobDisk(
        machine=disk.label.machine,
        set=disk.label.set,
        number=disk.label.number,
        generation=disk.closed.inventory.generation if disk.closed else 0,
        inventory=disk.closed.digest if disk.closed else HexDigest("0" * 64),
    )
