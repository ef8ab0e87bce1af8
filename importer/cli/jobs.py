"""`importer jobs`."""

from formats.console import Console, command
from formats.wire import Json
from formats.words import counted, moment, size
from importer.cli.app import MachineOption, VaultOption, app, vault_of

DID = {"import": "copied", "validate": "read", "prune": "deleted", "export": "written"}


@command(app, "jobs")
def jobs(console: Console, vault: VaultOption = None, machine: MachineOption = None) -> None:
    """List what was done to a vault: imports, validations, sweeps, exports; those that go on, too.

    Example: importer jobs --vault /srv/vault
    """
    from importer.jobs import jobs as found
    from importer.vault import check_machine

    opened = vault_of(vault, console)
    check_machine(opened, machine, console)
    rows: list[Json] = []
    for done in found(opened, console):
        if machine is not None and machine not in done.machines:
            continue
        took = "goes on, or was stopped" if done.finished is None else f"{done.finished - done.started:,} s"
        told = f"{DID[done.kind]} {counted(done.objects, 'object')}, {size(done.bytes)}"
        warned = f"; {counted(done.findings, 'finding')}" if done.findings else ""
        whose = f" {', '.join(done.machines)}" if done.machines else ""
        what = f" {done.what}" if done.what else ""
        console.say(f"{moment(done.started)}  {done.kind:8}{whose}{what}: {told}; {took}{warned}")
        rows.append(
            {
                "kind": done.kind,
                "started": done.started,
                "finished": done.finished,
                "machines": [*done.machines],
                "what": done.what,
                "objects": done.objects,
                "bytes": done.bytes,
                "findings": done.findings,
            }
        )
    if not rows:
        console.say("nothing was done yet")
    console.result(rows)
