"""All rules by which the side without keys believes a disk, in one class without I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from formats.documents import envelope
from formats.documents.disk import Inventory, Label, SetDocument
from formats.documents.envelope import Signed
from formats.documents.manifest import Manifest
from formats.documents.retention import Policy
from formats.documents.vault import Membership, Request, Slots
from formats.errors import FormatError, IntegrityError, MediaError, VaultError
from formats.ids import HexDigest, SetId, VaultId, fingerprint, machine_id
from formats.monitor import Finding, Monitor

D = TypeVar("D", Inventory, Manifest, SetDocument, Slots, Policy)


@dataclass(frozen=True)
class Closed:
    """The inventory that closes a disk, its digest, and its signed bytes."""

    inventory: Inventory
    digest: HexDigest
    data: bytes


class DiskAcceptance:
    """The documents of one disk's folder, believed step by step:

    - the label is signed by the machine's key in it, or by the authority's key if it names one; the machine's key
      makes the machine's id (ACC-1);
    - the label's set and number are those of the folder it lies in (ACC-2);
    - the signer of the label signed inventories and sets; its machine signed manifests and slots; all name its
      vault and machine (ACC-3);
    - inventories and set documents name the label's set; inventories also its disk, number and digest (ACC-4);
    - of the inventories the highest generation holds; two of one generation that differ are a forked disk (ACC-5);
    - a request is signed by the machine's key and names the label's vault and public key (ACC-6);
    - where a vault is at hand, the label names that vault (ACC-7);
    - then the machine is also one of the vault's active members with exactly that key. If it was replaced or
      revoked, the set was announced before (ACC-8);
    - a disk that a vault's authority wrote is imported into none (ACC-9).

    A broken rule of identity is refused by name. Mere damage is a finding.
    """

    def __init__(self, disk_set: SetId, number: int, where: str) -> None:
        self._set = disk_set
        self._number = number
        self._where = where
        self.label: Label
        self.label_digest: HexDigest
        self.inventories: dict[int, Closed] = {}  # all valid ones, by generation

    def read_label(self, data: bytes) -> Label:
        """Read and check the label. Raises FormatError, IntegrityError, MediaError disk-foreign."""
        signed = envelope.read(data, f"{self._where}/label")
        label = signed.peek(Label)
        signed.verify(Label, label.signer)
        if machine_id(bytes.fromhex(label.public_key)) != label.machine:
            raise IntegrityError(
                "signature-wrong",
                "the label's key is not its machine's",
                subject=self._where,
                hint="somebody edited it: keep the disk as it is, and ask the sender",
            )
        if (label.set, label.number) != (self._set, self._number):
            raise MediaError(
                "disk-foreign",
                "the label is another disk's",
                subject=self._where,
                hint="somebody copied or renamed the folder; ask the sender for the original disk",
            )
        self.label, self.label_digest = label, signed.digest
        return label

    def read_inventories(self, found: Iterable[tuple[str, bytes]], monitor: Monitor) -> Closed | None:
        """Return the inventory that closes the disk, None if the disk is open.

        Raises MediaError disk-forked.
        """
        valid = self.inventories
        for name, data in found:
            try:
                inventory, signed = self._read(Inventory, self.label.signer, data, name)
                self._check_disk(inventory, name)
            except (FormatError, IntegrityError, VaultError, MediaError) as error:
                monitor.finding(Finding(code=error.code, subject=f"{self._where}/{name}", detail=error.what))
                continue
            other = valid.setdefault(inventory.generation, Closed(inventory, signed.digest, signed.data))
            if other.digest != signed.digest:
                raise forked(self._where, inventory.generation)
        return valid[max(valid)] if valid else None

    def read_manifest(self, data: bytes, where: str) -> tuple[Manifest, Signed]:
        return self._read(Manifest, self._key, data, where)

    def read_set(self, data: bytes, where: str) -> tuple[SetDocument, Signed]:
        return self._read(SetDocument, self.label.signer, data, where)

    def read_slots(self, data: bytes, where: str) -> tuple[Slots, Signed]:
        return self._read(Slots, self._key, data, where)

    def read_policy(self, data: bytes, where: str) -> tuple[Policy, Signed]:
        return self._read(Policy, self._key, data, where)

    def read_request(self, data: bytes, where: str) -> tuple[Request, Signed]:
        signed = envelope.read(data, where)
        request = signed.verify(Request, self._key)
        if request.vault != self.label.vault or request.public_key != self.label.public_key:
            raise VaultError("vault-foreign", "the request is another machine's or vault's", subject=where)
        return request, signed

    def check_vault(self, vault: VaultId, name: str) -> None:
        """Raise VaultError vault-foreign or MediaError disk-outbound unless the disk is for `vault`."""
        if self.label.authority is not None:
            raise MediaError(
                "disk-outbound",
                f"a vault wrote this disk, for machine {self.label.machine_name}: there is nothing to import from it",
                subject=self._where,
                hint="it goes to that machine, where `seed restore latest --from DISK --target DIR` reads it",
            )
        if self.label.vault != vault:
            raise VaultError(
                "vault-foreign",
                f"the disk is for vault {self.label.vault_name} ({self.label.vault[:8]}), not for {name}",
                subject=self._where,
                hint="import it into the vault it was written for",
            )

    def check_member(
        self, member: Membership | None, accept_command: str, *, announced: bool = False
    ) -> Membership:
        """Return the machine's membership if its disk may be imported.

        `announced` says that the vault knew the disk's set before its machine was replaced or revoked. Raises
        VaultError machine-unknown, machine-revoked, machine-replaced.
        """
        label = self.label
        if member is None or member.public_key != label.public_key:
            raise VaultError(
                "machine-unknown",
                f"machine {label.machine_name} is not registered with this vault; its fingerprint is "
                f"{fingerprint(label.machine)}",
                subject=self._where,
                hint=f"compare the fingerprint with the machine's owner, then run: {accept_command}",
            )
        if member.status == "revoked" and not announced:
            raise VaultError(
                "machine-revoked",
                f"machine {member.name} was revoked, and its set {label.set[:8]} was never announced before that",
                subject=fingerprint(label.machine),
                hint="ask its owner whether it wrote this disk; if so, and only then, import it with "
                f"--accept-revoked {fingerprint(label.machine)}",
            )
        if member.status == "replaced" and not announced:
            raise VaultError(
                "machine-replaced",
                f"another machine has taken the place of {member.name}, and set {label.set[:8]} of the one before was never "
                "announced",
                subject=fingerprint(label.machine),
                hint="ask its owner whether the set was written before that; if so, import it with "
                f"--accept-replaced {fingerprint(label.machine)}",
            )
        return member

    @property
    def _key(self) -> bytes:
        return bytes.fromhex(self.label.public_key)

    def _read(self, kind: type[D], key: bytes, data: bytes, where: str) -> tuple[D, Signed]:
        """Return a document that `key` signed and that is of the label's vault and machine."""
        signed = envelope.read(data, where)
        document = signed.verify(kind, key)
        if document.vault != self.label.vault or document.machine != self.label.machine:
            raise VaultError("vault-foreign", "the document is of another vault or machine", subject=where)
        if isinstance(document, (Inventory, SetDocument)) and document.set != self.label.set:
            raise MediaError("disk-foreign", "the document is of another disk set", subject=where)
        return document, signed

    def _check_disk(self, inventory: Inventory, where: str) -> None:
        label = self.label
        same = (inventory.disk, inventory.number, inventory.label) == (
            label.disk,
            label.number,
            self.label_digest,
        )
        if not same:
            raise MediaError("disk-foreign", "the inventory is another disk's", subject=where)


def forked(where: str, generation: int) -> MediaError:
    """Return the error for two signed inventories of one generation.

    It means that a disk was copied, and that both copies were written on.
    """
    return MediaError(
        "disk-forked",
        f"two different inventories carry generation {generation}",
        subject=where,
        hint="the disk was cloned and both copies were written on, or it was tampered with; ask its owner",
    )


def folder_identity(name: str) -> tuple[SetId, int] | None:
    """Return set and number from the name of a folder below `offseed/`; None for any other name."""
    head, dash, tail = name.partition("-")
    hexed = len(head) == 32 and all(c in "0123456789abcdef" for c in head)
    if not dash or not hexed or not tail.isdecimal() or len(tail) > 4 or str(int(tail)) != tail:
        return None
    return SetId(head), int(tail)
