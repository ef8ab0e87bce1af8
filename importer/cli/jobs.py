"""`importer jobs` and `importer notify`: the work on a vault and by this station, and notices about it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from formats.shell.completion import add_completion
from formats.shell.console import DONE, Console, command
from formats.shell.jobs import commands, notify_commands
from formats.shell.jobs.commands import AllOption, FollowOption, JobArgument
from formats.shell.jobs.notify_commands import ProgramSide, add_notify
from formats.untrusted import Json
from formats.words import counted, moment, size
from importer.cli.app import MachineOption, VaultOption, address_of, app, vault_of
from importer.cli.app import home as home_path

if TYPE_CHECKING:
    from formats.shell.jobs.listing import JobRecord
    from formats.shell.jobs.notifications import Event, Notify
    from importer.reports.jobs import WorkDone

DID = {"import": "copied", "validate": "read", "prune": "deleted", "export": "written"}


@command(app, "jobs", only_tells=True)
def jobs(
    console: Console,
    job: JobArgument = None,
    vault: VaultOption = None,
    machine: MachineOption = None,
    follow: FollowOption = False,
    every: AllOption = False,
) -> int:
    """List the jobs of a vault, by its documents.

    Imports, validations, sweeps and exports; running ones too.

    Each job of this station has an id and a log of JSON lines in its home. The last 400 logs are kept: name
    an id to see its whole log.

    Example: importer jobs --vault /srv/vault
    """
    from formats.shell.jobs.listing import jobs as logged
    from importer.reports.jobs import jobs as found
    from importer.vault.vault import check_machine

    if (code := commands.of_one(console, home_path(), job, following=follow)) is not None:
        return code
    opened = vault_of(vault, console)
    check_machine(opened, machine, console)
    papers = [done for done in found(opened, console) if machine is None or machine in done.machines]
    rows = list(_rows(papers, [] if machine is not None else logged(home_path())))
    commands.list_jobs(console, rows, every=every)
    return DONE


def _rows(papers: "list[WorkDone]", logged: "list[JobRecord]") -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield all work by time: papers of the vault, with logs of this station, and logs without a paper."""
    left = list(logged)
    rows: list[tuple[int, str, dict[str, Json]]] = []
    for done in papers:
        log = next((one for one in left if _is_of(one, done)), None)
        if log is not None:
            left.remove(log)
        rows.append((done.started, _told(done, log), _shown(done, log)))
    rows += [(log.began, commands.told(log), {**_NO_PAPER, **log.to_json()}) for log in left]
    yield from ((text, row) for _, text, row in sorted(rows, key=lambda row: row[0]))


_NO_PAPER: dict[str, Json] = {"machines": [], "what": "", "objects": 0, "bytes": 0}


def _is_of(log: "JobRecord", done: "WorkDone") -> bool:
    return log.kind == done.kind and log.began - 1 <= done.started <= log.began + int(log.seconds) + 1


def _told(done: "WorkDone", log: "JobRecord | None") -> str:
    took = "goes on, or was stopped" if done.finished is None else f"{done.finished - done.started:,} s"
    told = f"{DID[done.kind]} {counted(done.objects, 'object')}, {size(done.bytes)}"
    warned = f"; {counted(done.findings, 'finding')}" if done.findings else ""
    whose = f" {', '.join(done.machines)}" if done.machines else ""
    what = f" {done.what}" if done.what else ""
    own = f"; {log.state}, {log.job}" if log is not None else ""
    return f"{moment(done.started)}  {done.kind:8}{whose}{what}: {told}; {took}{warned}{own}"


def _shown(done: "WorkDone", log: "JobRecord | None") -> dict[str, Json]:
    own = {} if log is None else log.to_json()
    return {
        **own,
        "kind": done.kind,
        "started": done.started,
        "finished": done.finished,
        "machines": [*done.machines],
        "what": done.what,
        "objects": done.objects,
        "bytes": done.bytes,
        "findings": done.findings,
    }


def _name(home: Path) -> str:
    from importer.vault.authority import authorities

    return ", ".join(authority.name for authority in authorities(home)) or "importer"


def _proxy(_: Path) -> str:
    return ""  # as the environment says


def _overdue(console: Console, home: Path, notify: "Notify") -> "list[Event]":
    """Return events about active machines with a late or doubted last point, and about unreadable vaults.

    The vaults are all of this home, or the one of the environment.
    """
    from formats.errors import OffseedError
    from formats.shell.jobs.notifications import Event, overdue
    from importer.vault.authority import authorities
    from importer.vault.points import arrivals
    from importer.vault.vault import open_vault

    events = []
    chosen = os.environ.get("IMPORTER_VAULT")
    for address in [chosen] if chosen else [authority.address for authority in authorities(home)]:
        try:
            opened = open_vault(home, address_of(address), console)
            for member, times, doubted in arrivals(opened, console):
                who = f"{member.name} of {opened.name}"
                found = overdue(who, times, notify.days, member.since)
                events += [found] if found is not None else []
                what = "its last backup is doubted: `seed status` there tells why"
                events += [Event("doubt", who, what, {})] if doubted else []
        except OffseedError as error:
            details: dict[str, object] = {"error": {"code": error.code, "what": error.what}}
            events.append(Event("failure", address, f"the vault cannot be read: {error.what}", details))
    return events


SIDE = ProgramSide("importer", home_path, _name, _proxy, _overdue)
add_notify(app, SIDE)
add_completion(app, "importer")


def job_ended(console: Console) -> None:
    """Notify the receivers that the operator set."""
    notify_commands.job_ended(SIDE, console)
