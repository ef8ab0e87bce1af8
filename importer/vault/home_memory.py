"""Everything about a vault that the importer's home remembers, so that the vault itself need not be believed."""

from collections.abc import Mapping
from pathlib import Path

from formats.documents.codec import Record, hexed, integer, many, member, nested, optional, text
from formats.homes import make_private
from formats.ids import HexDigest, VaultId
from formats.records import read_record, unwritable, write_record
from formats.view.facts import Pin

SUBJECTS_MAX = 100_000
ADDRESSES_MAX = 100


class LastRegister(Record):
    """The last register of a subject that this home signed or saw."""

    subject: str = member(text(32))
    number: int = member(integer(1))
    digest: HexDigest = member(hexed(32))
    key_id: str | None = member(optional(hexed(16)), default=None)


class Seen(Record):
    """The addresses at which this home opened a vault, and the last register of each subject there."""

    addresses: tuple[str, ...] = member(many(text(1000), ADDRESSES_MAX), default=())
    registers: tuple[LastRegister, ...] = member(many(nested(LastRegister), SUBJECTS_MAX), default=())
    since: int = member(integer(), default=0)  # when the vault was made again, empty

    @property
    def pins(self) -> dict[str, Pin]:
        return {last.subject: Pin(last.number, last.digest, last.key_id) for last in self.registers}

    def with_more(self, address: str, pins: Mapping[str, Pin]) -> "Seen":
        """Return a copy with an address and the last registers; of a subject, the higher number stays."""
        addresses = (
            self.addresses if address in self.addresses else (*self.addresses, address)[-ADDRESSES_MAX:]
        )
        newest = dict(self.pins)
        for subject, pin in pins.items():
            if subject not in newest or newest[subject].number <= pin.number:
                newest[subject] = pin
        registers = (
            LastRegister(subject=s, number=p.number, digest=HexDigest(p.digest), key_id=p.key_id)
            for s, p in sorted(newest.items())
        )
        return Seen(addresses=addresses, registers=tuple(registers), since=self.since)


def load(home: Path, vault: VaultId) -> Seen:
    """Return everything that this home remembers about a vault. Raises HomeError home-damaged.

    The record is empty if nobody worked on the vault from here.
    """
    path = _path(home, vault)
    return read_record(path, Seen) if path.exists() else Seen()


def note(home: Path, vault: VaultId, address: str, pins: Mapping[str, Pin]) -> None:
    """Remember the address of a vault and its last registers durably. Raises HomeError.

    Other processes may do so at the same time.
    """
    from filelock import FileLock  # takes long to load

    path = _path(home, vault)
    try:
        make_private(path.parent)
        with FileLock(path.with_suffix(".lock"), mode=0o600):
            write_record(path, load(home, vault).with_more(address, pins))
    except OSError as error:
        raise unwritable(path, error) from error


def begin_anew(home: Path, vault: VaultId, now: int) -> None:
    """Remember nothing of a vault but the time at which it is made again, empty. Raises HomeError."""
    write_record(_path(home, vault), Seen(since=now))


def _path(home: Path, vault: VaultId) -> Path:
    return home / "seen" / f"{vault}.json"
