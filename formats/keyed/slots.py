"""Key slots: the master key, wrapped under a passphrase.

A slot is safe to show, except for guesses at its passphrase, which Argon2id makes expensive. Nobody can
change anything in it unseen: the seal authenticates every clear field. The opened key must also have the key
id that stands in the clear.
"""

import hmac
import os
import re
from dataclasses import asdict, dataclass, fields, replace

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from formats.errors import IntegrityError, PassphraseError
from formats.ids import KeyId
from formats.keyed.aead import KEY_SIZE, OVERHEAD, Xaes256Gcm
from formats.keyed.keys import MASTER_KEY_SIZE, MasterKey
from formats.keyed.passphrase import normalise
from formats.untrusted import Json, encode_json, refuse

SALT_SIZE = 16

WORK_MAX = 1 << 20  # KiB of memory, times passes over them: a second or two, and five times the default cost

_KDF = "argon2id"
_AAD_LABEL = b"offseed slot v1"
_BYTE_FIELDS = {
    "salt": SALT_SIZE,
    "key_id": 16,
    "sealed": MASTER_KEY_SIZE + OVERHEAD,
}
_HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")


@dataclass(frozen=True, kw_only=True)
class KdfCost:
    """The cost of one guess at the passphrase: Argon2id's memory, passes and lanes."""

    memory_kib: int = 64 << 10
    time: int = 3
    lanes: int = 4

    @property
    def work(self) -> int:
        """The KiB of memory, times passes over them."""
        return self.memory_kib * self.time

    def check(self, where: str) -> None:
        """Raise FormatError for a cost that protects nothing, or that could exhaust the reader (SLOT-2)."""
        within = 19 << 10 <= self.memory_kib <= 256 << 10 and 1 <= self.time <= 10 and 1 <= self.lanes <= 16
        if not within or self.work > WORK_MAX:
            refuse("SLOT-2", f"key derivation cost out of bounds ({self})", where)


DEFAULT_COST = KdfCost()


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One passphrase's wrapping of the master key; every field may be shown."""

    salt: bytes
    cost: KdfCost
    key_id: KeyId
    sealed: bytes


def make_slot(
    passphrase: str,
    master: MasterKey,
    cost: KdfCost = DEFAULT_COST,
    *,
    salt: bytes | None = None,
    nonce: bytes | None = None,
) -> Slot:
    """Wrap `master` under `passphrase`; only test vectors give `salt` and `nonce`."""
    clear = Slot(
        salt=os.urandom(SALT_SIZE) if salt is None else salt,
        cost=cost,
        key_id=master.key_id,
        sealed=b"",
    )
    return replace(clear, sealed=_cipher(clear, passphrase).seal(master.raw, _aad(clear), nonce))


def open_slot(slot: Slot, passphrase: str) -> MasterKey:
    """Return the wrapped key. Raises PassphraseError (SLOT-4), IntegrityError (SLOT-5), FormatError."""
    where = _place(slot)
    try:
        master = MasterKey(_cipher(slot, passphrase).open(slot.sealed, _aad(slot)))
    except IntegrityError:
        raise PassphraseError(
            "passphrase-wrong",
            "the passphrase does not open the key slot",
            subject=where,
            hint="type it with its capitals and spaces; disks from before a change of passphrase want the old one",
        ) from None
    # The seal alone does not prove it: an attacker with two passphrases can make bytes that open under both.
    if not hmac.compare_digest(slot.key_id, master.key_id):
        raise IntegrityError(
            "seal-broken",
            "the key slot holds another key than it names",
            subject=where,
            hint="take a slot from another disk or the vault: somebody with the passphrase forged this one",
        )
    return master


def slot_to_json(slot: Slot) -> dict[str, Json]:
    """Return the slot as it stands in documents (SLOT-1)."""
    return {
        "kdf": _KDF,
        "key_id": slot.key_id.hex(),
        "salt": slot.salt.hex(),
        "sealed": slot.sealed.hex(),
        **asdict(slot.cost),
    }


def slot_from_json(value: Json, where: str) -> Slot:
    """Parse the output of `slot_to_json` and nothing else. Raises FormatError."""
    costs = [field.name for field in fields(KdfCost)]
    members = _members(value, {"kdf", *costs, *_BYTE_FIELDS}, "SLOT-1", where)
    if members["kdf"] != _KDF:
        refuse("SLOT-1", f"the key derivation is not {_KDF}", f"{where}.kdf")
    cost = KdfCost(**{name: _integer(members[name], "SLOT-1", f"{where}.{name}") for name in costs})
    cost.check(where)
    found = {
        name: _bytes(members[name], size, "SLOT-1", f"{where}.{name}") for name, size in _BYTE_FIELDS.items()
    }
    return Slot(
        salt=found["salt"],
        cost=cost,
        key_id=KeyId(found["key_id"]),
        sealed=found["sealed"],
    )


def _place(slot: Slot) -> str:
    return f"key slot of {slot.key_id.hex()}"


def _cipher(slot: Slot, passphrase: str) -> Xaes256Gcm:
    slot.cost.check(_place(slot))  # before a byte is allocated
    kdf = Argon2id(
        salt=slot.salt,
        length=KEY_SIZE,
        iterations=slot.cost.time,
        lanes=slot.cost.lanes,
        memory_cost=slot.cost.memory_kib,
    )
    return Xaes256Gcm(kdf.derive(normalise(passphrase)))


def _aad(slot: Slot) -> bytes:
    """Return every clear field, in the one encoding that we write."""
    clear = {name: value for name, value in slot_to_json(slot).items() if name != "sealed"}
    return _AAD_LABEL + encode_json(clear)


def _members(value: Json, names: set[str], anchor: str, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        refuse(anchor, "not an object", where)
    if value.keys() != names:
        wrong = ", ".join(repr(name[:40]) for name in sorted(value.keys() ^ names)[:8])
        refuse(anchor, f"members missing or unknown ({wrong})", where)
    return value


def _integer(value: Json, anchor: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(anchor, "not an integer", where)
    return value


def _bytes(value: Json, size: int, anchor: str, where: str) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * size or not _HEX.match(value):
        refuse(anchor, f"not {2 * size} lower-case hex digits", where)
    return bytes.fromhex(value)
