"""`importer report`."""

from pathlib import Path
from typing import Annotated

import typer

from formats.shell.console import Console, command
from formats.shell.user_files import check_writable
from importer.cli.app import MachineOption, VaultOption, app, vault_of


@command(app, "report")
def report(
    console: Console,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to: a page for a browser.")],
    vault: VaultOption = None,
    machine: MachineOption = None,
) -> None:
    """Write a report of a vault, as a page.

    It shows machines and points, bytes by day, each disk and its archives, awaited disks and jobs.

    Example: importer report --vault /srv/vault --out vault.html
    """
    from formats.shell.reports.report_output import write
    from importer.reports.overview import overview
    from importer.vault.vault import check_machine

    check_writable(out)
    opened = vault_of(vault, console)
    check_machine(opened, machine, console)
    told = overview(opened, lambda m: machine in (None, m.name), console)
    write(console, out, told)
