"""`importer status`: the disks that the vault awaits and has, one by one."""

from typing import TYPE_CHECKING

from formats.ids import fingerprint
from formats.shell.console import Console, command
from formats.untrusted import Json
from formats.words import moment
from importer.cli.app import MachineOption, VaultOption, app, vault_of
from importer.cli.wants import mended, say_wants

if TYPE_CHECKING:
    from formats.documents.vault import Membership
    from importer.reports.status import SetStatus


@command(app, "status")
def status(
    console: Console,
    vault: VaultOption = None,
    machine: MachineOption = None,
) -> None:
    """Show the disk sets of each machine.

    Each disk is awaited, received, or may be erased.

    Example: importer status --vault /srv/vault
    """
    from importer.reports.status import standings
    from importer.vault.vault import check_machine

    opened = vault_of(vault, console)
    check_machine(opened, machine, console)
    wanted = mended(opened, console)
    rows: list[Json] = []
    for member, sets in standings(opened, console, lambda m: machine in (None, m.name)):
        console.say(f"{member.name}, {told(member)}")
        if not sets:
            console.say("  no disks so far")
        shown: list[Json] = [_show(console, found, opened.clock.now()) for found in sets]
        rows.append({"machine": member.machine, "name": member.name, "status": member.status, "sets": shown})
    if not rows:
        console.say("no machine is registered yet")
    say_wants(wanted, console)
    console.result(rows)


def told(member: "Membership") -> str:
    """Return the status of a machine in plain words."""
    if member.status == "replaced":
        return f"the machine before, {fingerprint(member.machine)}: replaced {moment(member.since)}"
    if member.status == "revoked":
        return f"revoked {moment(member.since)}"
    return f"{member.status}, in place of the machine before" if member.replaces else member.status


def _show(console: Console, found: "SetStatus", now: float) -> dict[str, Json]:
    from formats.rules.custody import to_json
    from formats.rules.custody import told as told_of

    console.say(f"  set {found.set[:8]}: {found.words(now)}")
    disks: list[Json] = []
    for disk in found.disks:
        console.say(f"    disk {disk.number:<6} {disk.words()}")
        said = told_of(disk.steps)
        for line in said:
            console.say(f"      {line}")
        disks.append(
            {
                "number": disk.number,
                "state": disk.words(),
                "received": disk.received,
                "given_up": disk.given_up,
                "whole": disk.whole,
                "may_be_erased": disk.may_be_erased,
                "history": [*said],
                "custody": [to_json(step) for step in disk.steps],
            }
        )
    until = int(found.kept_until.timestamp()) if found.kept_until is not None else None
    return {"set": found.set, "finished": found.finished, "given_up_until": until, "disks": disks}
