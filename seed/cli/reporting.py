"""The command `seed report`."""

from pathlib import Path
from typing import Annotated

import typer

from formats.shell.console import Console, command
from formats.shell.user_files import check_writable
from seed.cli.app import VaultOption, app, open_home, vault_of


@command(app, "report")
def report(
    console: Console,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to: a page for a browser.")],
    vault: VaultOption = None,
) -> None:
    """Write a report of this machine, as a page.

    It shows points over time, bytes by day, savings, each disk and its archives, and awaited disks.

    Example: seed report --out report.html
    """
    from formats.shell.reports.report_output import write
    from seed.report import report as made

    check_writable(out)
    home = open_home()
    _, store = vault_of(console, home, vault)
    told = made(home, store, int(home.clock.now()), console)
    write(console, out, told)
