"""The rules for believing a disk without keys: each rule, the one flaw that breaks it, and its code."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.disk import SetDocument
from formats.documents.envelope import raw_public
from formats.documents.manifest import Manifest
from formats.documents.vault import Membership, Request, Slots
from formats.errors import FormatError, IntegrityError, MediaError, VaultError
from formats.ids import HexDigest, MachineId, SetId, VaultId, fingerprint, hex_digest, machine_id
from formats.monitor import Tally
from formats.rules.acceptance import DiskAcceptance, folder_identity
from tests.tables.flaws import Outcome, outcome
from tests.vectors.documents import (
    AUTHORITY_KEY,
    CREDENTIAL_KEY,
    LABEL,
    MACHINE,
    MACHINE_KEY,
    PUBLIC_KEY,
    REQUEST,
    SET,
    VAULT,
    inventory,
    samples,
    signed,
)
from tests.vectors.keyed import MASTER

SAMPLES = samples()
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = machine_id(raw_public(OTHER_KEY))
OTHER_VAULT = VaultId("fe" * 16)
ZEROS = HexDigest("0" * 64)

WRONG = (IntegrityError, "signature-wrong")
FOREIGN_DISK = (MediaError, "disk-foreign")
FOREIGN = (VaultError, "vault-foreign")
FORKED = (MediaError, "disk-forked")
OTHER_KIND = (FormatError, "ENV-2")


def rules() -> DiskAcceptance:
    """Return the rules after they have believed the label of a disk."""
    found = DiskAcceptance(SET, 1, "disk")
    assert found.read_label(envelope.sign(LABEL, MACHINE_KEY)) == LABEL
    return found


def with_(document: Document, *, by: Ed25519PrivateKey = MACHINE_KEY, **members: Any) -> bytes:
    """Return the document with other members, signed anew."""
    keys = (by, CREDENTIAL_KEY, MASTER.proof) if isinstance(document, Request) else (by,)
    return envelope.sign(replace(document, **members), *keys)


LABELS: dict[str, tuple[bytes, Outcome]] = {
    "signed by another key": (with_(LABEL, by=OTHER_KEY), WRONG),
    "another's key": (with_(LABEL, public_key=raw_public(OTHER_KEY).hex()), WRONG),
    "another machine's id": (with_(LABEL, machine=OTHER), WRONG),
    "its own key under another's id": (with_(LABEL, by=OTHER_KEY, public_key=raw_public(OTHER_KEY).hex()), WRONG),
    "another set": (with_(LABEL, set=SetId("c4" * 16)), FOREIGN_DISK),
    "another number": (with_(LABEL, number=2), FOREIGN_DISK),
    "an inventory": (with_(inventory()), OTHER_KIND),
    "damaged": (with_(LABEL)[:-9], (FormatError, "DOC-1")),
    "nothing": (b"", (FormatError, "DOC-1")),
    "number 0": (with_(LABEL, number=0), (FormatError, "DOC-2")),
}  # fmt: skip


@pytest.mark.parametrize("flaw", LABELS)
def test_a_label_with_one_flaw_is_refused(flaw: str) -> None:
    data, expected = LABELS[flaw]
    assert outcome(DiskAcceptance(SET, 1, "disk").read_label, data) == expected


def test_a_label_of_another_folder_is_refused() -> None:
    for disk_set, number in ((SetId("c4" * 16), 1), (SET, 2)):
        found = DiskAcceptance(disk_set, number, "disk")
        assert outcome(found.read_label, envelope.sign(LABEL, MACHINE_KEY)) == FOREIGN_DISK


# Inventories: a flaw is a finding, and the other inventories still close the disk

INVENTORIES: dict[str, tuple[bytes, str]] = {
    "signed by another key": (with_(inventory(), by=OTHER_KEY), "signature-wrong"),
    "signed by the authority": (with_(inventory(), by=AUTHORITY_KEY), "signature-wrong"),
    "another vault": (with_(inventory(), vault=OTHER_VAULT), "vault-foreign"),
    "another machine": (with_(inventory(), machine=OTHER), "vault-foreign"),
    "another set": (with_(inventory(), set=SetId("c4" * 16)), "disk-foreign"),
    "another disk": (with_(inventory(), disk="d2" * 16), "disk-foreign"),
    "another number": (with_(inventory(), number=2), "disk-foreign"),
    "another label": (with_(inventory(), label=ZEROS), "disk-foreign"),
    "a label": (with_(LABEL), "ENV-2"),
    "a set document": (signed(SAMPLES["set"]), "ENV-2"),
    "damaged": (with_(inventory())[:-9], "DOC-1"),
    "nothing": (b"", "DOC-1"),
    "generation 0": (with_(inventory(), generation=0), "DOC-2"),
}


@pytest.mark.parametrize("flaw", INVENTORIES)
def test_an_inventory_with_one_flaw_is_a_finding_and_closes_nothing(flaw: str) -> None:
    data, code = INVENTORIES[flaw]
    tally = Tally()
    assert rules().read_inventories([("inventories/x", data)], tally) is None
    assert [(f.code, f.subject) for f in tally.findings] == [(code, "disk/inventories/x")]
    good = with_(inventory())
    closed = rules().read_inventories([("inventories/x", data), ("inventories/y", good)], tally)
    assert closed is not None
    assert (closed.inventory, closed.digest) == (inventory(), hex_digest(good))


def test_a_disk_without_inventories_is_open() -> None:
    tally = Tally()
    assert rules().read_inventories([], tally) is None
    assert tally.findings == []


@pytest.mark.parametrize("order", [(1, 2, 9), (9, 2, 1), (2, 9, 1)])
def test_the_highest_generation_that_is_valid_closes_the_disk(order: tuple[int, ...]) -> None:
    found = [(f"inventories/{n}", with_(inventory(n))) for n in order]
    found.append(("inventories/forged", with_(inventory(10), by=OTHER_KEY)))
    tally = Tally()
    closed = rules().read_inventories(found, tally)
    assert closed is not None
    assert closed.inventory.generation == 9
    assert [f.code for f in tally.findings] == ["signature-wrong"]


def test_two_inventories_of_one_generation_are_a_fork_even_below_the_highest() -> None:
    for generation in (1, 2, 3):
        twin = with_(inventory(generation), created=1)
        found = [(str(n), with_(inventory(n))) for n in (1, 2, 3)]
        assert outcome(rules().read_inventories, [*found, ("twin", twin)], Tally()) == FORKED
        assert outcome(rules().read_inventories, [("twin", twin), *found], Tally()) == FORKED


def test_one_inventory_under_two_names_is_no_fork() -> None:
    data = with_(inventory())
    assert rules().read_inventories([("a", data), ("b", data)], Tally()) is not None


def test_a_twin_that_is_not_valid_is_no_fork() -> None:
    tally = Tally()
    found = [("a", with_(inventory())), ("b", with_(inventory(), by=OTHER_KEY, created=1))]
    assert rules().read_inventories(found, tally) is not None
    assert [f.code for f in tally.findings] == ["signature-wrong"]


# The documents beside the inventory

Read = Callable[[DiskAcceptance], Callable[[bytes, str], tuple[Document, envelope.Signed]]]
READERS: dict[str, Read] = {
    "manifest": lambda r: r.read_manifest,
    "set": lambda r: r.read_set,
    "slots": lambda r: r.read_slots,
    "registration-request": lambda r: r.read_request,
}


@pytest.mark.parametrize("kind", READERS)
def test_the_machines_own_documents_are_believed(kind: str) -> None:
    data = signed(SAMPLES[kind])
    document, read = READERS[kind](rules())(data, "here")
    assert document == SAMPLES[kind]
    assert read.digest == hex_digest(data)


OTHERS: dict[str, tuple[str, bytes, Outcome]] = {
    **{
        f"{kind}: {flaw}": (kind, data, expected)
        for kind in ("manifest", "set", "slots")
        for flaw, data, expected in (
            ("signed by another key", with_(SAMPLES[kind], by=OTHER_KEY), WRONG),
            ("signed by the authority", with_(SAMPLES[kind], by=AUTHORITY_KEY), WRONG),
            ("another vault", with_(SAMPLES[kind], vault=OTHER_VAULT), FOREIGN),
            ("another machine", with_(SAMPLES[kind], machine=OTHER), FOREIGN),
            ("another kind", with_(LABEL), OTHER_KIND),
            ("nothing", b"", (FormatError, "DOC-1")),
        )
    },
    "set: another set": ("set", with_(SAMPLES["set"], set=SetId("c4" * 16)), FOREIGN_DISK),
    "request: signed by another key": ("registration-request", with_(REQUEST, by=OTHER_KEY), WRONG),
    "request: another vault": ("registration-request", with_(REQUEST, vault=OTHER_VAULT), FOREIGN),
    "request: another's key": (
        "registration-request",
        with_(REQUEST, public_key=raw_public(OTHER_KEY).hex()),
        FOREIGN,
    ),
    "request: another kind": ("registration-request", with_(LABEL), OTHER_KIND),
}


@pytest.mark.parametrize("flaw", OTHERS)
def test_a_document_with_one_flaw_is_refused(flaw: str) -> None:
    kind, data, expected = OTHERS[flaw]
    assert outcome(READERS[kind](rules()), data, "here") == expected


def test_a_manifest_of_another_set_may_lie_on_a_disk() -> None:
    """Accept a manifest of another set: a machine's later disks carry the manifests of its earlier ones."""
    other = with_(SAMPLES["manifest"], set=SetId("c4" * 16))
    manifest, _ = rules().read_manifest(other, "here")
    assert isinstance(manifest, Manifest)
    assert manifest.set != SET


