"""`importer prune`."""

from typing import TYPE_CHECKING, Annotated

import typer

from formats.shell.console import Console, command
from formats.untrusted import Json
from formats.words import counted, instant, moment, size
from importer.cli.app import (
    MachineOption,
    VaultOption,
    accept_machines,
    app,
    exit_code,
    home,
    signing_vault,
    vault_of,
)

if TYPE_CHECKING:
    from importer.upkeep.prune import PruneResult
    from importer.vault.retention import RetentionDecision


@command(app, "prune", job=home)
def prune(
    console: Console,
    vault: VaultOption = None,
    machine: MachineOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing, and tell only the result.")
    ] = False,
) -> int:
    """Apply retention and delete unneeded data.

    No passphrase is needed.

    An unneeded object is condemned first. A run a day later or more deletes it: so run it daily or weekly.

    Example: importer prune --vault /srv/vault --dry-run
    """
    from importer.upkeep.prune import prune as run
    from importer.vault.vault import check_machine
    from importer.vault.want_lists import mend

    opened = vault_of(vault, console) if dry_run else signing_vault(vault, console)
    check_machine(opened, machine, console)
    if not dry_run:
        accept_machines(opened, console)
        mend(opened, console)
    with console.working("prune"):
        done = run(opened, lambda member: machine in (None, member.name), console, rehearse=dry_run)
    points: list[Json] = [row for decided in done.decided for row in _show_points(decided, console)]
    _say(done, console, dry_run=dry_run)
    console.result(
        {
            "dry_run": dry_run,
            "points": points,
            "deleted": done.deleted,
            "deleted_bytes": done.deleted_bytes,
            "acquitted": done.acquitted,
            "rewritten": done.rewritten,
            "rewritten_bytes": done.rewritten_bytes,
            "condemned": done.condemned,
            "condemned_bytes": done.condemned_bytes,
            "waiting": done.waiting,
            "ripe": int(done.ripe.timestamp()) if done.ripe is not None else None,
            "importing": list(done.importing),
            "unreadable": list(done.blind),
            "findings": console.findings_json(),
        }
    )
    return exit_code(console)


def _show_points(decided: "RetentionDecision", console: Console) -> list[dict[str, Json]]:
    name = decided.member.name
    rows: list[dict[str, Json]] = []
    for manifest, term in decided.admitted:
        why = " ".join(term.earned) or "nothing"
        console.say(
            f"{manifest.point[:8]}  {instant(manifest.created)}  {name}  kept until {moment(term.until)} ({why})"
        )
        rows.append(
            {
                "point": manifest.point,
                "name": name,
                "state": "admitted",
                "until": term.until,
                "earned": [*term.earned],
            }
        )
    for manifest in decided.expired:
        console.say(f"{manifest.point[:8]}  {instant(manifest.created)}  {name}  expires now")
        rows.append({"point": manifest.point, "name": name, "state": "expired"})
    return rows


def _say(done: "PruneResult", console: Console, *, dry_run: bool) -> None:
    if dry_run:
        console.say("Nothing was done: a run without --dry-run would do this.")
    else:
        console.say(f"  deleted      {counted(done.deleted, 'object')}, {size(done.deleted_bytes)}")
    if done.rewritten:
        what = counted(done.rewritten, "archive")
        console.say(f"  rewritten    {what} that were mostly dead, as {size(done.rewritten_bytes)}")
    console.say(f"  condemned    {counted(done.condemned, 'object')}, {size(done.condemned_bytes)}")
    if done.ripe is not None:
        console.say(
            f"  waiting      {counted(done.waiting, 'object')}; deleted from {instant(int(done.ripe.timestamp()))} on"
        )
    if done.importing:
        console.say("  nothing was deleted, for an import goes on: run this again when it has ended")
