"""The chain of what befell a disk, read and added to: by its machine and by the datacenter, each under its own key.

A step's name is its number alone, so that of two who add one at once the second comes after the first. Whoever may create objects in
the vault may also put rubbish there: it is told, and passed over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from formats import layout
from formats.documents import envelope
from formats.documents.custody import STEPS_MAX, Custody
from formats.documents.envelope import PrivateKey
from formats.documents.revisions import signed_at
from formats.errors import FormatError, IntegrityError, MediaError, NameHeldByOtherError
from formats.ids import HexDigest, MachineId, SetId, VaultId, hex_digest
from formats.monitor import Finding, Monitor, Tally
from formats.store.contract import Store
from formats.wire import Json
from formats.words import counted, moment


@dataclass(frozen=True)
class DiskKey:
    """Which disk: of which machine's set, and its number; and who may tell of it, by role."""

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
    """The steps that can be believed, in order; the digest of the last, and the number that the next one has at least."""

    steps: tuple[Custody, ...] = ()
    last: HexDigest | None = None
    free: int = 1

    @classmethod
    def read(cls, store: Store, disk: DiskKey, monitor: Monitor) -> Self:
        """What cannot be believed (CUS-1), or does not follow what lies before it (CUS-2), is a finding. Raises StoreError."""
        steps: list[Custody] = []
        last: HexDigest | None = None
        strays = 0
        for name, _ in store.list(disk.prefix):
            number = layout.number_of(name)
            if name != layout.custody_name(disk.prefix, number) or not 1 <= number <= STEPS_MAX:
                strays += 1
                continue
            try:
                signed = signed_at(store, name)
                step = _believed(signed, number, disk) if signed is not None else None
            except (FormatError, IntegrityError, MediaError) as error:
                _broken(monitor, name, error.what)
                continue
            if signed is None or step is None:
                continue
            if step.previous != last:
                _broken(
                    monitor, name, "it does not follow what lies before it: a step was taken away, or put in"
                )
            steps.append(step)
            last = signed.digest
        if strays:
            _broken(monitor, disk.prefix, f"{counted(strays, 'object')} with no name of a step")
        return cls(tuple(steps), last, steps[-1].step + 1 if steps else 1)

    def newest(self, event: str) -> Custody | None:
        return next((step for step in reversed(self.steps) if step.event == event), None)


def _believed(signed: envelope.Signed, number: int, disk: DiskKey) -> Custody:
    """A step by CUS-1. Raises FormatError, IntegrityError."""
    step = signed.verify(Custody, disk.keys[signed.peek(Custody).role])
    where = (step.vault, step.machine, step.set, step.number, step.step)
    if where != (disk.vault, disk.machine, disk.set, disk.number, number):
        raise IntegrityError(
            "custody-broken", "it tells of another disk, or is another step", subject=signed.where
        )
    return step


def _broken(monitor: Monitor, subject: str, detail: str) -> None:
    monitor.finding(Finding(code="custody-broken", subject=subject, detail=detail))


def add(
    store: Store,
    disk: DiskKey,
    key: PrivateKey,
    monitor: Monitor,
    wanted: Callable[[Chain], Custody | None],
) -> Chain:
    """Put the step that is `wanted` after the chain as it stands, and the next one, until none is. Somebody else may add one
    meanwhile: then it is asked again (CUS-3). Returns the chain with them. Raises StoreError."""
    chain = Chain.read(store, disk, monitor)
    free = chain.free
    while (draft := wanted(chain)) is not None:
        if free > STEPS_MAX:
            _broken(
                monitor, disk.prefix, "there is no room for a further step: its name is taken by what is none"
            )
            break
        step = replace(draft, step=free, previous=chain.last)
        signed = envelope.sign(step, key)
        try:
            store.put_new(layout.custody_name(disk.prefix, free), signed)
        except NameHeldByOtherError:
            chain = Chain.read(store, disk, Tally())
            free = max(chain.free, free + 1)
        else:
            chain = Chain((*chain.steps, step), hex_digest(signed), free + 1)
            free += 1
    return chain


def words(step: Custody) -> str:
    """A step as people say it: `2026-11-20 09:12:00  sent by DHL, 00340434`."""
    said = {
        "imported": "imported whole" if step.whole else "imported, not whole",
        "erasable": "may be erased",
    }
    by = ", ".join(filter(None, (step.carrier, step.tracking)))
    return dated(
        step.at,
        f"{said.get(step.event, step.event)}{' by ' * bool(by)}{by}{f' ({step.note})' if step.note else ''}",
    )


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