def test_what_is_read_has_its_type() -> None:
    assert isinstance(rules().read_set(signed(SAMPLES["set"]), "here")[0], SetDocument)
    assert isinstance(rules().read_slots(signed(SAMPLES["slots"]), "here")[0], Slots)


# The vault


def test_a_disk_goes_into_the_vault_it_was_written_for() -> None:
    rules().check_vault(VAULT, "north-hall")
    assert outcome(rules().check_vault, OTHER_VAULT, "south-hall") == FOREIGN


MEMBER = SAMPLES["membership"]
assert isinstance(MEMBER, Membership)


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (None, (VaultError, "machine-unknown")),
        (replace(MEMBER, public_key=raw_public(OTHER_KEY).hex()), (VaultError, "machine-unknown")),
        (replace(MEMBER, status="revoked"), (VaultError, "machine-revoked")),
        (replace(MEMBER, status="revoked", public_key="00" * 32), (VaultError, "machine-unknown")),
        (replace(MEMBER, status="replaced", counted=b""), (VaultError, "machine-replaced")),
    ],
)
def test_only_an_active_member_with_that_very_key_is_imported(
    member: Membership | None, expected: Outcome
) -> None:
    assert outcome(rules().check_member, member, "importer machines accept …") == expected


def test_of_a_machine_that_was_replaced_or_revoked_an_announced_set_is_imported() -> None:
    assert isinstance(MEMBER, Membership)
    gone = replace(MEMBER, status="replaced", counted=b"")
    assert rules().check_member(gone, "", announced=True) is gone
    revoked = replace(MEMBER, status="revoked", counted=b"")
    assert rules().check_member(revoked, "", announced=True) is revoked


