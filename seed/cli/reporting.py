"""The command `seed report`."""

import time
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
    """Write a page to look at: points over time, bytes by day, what is saved, each disk and its archives, what is awaited.

    Example: seed report --out report.html
    """
    from formats.shell.reports.saying import write
    from seed.report import report as made

    check_writable(out)
    home = open_home()
    _, store = vault_of(console, home, vault)
    told = made(home, store, int(time.time()), console)
    write(console, out, told)
