"""`seed report`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from formats.console import Console, check_writable, command
from formats.store.failures import told as told_of
from formats.words import counted
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
    from seed.report import report as made

    check_writable(out)
    home = open_home()
    _, store = vault_of(console, home, vault)
    told = made(home, store, int(time.time()), console)
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
