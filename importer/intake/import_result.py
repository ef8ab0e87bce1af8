"""The result of the import of one disk, and the receipt that says so."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from formats.documents.job import ImportJob, JobDisk, Receipt
from formats.documents.vault import Membership
from formats.ids import HexDigest
from formats.monitor import Finding
from importer.vault.vault import Vault

if TYPE_CHECKING:
    from importer.intake.intake import Disk


@dataclass
class ImportResult:
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
    objects: dict[str, "ObjectOutcome"] = field(default_factory=dict)
    healed: set[str] = field(
        default_factory=set
    )  # subjects: objects that were damaged in the vault, and are whole now from the disk

    def outcomes(self) -> dict[str, "ObjectOutcome"]:
        """Return the outcome of each object of the disk, also of objects that only a finding names."""
        found = dict(self.objects)
        for finding in self.findings:
            head, _, name = finding.subject.partition("/")
            if name and head == self.disk.name and name not in found:
                found[name] = ObjectOutcome(STATES.get(finding.code, "damaged"), detail=finding.detail)
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class ObjectOutcome:
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


def make_receipt(vault: Vault, job: ImportJob, result: ImportResult) -> Receipt:
    return Receipt(
        vault=vault.id,
        job=job.job,
        role="authority",
        disk=job_disk(result.disk),
        finished=vault.now(),
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
