"""`importer machines`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from formats.errors import FormatError, IntegrityError, OffseedError, VaultError, damage_aside
from formats.ids import fingerprint, machine_id, parse_fingerprint
from formats.layout import numbered
from formats.shell.command_groups import group
from formats.shell.console import Console, command
from formats.store.contract import Guarded, Store
from formats.untrusted import Json
from formats.words import counted, moment
from importer.cli.app import VaultOption, app, signing_vault, vault_of

machines_app = group(
    app,
    "machines",
    "List, accept and revoke machines; remove old keys.",
    "importer machines list --vault /srv/vault",
)


@command(machines_app, "list")
def machines_list(console: Console, vault: VaultOption = None) -> None:
    """List the machines, and the requests that wait.

    Example: importer machines list --vault /srv/vault
    """
    from importer.vault.machines import answer_requests
    from importer.vault.points import by_name
    from importer.vault.vault import members

    opened = vault_of(vault, console)
    accepted, pending = answer_requests(opened, console) if opened.authority else ([], [])
    rows: list[Json] = []
    for member in by_name(members(opened, console)):
        new = " (just now)" if member in accepted else ""
        place = f", in place of {fingerprint(member.replaces)}" if member.replaces else ""
        console.say(
            f"{fingerprint(member.machine)}  {member.status:8} {member.name}, since {moment(member.since)}{place}{new}"
        )
        rows.append(
            {
                "machine": member.machine,
                "name": member.name,
                "status": member.status,
                "since": member.since,
                "replaces": member.replaces,
            }
        )
    for request in pending:
        console.say(f"{fingerprint(request.machine)}  waiting  {request.request.name}: {request.reason}")
        rows.append({"machine": request.machine, "name": request.request.name, "status": "waiting"})
    if not rows:
        console.say("no machine is registered yet")
    console.result(rows)


def _requests(store: Store, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        with damage_aside():
            yield name, store.get(name)


@command(machines_app, "accept")
def machines_accept(
    console: Console,
    wanted: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="As the machine's owner reads it to you.")
    ],
    vault: VaultOption = None,
    source: Annotated[
        list[Path] | None, typer.Option("--from", metavar="DISK", help="A disk that carries its request.")
    ] = None,
) -> None:
    """Accept a machine by its fingerprint.

    Its request lies in the vault or on a disk.

    Example: importer machines accept 3f9a-… --vault /srv/vault --from /mnt/disk
    """
    from importer.intake import intake
    from importer.vault.machines import REQUEST_MAX, admit, read_request
    from importer.vault.vault import members, put_whole

    opened = signing_vault(vault, console)
    there = [name for name, size in opened.store.list("requests") if size <= REQUEST_MAX]
    fetched = list(_requests(opened.store, there))
    for path in source or []:
        for folder in [path] if (path / "label").exists() else list(intake.folders(path)):
            disk = intake.look(folder, path, console)
            fetched += _requests(disk.store, [n for n in disk.listed if n.startswith("requests/")])
    console.findings.clear()
    for name, data in fetched:
        try:
            request, signed = read_request(opened, data, name)
        except (FormatError, IntegrityError, VaultError) as error:
            console.notice(f"{name}: {error}")
            continue
        machine = machine_id(bytes.fromhex(request.public_key))
        if machine == parse_fingerprint(wanted):
            put_whole(opened, numbered("requests", 1, signed.digest), data)
            member = admit(opened, request, signed, members(opened, console), console, by="operator")
            console.say(f"Machine {member.name} is accepted ({fingerprint(machine)}).")
            if member.replaces:
                console.say(f"  It takes the place of {fingerprint(member.replaces)}.")
            if member.status == "replaced":
                console.say(
                    f"  It was replaced: import its disks with --accept-replaced {fingerprint(machine)}"
                )
            console.result(
                {"machine": machine, "name": member.name, "status": member.status, "since": member.since}
            )
            return
    raise OffseedError(
        "machine-unknown",
        "no request with this fingerprint was found",
        subject=wanted,
        hint="add --from DISK if it travels on a disk, and compare the digits",
    )


@command(machines_app, "revoke")
def machines_revoke(
    console: Console,
    wanted: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="As `importer machines list` shows it.")
    ],
    vault: VaultOption = None,
) -> None:
    """Revoke a machine: nothing more of it is taken.

    All that the vault has of it stays good.

    Example: importer machines revoke 3f9a-… --vault /srv/vault
    """
    from importer.vault.machines import revoke
    from importer.vault.vault import members

    opened = signing_vault(vault, console)
    known = members(opened, console)
    machine = parse_fingerprint(wanted)
    member = revoke(opened, known, machine, console)
    console.say(f"Machine {member.name} is revoked since {moment(member.since)} ({fingerprint(machine)}).")
    console.say(
        "  Its data in the vault stays, and can be restored; disks of sets that it had announced still come in."
    )
    console.say(
        f"  Any other disk of it only by: importer import DISK --accept-revoked {fingerprint(machine)}"
    )
    if isinstance(opened.store, Guarded):
        console.notice(
            "its access to the storage account goes on until it ends: if it has one of its own, end that by `importer access "
            "revoke`; objects that it puts there do not count"
        )
    console.result({"machine": machine, "name": member.name, "status": member.status, "since": member.since})


@command(machines_app, "accept-loss")
def machines_accept_loss(
    console: Console,
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="FINGERPRINT", help="As `importer prune` or `importer machines list` shows it."
        ),
    ],
    vault: VaultOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the lost documents.")] = False,
) -> None:
    """Accept that documents of a machine are lost.

    They may come back. So until you accept the loss, nothing of this machine is deleted.

    Example: importer machines accept-loss 3f9a-… --dry-run
    """
    from importer.vault.registers import accept_loss, lost_of

    opened = signing_vault(vault, console)
    machine = parse_fingerprint(wanted)
    lost = lost_of(opened, machine)
    for name in lost:
        console.say(f"  {name}")
    if not lost:
        console.say("Nothing that the vault knows of this machine is lost.")
    elif dry_run:
        console.say(
            f"{counted(len(lost), 'document')} lost. Bring them back from a copy of the vault or from a disk, if you can."
        )
    else:
        accept_loss(opened, machine, lost)
        console.say(
            f"{counted(len(lost), 'document')} accepted as lost; `importer prune` waits for them no more."
        )
    console.result({"machine": machine, "lost": [*lost], "accepted": bool(lost) and not dry_run})


@command(machines_app, "drop-keys")
def machines_drop_keys(
    console: Console,
    wanted: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="As the machine's owner reads it to you.")
    ],
    vault: VaultOption = None,
) -> None:
    """Remove the key slots of old passphrases.

    The owner of the machine has changed these passphrases, or taken them away. Ask the owner first: nothing
    brings the slots back.

    Example: importer machines drop-keys 3f9a-… --vault /srv/vault
    """
    from importer.vault.machines import drop_keys
    from importer.vault.vault import members

    opened = signing_vault(vault, console)
    machine = parse_fingerprint(wanted)
    known = members(opened, console)
    dropped = drop_keys(opened, known, machine, console)
    console.say(
        f"{counted(len(dropped), 'revision')} of the key slots of {known[machine].name} removed, and taken from no disk any more."
        if dropped
        else f"{known[machine].name} asks for no key slots to be removed, but those that are gone."
    )
    if dropped:
        console.say("  Disks that were written before still hold them, and open by the old passphrase.")
    console.result({"machine": machine, "name": known[machine].name, "dropped": [*dropped]})
