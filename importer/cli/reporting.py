"""`importer report`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from formats.console import Console, check_writable, command
from formats.store.failures import told as told_of
from formats.words import counted
from importer.cli.app import MachineOption, VaultOption, app, vault_of


@command(app, "report")
def report(
    console: Console,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to: a page for a browser.")],
    vault: VaultOption = None,
    machine: MachineOption = None,
) -> None:
    """Write a page to look at: machines and points, bytes by day, each disk and its archives, what is awaited, what was done.

    Example: importer report --vault /srv/vault --out vault.html
    """
    from importer.overview import overview
    from importer.vault import check_machine

    check_writable(out)
    opened = vault_of(vault, console)
    check_machine(opened, machine, console)
    told = overview(opened, int(time.time()), lambda m: machine in (None, m.name), console)
    with told_of(str(out)):
        out.write_text(told.html, encoding="utf-8")
    console.say(f"{counted(len(told.points), 'point')} and {counted(len(told.disks), 'disk')} in {out}")
    console.result(
        {
            "out": str(out),
            "points": len(told.points),
            "disks": len(told.disks),
            "waiting": [*told.all_that_waits()],
            "findings": console.findings_json(),
        }
    )
