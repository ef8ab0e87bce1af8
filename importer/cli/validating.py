"""`importer validate`."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.shell.console import Console, command
from formats.words import counted, one_line, size
from importer.cli.app import VaultOption, accept_machines, app, exit_code, home, signing_vault
from importer.cli.wants import say_wants

if TYPE_CHECKING:
    from formats.store.foreign import Strangers
    from importer.upkeep.validate import ValidationResult

NAMED_MAX = 5
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@command(app, "validate", job=home)
def validate(
    console: Console,
    vault: VaultOption = None,
    sample: Annotated[
        str,
        typer.Option(
            "--sample", metavar="PERCENT", help="Read only so many of the objects, drawn at random."
        ),
    ] = "100%",
    max_duration: Annotated[
        str | None,
        typer.Option(
            "--max-duration", metavar="TIME", help="End after 90m or 6h; the next run goes on there."
        ),
    ] = None,
    set_aside: Annotated[
        bool,
        typer.Option("--set-aside", help="Move objects of others into the vault's folder set-aside/."),
    ] = False,
) -> int:
    """Read a whole vault, and check every byte.

    No passphrase is needed.

    The whole records of a damaged archive are saved; a want list asks its machine for the others. Things in
    the vault that are not its own are named, and with --set-aside moved away.

    Example: importer validate --max-duration 6h
    """
    from importer.upkeep.validate import ValidationScope
    from importer.upkeep.validate import validate as run
    from importer.vault.want_lists import mend

    share = _share(sample)
    seconds = _seconds(max_duration) if max_duration is not None else None
    opened = signing_vault(vault, console)
    accept_machines(opened, console)
    began = opened.clock.elapsed()
    with console.working("validate"):
        done = run(
            opened,
            ValidationScope(share, began + seconds if seconds is not None else None, set_aside),
            console,
        )
    _say(done, opened.clock.elapsed() - began, console)
    wants = say_wants(mend(opened, console), console)
    console.result(
        {
            "objects": done.objects,
            "bytes": done.bytes,
            "damaged": [*done.damaged],
            "saved_records": done.records_saved,
            "after": done.after,
            "foreign": {
                "count": done.foreign.count,
                "kinds": dict(done.foreign.kinds),
                "names": [one_line(found.name) for found in done.foreign.first],
            },
            "set_aside": done.set_aside,
            "wants": wants,
            "findings": console.findings_json(),
        }
    )
    return exit_code(console)


def _say(done: "ValidationResult", seconds: float, console: Console) -> None:
    console.say(f"Read {counted(done.objects, 'object')}, {size(done.bytes)}, in {seconds:.1f} s.")
    console.say(f"  damaged      {len(done.damaged) or 'nothing'}")
    if done.records_saved:
        console.say(f"  saved        {counted(done.records_saved, 'record')} of damaged archives")
    if done.foreign.count:
        console.say(f"  not ours     {_foreign(done.foreign)}")
    if done.set_aside:
        console.say(f"  set aside    {counted(done.set_aside, 'entry')}, below set-aside/")
    if done.after is not None:
        console.say("  not all was read; the next run goes on there")


def _foreign(found: "Strangers") -> str:
    """Return the count, and the first names."""
    names = [one_line(one.name) for one in found.first[:NAMED_MAX]]
    more = f" and {found.count - len(names):,} more" if found.count > len(names) else ""
    return f"{counted(found.count, 'entry')}: {', '.join(names)}{more}"


def _share(text: str) -> float:
    """Return the share of the objects that a text names. Raises UsageError."""
    if not (match := re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%?", text)) or not 0 < float(match[1]) <= 100:
        raise UsageError(
            "usage", "this is no share of the objects", subject=text, hint="write a percentage, as 5%"
        )
    return float(match[1]) / 100


def _seconds(text: str) -> int:
    """Return the seconds that a text names. Raises UsageError."""
    if not (match := re.fullmatch(r"([1-9]\d{0,5})\s*([smhd])", text)):
        raise UsageError(
            "usage", "this is no time", subject=text, hint="write a number and its unit, as 90m, 6h or 2d"
        )
    return int(match[1]) * UNITS[match[2]]
