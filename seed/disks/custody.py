"""The history of a disk of this home: its steps here, its couriers, and the steps that the vault has seen."""

from collections.abc import Collection, Sequence

from formats.documents.custody import Custody
from formats.errors import OffseedError, UsageError
from formats.monitor import Monitor
from formats.rules.completeness import awaited
from formats.rules.custody import Chain, DiskKey, add, dated, newest, told, words
from formats.store.contract import Store
from formats.words import listed, numbered
from seed.home.disk_sets import SENT_MAX, CourierNote, DiskState, KeptSet
from seed.home.home import Home

AWAITED = "awaited by the vault"
SEEN_HERE = ("written", "closed", "verified")  # steps of this machine itself


def disk_key(home: Home, kept: KeptSet, number: int) -> DiskKey:
    identity = home.identity
    keys = {"machine": identity.public_key, "authority": identity.authority_key}
    return DiskKey(identity.vault, identity.machine, kept.state.set, number, keys)


def ship(kept: KeptSet, sendings: Sequence[CourierNote], monitor: Monitor) -> None:
    """Keep that disks were given to a courier.

    `tell` tells the vault. Raises UsageError disk-unknown, usage.
    """
    known = {number: disk for number, disk in kept.state.disks_by_number.items() if disk.label is not None}
    if strange := [sent.number for sent in sendings if sent.number not in known]:
        raise UsageError(
            "disk-unknown",
            f"set {kept.state.set[:8]} has no {numbered('disk', strange)}; it has {listed(sorted(known))}",
            subject=kept.state.set[:8],
            hint="see `seed set show` for the disks",
        )
    if len(kept.state.sent) + len(sendings) > SENT_MAX:
        raise UsageError("usage", "cannot keep so many sendings of one set", subject=kept.state.set[:8], hint="they were noted before")  # fmt: skip
    for sent in sendings:
        if (why := _unready(known[sent.number])) is not None:
            monitor.notice(f"disk {sent.number} of set {kept.state.set[:8]} {why}")
    kept.send(sendings)


def to_ship(home: Home, kept: KeptSet, vault: Store | None) -> set[int]:
    """Return the closed disks of a set that were neither sent nor are known to have arrived.

    Raises StoreError.
    """
    there = {disk.number for disk in kept.state.disks if disk.inventory is not None and not disk.dropped}
    gone = {sent.number for sent in kept.state.sent} | {
        disk.number for disk in kept.state.disks if disk.arrived
    }
    if vault is not None and kept.state.status == "finished":
        gone |= there - set(awaited(kept.document(), home.identity.came_to(vault)))
    return there - gone


def _unready(disk: DiskState) -> str | None:
    if disk.dropped:
        return "was given up: nobody waits for it"
    if disk.inventory is None:
        return "is not closed: its export goes on, and needs it"
    return None if disk.verified else "was not read back since it was closed: `seed verify` does that"


def tell(home: Home, kept: KeptSet, vault: Store, monitor: Monitor) -> bool:
    """Tell the vault of sendings that it does not know.

    Return whether it knows all; a failure is a notice.
    """
    for sent in kept.state.sent:
        if sent.told:
            continue
        try:
            _tell(home, kept, sent, vault, monitor)
        except OffseedError as error:
            monitor.notice(f"the vault cannot be told that disk {sent.number} was sent: {error.what}")
            return False
        kept.told(sent)
    return True


def _tell(home: Home, kept: KeptSet, sent: CourierNote, vault: Store, monitor: Monitor) -> None:
    draft = _draft(home, kept, sent)

    def lacking(chain: Chain) -> Custody | None:  # a killed run may have put it
        return None if _knows(chain.steps, sent) else draft

    add(vault, disk_key(home, kept, sent.number), home.identity.signing_key, monitor, lacking)


def _draft(home: Home, kept: KeptSet, sent: CourierNote) -> Custody:
    disk = kept.state.disks_by_number[sent.number]
    return Custody(
        vault=home.identity.vault,
        machine=home.identity.machine,
        set=kept.state.set,
        number=sent.number,
        step=1,
        role="machine",
        event="sent",
        at=sent.at,
        noted=int(home.clock.now()),
        generation=disk.generation,
        whole=False,
        inventory=disk.inventory,
        carrier=sent.carrier,
        tracking=sent.tracking,
        note=sent.note,
    )


def steps_of(
    home: Home, kept: KeptSet, number: int, vault: Store | None, monitor: Monitor
) -> tuple[Custody, ...]:
    """Return the steps of a disk that the vault knows. If they cannot be read, that is a notice."""
    if vault is None:
        return ()
    try:
        return Chain.read(vault, disk_key(home, kept, number), monitor).steps
    except OffseedError as error:
        monitor.notice(f"cannot read the history of disk {number} of set {kept.state.set[:8]}: {error.what}")
        return ()


def whereabouts(disk: DiskState, to_come: Collection[int] | None, steps: Sequence[Custody]) -> str:
    """Return in words where a disk is.

    `to_come` holds the disks that the vault awaits, or None if the vault was not reached.
    """
    came = newest(steps, "received") is not None
    if disk.dropped:
        return "given up, though it has come" if came else "given up"
    if to_come is not None and disk.number in to_come:
        return "at the datacenter, to be imported" if came else AWAITED
    if to_come is not None or disk.arrived:
        return "arrived in the vault"
    return "closed" if disk.inventory is not None else "open: attach it, and run the same export again"


def history(home: Home, kept: KeptSet, disk: DiskState, steps: Sequence[Custody]) -> list[str]:
    """Return the history of a disk in words: the steps seen by the home, and `steps`, known to the vault."""
    seen = (("label written", disk.begun), ("closed", disk.closed_at), ("verified", disk.verified_at))
    here = [sent for sent in kept.state.sent if sent.number == disk.number and not _knows(steps, sent)]
    return [
        *(dated(at, what) for what, at in seen if at),
        *told([step for step in steps if step.event not in SEEN_HERE]),
        *(
            f"{words(_draft(home, kept, sent))}{'' if sent.told else ', not told to the vault yet'}"
            for sent in here
        ),
    ]


def _knows(steps: Sequence[Custody], sent: CourierNote) -> bool:
    return any(
        (step.number, step.at, step.carrier, step.tracking, step.note) == sent.what
        for step in steps
        if step.event == "sent"
    )