def test_the_member_is_given_back() -> None:
    assert isinstance(MEMBER, Membership)
    assert rules().check_member(MEMBER, "") is MEMBER


def test_an_unknown_machine_is_told_by_fingerprint_and_with_the_very_command() -> None:
    with pytest.raises(VaultError) as caught:
        rules().check_member(None, "importer machines accept 12 --from /mnt")
    assert fingerprint(MACHINE) in caught.value.what
    assert "importer machines accept 12 --from /mnt" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{SET}-1", (SET, 1)),
        (f"{SET}-1000", (SET, 1000)),
        (f"{SET}-9999", (SET, 9999)),
        (f"{SET}-10000", None),
        (f"{SET}-01", None),
        (f"{SET}-", None),
        (f"{SET}--1", None),
        (f"{SET}-1-2", None),
        (f"{SET}-\u0661", None),
        (f"{SET}-\u00b2", None),
        (f"{SET}-1\n", None),
        (f"{SET}", None),
        (f"{SET[1:]}-1", None),
        (f"{SET}0-1", None),
        (f"{SET.upper()}-1", None),
        (f" {SET[1:]}-1", None),
        ("", None),
        ("-", None),
        ("System Volume Information", None),
    ],
)
def test_a_folder_is_ours_only_by_its_exact_name(name: str, expected: tuple[SetId, int] | None) -> None:
    assert folder_identity(name) == expected


def test_the_machine_of_the_samples_is_the_one_of_the_key() -> None:
    assert MachineId(MACHINE) == machine_id(PUBLIC_KEY)
