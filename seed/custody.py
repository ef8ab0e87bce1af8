"""Where a disk of this home was, and when: what was done to it here, whom it was given to, and what the vault has seen of it."""

import time
from collections.abc import Sequence
from dataclasses import replace

from formats.custody import Chain, DiskKey, add, dated, words
from formats.documents.custody import Custody
from formats.errors import UsageError
from formats.monitor import Monitor
from formats.store.contract import Store
from formats.words import listed, numbered
from seed.disk_sets import SENT_MAX, DiskState, KeptSet, Sent
from seed.home import Home


def disk_key(home: Home, kept: KeptSet, number: int) -> DiskKey:
    identity = home.identity
    keys = {"machine": identity.public_key, "authority": identity.authority_key}
    return DiskKey(identity.vault, identity.machine, kept.state.set, number, keys)


def ship(kept: KeptSet, sendings: Sequence[Sent], monitor: Monitor) -> None:
    """Keep that disks were given to a courier; the vault is told by `tell`. Raises UsageError disk-unknown, usage."""
    known = {number: disk for number, disk in kept.state.disks_by_number.items() if disk.label is not None}
    if strange := [sent.number for sent in sendings if sent.number not in known]:
        raise UsageError(
            "disk-unknown",
            f"set {kept.state.set[:8]} has no {numbered('disk', strange)}; it has {listed(sorted(known))}",
            subject=kept.state.set[:8],
            hint="`seed set show` lists them",
        )
    if len(kept.state.sent) + len(sendings) > SENT_MAX:
        raise UsageError("usage", "so many sendings of one set are not kept", subject=kept.state.set[:8], hint="they were noted before")  # fmt: skip
    for sent in sendings:
        if (why := _unready(known[sent.number])) is not None:
            monitor.notice(f"disk {sent.number} of set {kept.state.set[:8]} {why}")
    known_ones = {_told(sent) for sent in kept.state.sent}
    new = tuple(sent for sent in sendings if _told(sent) not in known_ones)
    kept.change(sent=(*kept.state.sent, *new))


def _unready(disk: DiskState) -> str | None:
    if disk.dropped:
        return "was given up: nobody waits for it"
    if disk.inventory is None:
        return "is not closed: its export goes on, and needs it"
    return None if disk.verified else "was not read back since it was closed: `seed verify` does that"


def tell(home: Home, kept: KeptSet, store: Store, monitor: Monitor) -> None:
    """Tell the vault of what was sent and it does not know. Raises StoreError."""
    for number, sent in enumerate(kept.state.sent):
        if not sent.told:
            _tell(home, kept, sent, store, monitor)
            told = replace(sent, told=True)
            kept.change(sent=(*kept.state.sent[:number], told, *kept.state.sent[number + 1 :]))


def _tell(home: Home, kept: KeptSet, sent: Sent, store: Store, monitor: Monitor) -> None:
    draft = _draft(home, kept, sent)

    def lacking(chain: Chain) -> Custody | None:  # a run that was killed may have put it
        return None if _knows(chain.steps, sent) else draft

    add(store, disk_key(home, kept, sent.number), home.identity.signing_key, monitor, lacking)


def _draft(home: Home, kept: KeptSet, sent: Sent) -> Custody:
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
        noted=int(time.time()),
        generation=disk.generation,
        whole=False,
        inventory=disk.inventory,
        carrier=sent.carrier,
        tracking=sent.tracking,
        note=sent.note,
    )


def steps_of(home: Home, kept: KeptSet, number: int, store: Store, monitor: Monitor) -> tuple[Custody, ...]:
    """What the vault knows of a disk. Raises StoreError."""
    return Chain.read(store, disk_key(home, kept, number), monitor).steps


def history(home: Home, kept: KeptSet, disk: DiskState, steps: Sequence[Custody]) -> list[str]:
    """What befell a disk, in words: as the home saw it, and in `steps` as the vault knows it."""
    seen = (("label written", disk.begun), ("closed", disk.closed_at), ("verified", disk.verified_at))
    here = [sent for sent in kept.state.sent if sent.number == disk.number and not _knows(steps, sent)]
    return [
        *(dated(at, what) for what, at in seen if at),
        *map(words, steps),
        *(f"{words(_draft(home, kept, sent))}, not told to the vault yet" for sent in here),
    ]


def _knows(steps: Sequence[Custody], sent: Sent | Custody) -> bool:
    return any(_told(step) == _told(sent) for step in steps if step.event == "sent")


def _told(sent: Sent | Custody) -> tuple[object, ...]:
    return sent.number, sent.at, sent.carrier, sent.tracking, sent.note
