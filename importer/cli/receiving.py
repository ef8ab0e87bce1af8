"""`importer receive`."""

from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.ids import fingerprint
from formats.shell.console import Console, command
from formats.shell.custody_options import (
    LONG,
    CarrierOption,
    NoteOption,
    OnOption,
    TrackingOption,
    checked,
    parse_moment,
)
from formats.store.clock import SYSTEM
from formats.untrusted import Json
from importer.cli.app import MachineOption, VaultOption, accept_machines, app, signing_vault

if TYPE_CHECKING:
    from importer.reports.status import SetStatus
    from importer.vault.vault import Vault


@command(app, "receive")
def receive(
    console: Console,
    codes: Annotated[
        list[str],
        typer.Argument(
            metavar="CODE", help="The text of the label's QR code, or a set and a number, as 5f0c1a2b/2."
        ),
    ],
    vault: VaultOption = None,
    machine: MachineOption = None,
    carrier: CarrierOption = None,
    tracking: TrackingOption = None,
    note: NoteOption = None,
    on: OnOption = None,
) -> None:
    """Book disks in as they come out of the parcel.

    Nothing is read of them yet.

    Example: importer receive 5f0c1a2b/2 --vault /srv/vault
    """
    from formats.rules.custody import to_json, words
    from formats.rules.disk_code import parse_code
    from importer.intake.custody_log import ReceptionNotes, find
    from importer.intake.custody_log import receive as book_in
    from importer.vault.vault import check_machine

    at = parse_moment(on) if on is not None else int(SYSTEM.now())
    notes = ReceptionNotes(at, checked(carrier), checked(tracking), checked(note, LONG))
    read = [parse_code(code) for code in codes]
    opened = signing_vault(vault, console)
    accept_machines(opened, console)
    check_machine(opened, machine, console)
    found = [(*find(opened, code, machine, console), code.number) for code in read]
    sets = dict.fromkeys((member.machine, disk_set) for member, disk_set, _ in found)
    before = {key: _standing(opened, *key) for key in sets}
    for member, disk_set, number in found:
        _check_number(before[member.machine, disk_set], number)
    rows: list[Json] = []
    for member, disk_set, number in found:
        step, is_new = book_in(opened, member, disk_set, number, notes, console)
        which = f"Disk {number} of set {disk_set[:8]} of {member.name}"
        console.say(f"{which}{'' if is_new else ', booked in before'}: {words(step)}")
        if _is_given_up(before[member.machine, disk_set], number):
            console.notice(f"{which} was given up by its machine; import it all the same")
        if member.status != "active":
            console.notice(
                f"{member.name}, {fingerprint(member.machine)}, is {member.status}: its import may be refused"
            )
        shown: dict[str, Json] = {"machine": member.machine, "set": disk_set, "number": number, "new": is_new}
        rows.append({**shown, **to_json(step)})
    for machine, disk_set in sets:
        _say_missing(console, _standing(opened, machine, disk_set), disk_set)
    console.result({"disks": rows, "findings": console.findings_json()})


def _standing(opened: "Vault", machine: str, disk_set: str) -> "SetStatus | None":
    from formats.monitor import Tally
    from importer.reports.status import standings

    found = [s for _, sets in standings(opened, Tally(), lambda m: m.machine == machine) for s in sets]
    return next((standing for standing in found if standing.set == disk_set), None)


def _is_given_up(standing: "SetStatus | None", number: int) -> bool:
    return standing is not None and any(d.number == number and d.given_up for d in standing.disks)


def _check_number(standing: "SetStatus | None", number: int) -> None:
    """Check that a finished set has a disk of this number. Raises UsageError disk-unknown."""
    if standing is None or not standing.finished:
        return  # nobody knows yet how many disks it will have
    known = [disk.number for disk in standing.disks]
    if number not in known:
        raise UsageError(
            "disk-unknown",
            f"set {standing.set[:8]} has no disk {number}",
            subject=f"{standing.set[:8]}/{number}",
            hint="`importer status` shows its disks; was the label misread?",
        )


def _say_missing(console: Console, standing: "SetStatus | None", disk_set: str) -> None:
    if standing is None or not standing.finished:
        console.say(
            f"  how many disks set {disk_set[:8]} has is known once it was announced, or its last disk is imported"
        )
        return
    missing = [disk.number for disk in standing.disks if disk.is_missing]
    if missing:
        which = ", ".join(map(str, missing))
        console.say(f"  still to come of set {disk_set[:8]}: disk {which} of {len(standing.disks)}")
    else:
        console.say(f"  all {len(standing.disks)} disks of set {disk_set[:8]} are here, or were given up")
