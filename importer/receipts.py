"""How the import of a disk ended, and the receipt that says so."""

import time
from dataclasses import dataclass, field

from formats.documents import envelope
from formats.documents.job import Job, JobDisk, Receipt
from formats.documents.vault import Membership
from formats.errors import FormatError, IntegrityError
from formats.ids import HexDigest
from formats.layout import number_of
from formats.monitor import Finding, Monitor
from importer.intake import Disk
from importer.vault import Vault


@dataclass
class Imported:
    """How the import of one disk ended. `whole`: the vault holds everything this disk can give it; `finished`: the
    export that it is of has ended, before which its machine may need the disk again, and it does not give back what is lost."""

    disk: Disk
    member: Membership
    generation: int = 0
    unchanged: bool = False
    whole: bool = False
    finished: bool = False
    abandoned: bool = False  # its machine has given up the whole export
    gives_back: bool = False  # given up, and points have lost what may lie on it alone
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
    )  # subjects: what the vault had damaged, and has from the disk now

    def outcomes(self) -> dict[str, "Outcome"]:
        """What became of each object that was looked at, also of those of which only a finding tells."""
        found = dict(self.objects)
        for finding in self.findings:
            head, _, name = finding.subject.partition("/")
            if name and head == self.disk.name and name not in found:
                found[name] = Outcome(STATES.get(finding.code, "damaged"), detail=finding.detail)
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Outcome:
    """What became of one object: `imported`, `there` before, `damaged`, `missing`, `unlisted` or `foreign`. Of a damaged
    archive how many of its records are whole, and the bytes, first and last, in which the others lie."""

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
    """All receipts of the vault that verify."""
    found = []
    for name, _ in vault.store.list("jobs"):
        if number_of(name) < 2:
            continue
        try:
            found.append(envelope.read(vault.store.get(name), name).verify(Receipt, vault.key))
        except (FormatError, IntegrityError) as error:
            monitor.finding(Finding(code=error.code, subject=name, detail=error.what))
    return found


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


def job_disk(disk: Disk) -> JobDisk:
    return JobDisk(
        machine=disk.label.machine,
        set=disk.label.set,
        number=disk.label.number,
        generation=disk.closed.inventory.generation if disk.closed else 0,
        inventory=disk.closed.digest if disk.closed else HexDigest("0" * 64),
    )
