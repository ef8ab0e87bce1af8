"""The passphrases of a machine's key.

Each opens a slot of its own. The slots stand in revisions of one signed document.

The order of writes:

    the home      the new revision, durable: from here on it goes onto disks
    the vault     the same: until then the revision before opens there. The next writer to the vault puts it
    the vault     revisions before are removed, by the operator's word: a machine that was taken over could ask it, too

A passphrase that opened the key once opens it for ever: on disks written before, and in copies that others
have made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from formats.documents import envelope
from formats.documents.vault import SLOTS_MAX, Slots
from formats.errors import PassphraseError, UsageError
from formats.keyed.passphrase import check
from formats.keyed.slots import make_slot, slot_from_json, slot_to_json
from formats.store.contract import Store
from formats.untrusted import Json
from seed.home.home import Home
from seed.identity.join_request import put_request
from seed.points.machine_keys import opened_by, passphrase_wrong


@dataclass(frozen=True)
class KeySlot:
    """One slot as it is shown: `id`, the first digits of its salt, and the cost of a guess."""

    id: str
    memory_kib: int
    time: int
    lanes: int

    @classmethod
    def of(cls, slot: Mapping[str, Json]) -> "KeySlot":
        parsed = slot_from_json(dict(slot), "key slot")
        cost = parsed.cost
        return cls(parsed.salt.hex()[:8], cost.memory_kib, cost.time, cost.lanes)


def slots_of(home: Home) -> Slots:
    """Return the newest revision of the slots that the home has."""
    return envelope.read(home.identity.slots, "slots").peek(Slots)


def opened(slots: Slots, passphrase: str) -> KeySlot | None:
    """Return the slot that a passphrase opens, if any. Raises FormatError, IntegrityError."""
    found = opened_by(slots, passphrase, "key slots")
    return KeySlot.of(found[0]) if found is not None else None


def add(home: Home, passphrase: str) -> KeySlot:
    """Add a passphrase.

    Raises UsageError passphrase-short, passphrase-weak, slots-full; HomeError.
    """
    slots = slots_of(home)
    if len(slots.slots) == SLOTS_MAX:
        raise UsageError(
            "slots-full", f"the key has {SLOTS_MAX} passphrases, and no more can be", subject=home.identity.name,
            hint="take one away first: seed key remove SLOT",
        )  # fmt: skip
    made = _made(home, passphrase)
    _revise(home, slots, [*slots.slots, made], slots.keep_from)
    return KeySlot.of(made)


def change(home: Home, old: str, passphrase: str) -> KeySlot:
    """Put a new passphrase in place of `old`; ask the vault to remove the revisions that `old` opens.

    Raises PassphraseError passphrase-wrong, UsageError passphrase-short, passphrase-weak, HomeError.
    """
    slots = slots_of(home)
    found = opened_by(slots, old, "key slots")
    if found is None:
        raise passphrase_wrong(f"{home.identity.name}, {len(slots.slots)} in revision {slots.number}")
    made = _made(home, passphrase)
    _revise(home, slots, [made if slot == found[0] else slot for slot in slots.slots], slots.number + 1)
    return KeySlot.of(made)


def remove(home: Home, slot_id: str) -> KeySlot:
    """Remove a slot, and ask the vault to do the same.

    Raises PassphraseError slot-missing, slot-last; HomeError.
    """
    slots = slots_of(home)
    known = [(slot, KeySlot.of(slot)) for slot in slots.slots]
    found = [shown for _, shown in known if shown.id == slot_id.lower()]
    if not found:
        raise PassphraseError(
            "slot-missing", "the key has no slot of this name", subject=slot_id,
            hint="`seed key show` lists them, and with --passphrase-file says which one a passphrase opens",
        )  # fmt: skip
    if len(known) == 1:
        raise PassphraseError(
            "slot-last", "it is the only slot: without it no passphrase would open the backups", subject=slot_id,
            hint="add another passphrase first, by seed key add; or put one in its place, by seed key change",
        )  # fmt: skip
    _revise(home, slots, [slot for slot, shown in known if shown not in found], slots.number + 1)
    return found[0]


def bring(home: Home, vault: Store) -> None:
    """Put into the vault a revision of the slots or a retention policy that it may lack. Raises StoreError.

    The first revision of the slots came with the registration.
    """
    if slots_of(home).number > 1 or home.identity.policy is not None:
        put_request(vault, home.identity)


def _made(home: Home, passphrase: str) -> dict[str, Json]:
    check(passphrase)
    return slot_to_json(make_slot(passphrase, home.identity.master))


def _revise(home: Home, before: Slots, slots: Sequence[Mapping[str, Json]], keep_from: int) -> None:
    revised = Slots(
        number=before.number + 1,
        vault=before.vault,
        machine=before.machine,
        key_id=before.key_id,
        slots=tuple(slots),
        keep_from=keep_from,
    )
    home.save_slots(envelope.sign(revised, home.identity.signing_key))
