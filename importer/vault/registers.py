"""Registers: the authority lists the documents that it has verified, so that each loss is noticed (SEEN-1).

The order of writes is the safety argument:

    copies      of the documents that no other object can replace.
    a register  from here on the loss of a listed document is noticed, and stops deletion for its machine.
    the home    remembers the register, because no other object vouches for it yet.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from formats import layout
from formats.documents.disk import Inventory, SetDocument
from formats.documents.manifest import Manifest
from formats.documents.register import ENTRIES_MAX, Register, RegisterEntry
from formats.documents.retention import Policy, Terms
from formats.documents.vault import Credential, Descriptor, Membership, Slots
from formats.ids import MachineId
from formats.monitor import Finding, Monitor, Tally
from formats.rules.retention import read_kept
from formats.view.facts import Fact, Pin
from importer.vault.receipts import receipts
from importer.vault.vault import Vault, members, put_whole


def register(vault: Vault, monitor: Monitor) -> None:
    """List in registers all documents that verify and are in none yet, and keep a second copy of them.

    Raises StoreError, HomeError.
    """
    known = members(vault, Tally())
    pins = dict(vault.view.pins)
    for subject, facts in _documents(vault, known):
        before = vault.view.registered(subject, Tally())
        heal(vault, [*facts, *before.facts], monitor)
        new = [fact for fact in facts if fact.name not in before.entries]
        key_id = known[MachineId(subject)].key_id if subject in known else None
        last, entries = before.last, [_entry(fact) for fact in new]
        for at in range(0, len(entries), ENTRIES_MAX):
            last = _put(vault, subject, entries=tuple(entries[at : at + ENTRIES_MAX]))
        if last is not None and (
            entries or before.whole
        ):  # else the home still remembers the one that is lost
            heal(vault, [last], monitor)
            pins[subject] = Pin(last.document.number, last.signed.digest, key_id)
    if pins != vault.view.pins:
        vault.remember(pins)


def lost_of(vault: Vault, subject: str) -> list[str]:
    """Return the names of documents of a machine, or of the `vault`, that were there and are lost.

    Manifests of points that have expired are not among them, nor key slots that were removed. Raises
    StoreError.
    """
    machine = MachineId(subject)
    expired = read_kept(vault.view, machine, Tally()).expired
    member = members(vault, Tally()).get(machine)
    dropped = f"{layout.slot_prefix(machine)}/{member.slots_from if member else 1:010d}"
    return sorted(
        entry.name
        for entry in vault.view.lost(subject)
        if entry.point not in expired and not (entry.name.startswith("slots/") and entry.name < dropped)
    )


def accept_loss(vault: Vault, subject: str, names: Sequence[str]) -> None:
    """Record the operator's word that these documents are lost: they stop no deletion any more.

    Raises StoreError, HomeError.
    """
    key_id = vault.view.registered(subject, Tally()).key_id
    for at in range(0, len(names), ENTRIES_MAX):
        last = _put(vault, subject, forgotten=tuple(names[at : at + ENTRIES_MAX]))
        pin = Pin(last.document.number, last.signed.digest, key_id)
        vault.remember({**vault.view.pins, subject: pin})


def _put(
    vault: Vault,
    subject: str,
    *,
    entries: tuple[RegisterEntry, ...] = (),
    forgotten: tuple[str, ...] = (),
) -> Fact[Register]:
    """Put a register after all that are there or are known to have been there.

    So the next register still names a lost one.
    """
    prefix = layout.register_prefix(subject)
    look = vault.view.look(prefix, Register, vault.key, Tally())
    before = (*(fact.name for fact in look.facts), *look.unreadable)
    document = Register(
        number=look.next_number,
        vault=vault.id,
        subject=subject,
        role="authority",
        created=vault.now(),
        previous=max(before, key=layout.number_of, default=None),
        forgotten=forgotten,
        entries=entries,
    )
    put = vault.put_signed(prefix, document.number, document)
    vault.view.forget(put.name)
    return put


def heal(vault: Vault, facts: Iterable[Fact[Any]], monitor: Monitor) -> None:
    """Keep the copied documents twice in the vault: a whole copy replaces one that is damaged or gone."""
    for fact in facts:
        if not layout.is_copied(fact.name):
            continue
        copy = layout.copy_name(fact.name)
        place = fact.name if fact.from_copy else copy
        if not fact.from_copy and vault.store.head(copy) == len(fact.signed.data):
            continue
        vault.view.forget(fact.name)
        if put_whole(vault, place, fact.signed.data):
            detail = "its bytes are not those of its name; the other copy takes their place"
            monitor.finding(Finding(code="object-damaged", subject=place, detail=detail))


def _documents(vault: Vault, known: Mapping[MachineId, Membership]) -> Iterator[tuple[str, list[Fact[Any]]]]:
    """Yield by subject all verified documents that belong in registers.

    Of the inventories, these are the ones that receipts name (SEEN-4).
    """
    look, quiet = vault.view.look, Tally()
    came = {receipt.disk.inventory for receipt in receipts(vault, quiet)}
    yield (
        layout.VAULT,
        [
            *look("descriptor", Descriptor, vault.key, quiet).facts,
            *look("credentials", Credential, vault.key, quiet).facts,
        ],
    )
    for machine, member in known.items():
        key = bytes.fromhex(member.public_key)
        yield (
            machine,
            [
                *look(layout.member_prefix(machine), Membership, vault.key, quiet).facts,
                *look(layout.terms_prefix(machine), Terms, vault.key, quiet).facts,
                *look(layout.manifest_prefix(machine), Manifest, key, quiet).facts,
                *look(layout.set_prefix(machine), SetDocument, key, quiet).facts,
                *look(layout.slot_prefix(machine), Slots, key, quiet).facts,
                *look(layout.policy_prefix(machine), Policy, key, quiet).facts,
                *(
                    f
                    for f in look(f"disks/{machine}", Inventory, key, quiet).facts
                    if f.signed.digest in came
                ),
            ],
        )


def _entry(fact: Fact[Any]) -> RegisterEntry:
    document = fact.document
    return RegisterEntry(
        name=fact.name,
        point=document.point if isinstance(document, Manifest) else None,
        key_id=document.key_id if isinstance(document, Membership) else None,
    )
