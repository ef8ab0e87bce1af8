"""The chain of the events of a disk. Its machine and the datacenter extend it, each under its own key.

A step's name is its number alone. So if both add a step at once, the second comes after the first. Anybody
with the right to create objects in the vault may also put rubbish there. The reader ignores it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.custody import EVENTS, STEP_SIZE_MAX, STEPS_MAX, Custody
from formats.errors import FormatError, IntegrityError, NameHeldByOtherError, NotFoundError
from formats.ids import HexDigest, MachineId, SetId, VaultId, hex_digest
from formats.monitor import Finding, Monitor, Tally
from formats.store.contract import Store
from formats.untrusted import Json
from formats.words import counted, moment


@dataclass(frozen=True)
class DiskKey:
    """A disk, by machine, set and number, and the public keys of the signers of its steps, by role."""

    vault: VaultId
    machine: MachineId
    set: SetId
    number: int
    keys: Mapping[str, bytes]

    @property
    def prefix(self) -> str:
        return layout.custody_prefix(self.machine, self.set, self.number)


@dataclass(frozen=True)
class Chain:
    """The believed steps in order, the digest of the last one, and the lowest number for the next one."""

    steps: tuple[Custody, ...] = ()
    last: HexDigest | None = None
    free: int = 1

    @classmethod
    def read(cls, store: Store, disk: DiskKey, monitor: Monitor) -> Self:
        """Read the chain of a disk. Raises StoreError, MediaError.

        The reader skips objects that it cannot believe (CUS-1) with a notice, because anybody may have put
        them there. A step that does not follow the one before it (CUS-2) is a finding.
        """
        steps: list[Custody] = []
        last: HexDigest | None = None
        strange = 0
        for name, size in store.list(disk.prefix):
            number = layout.number_of(name)
            step = None
            if name == layout.custody_name(disk.prefix, number) and size <= STEP_SIZE_MAX:
                with suppress(FormatError, IntegrityError, NotFoundError):
                    signed = envelope.read(store.get(name, length=STEP_SIZE_MAX + 1), name)
                    step = _believed(signed, number, disk)
            if step is None:
                strange += 1
                continue
            if step.previous != last:
                _broken(
                    monitor,
                    name,
                    "it does not follow what lies before it: a step was taken away, altered or put in",
                )
            steps.append(step)
            last = signed.digest
        if strange:
            monitor.notice(
                f"{disk.prefix}: {counted(strange, 'object')} without a step of this disk; passed over"
            )
        return cls(tuple(steps), last, steps[-1].step + 1 if steps else 1)

    def newest(self, event: str) -> Custody | None:
        return newest(self.steps, event)


def newest(steps: Sequence[Custody], event: str) -> Custody | None:
    """Return the last step that tells of such an event."""
    return next((step for step in reversed(steps) if step.event == event), None)


def _believed(signed: envelope.Signed, number: int, disk: DiskKey) -> Custody:
    """Return the step if it can be believed by CUS-1. Raises FormatError, IntegrityError."""
    role = signed.peek(Custody).role
    step = signed.verify(Custody, disk.keys[role])
    where = (step.vault, step.machine, step.set, step.number, step.step)
    if where != (disk.vault, disk.machine, disk.set, disk.number, number):
        raise IntegrityError(
            "custody-broken", "it tells of another disk, or is another step", subject=signed.where
        )
    if (role == "machine") != (step.event == "sent"):
        raise IntegrityError("custody-broken", "it is not for its signer to say", subject=signed.where)
    return step


def _broken(monitor: Monitor, subject: str, detail: str) -> None:
    monitor.finding(Finding(code="custody-broken", subject=subject, detail=detail))


def add(
    store: Store,
    disk: DiskKey,
    key: Ed25519PrivateKey,
    monitor: Monitor,
    wanted: Callable[[Chain], Custody | None],
) -> Chain:
    """Put the `wanted` step after the chain, then the next one, until none is wanted. Return the new chain.

    Another writer may add a step meanwhile; then this calls `wanted` again (CUS-3). Raises StoreError,
    MediaError, FormatError.
    """
    chain = Chain.read(store, disk, monitor)
    taken: set[str] = set()
    while (draft := wanted(chain)) is not None:
        free = next(
            (n for n in range(chain.free, STEPS_MAX + 1) if layout.custody_name(disk.prefix, n) not in taken),
            None,
        )
        if free is None:
            _broken(
                monitor, disk.prefix, "there is no room for a further step: its name is taken by what is none"
            )
            break
        step = replace(draft, step=free, previous=chain.last)
        signed = envelope.sign(Custody.from_json(step.to_json(), disk.prefix), key)
        try:
            store.put_new(layout.custody_name(disk.prefix, free), signed)
        except NameHeldByOtherError:
            # List the names before reading the chain: a step that comes between is met again.
            taken = {name for name, _ in store.list(disk.prefix)}
            chain = Chain.read(store, disk, Tally())
        else:
            chain = Chain((*chain.steps, step), hex_digest(signed), free + 1)
    return chain


def words(step: Custody) -> str:
    """Return a step in words: `2026-11-20 09:12:00  sent by DHL, 00340434`."""
    said = {
        "written": "label written",
        "imported": "imported whole" if step.whole else "imported, not whole",
        "erasable": "may be erased",
    }
    by = ", ".join(filter(None, (step.carrier, step.tracking)))
    return dated(
        step.at,
        f"{said.get(step.event, step.event)}{' by ' * bool(by)}{by}{f' ({step.note})' if step.note else ''}",
    )


def told(steps: Sequence[Custody]) -> list[str]:
    """Return the steps in words, by the second of the event; within one second, in their usual order."""
    return [words(step) for step in sorted(steps, key=lambda step: (step.at, EVENTS.index(step.event)))]


def dated(at: int, event: str) -> str:
    return f"{moment(at)}  {event}"


def to_json(step: Custody) -> dict[str, Json]:
    return {
        "event": step.event,
        "by": step.role,
        "at": step.at,
        "noted": step.noted,
        "generation": step.generation,
        "whole": step.whole,
        "carrier": step.carrier,
        "tracking": step.tracking,
        "note": step.note,
    }
