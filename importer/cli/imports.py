"""`importer inspect`, `import` and `points`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import OffseedError, together
from formats.ids import MachineId, fingerprint, parse_fingerprint
from formats.monitor import Finding
from formats.shell.console import DONE, FAILED, Console, command
from formats.shell.user_files import check_writable
from formats.untrusted import Json
from formats.words import counted, instant, numbered, one_line, size
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
from importer.cli.wants import mended, say_wants

if TYPE_CHECKING:
    from formats.documents.vault import Membership
    from importer.intake.disk_check import ReadResult
    from importer.intake.import_result import ImportResult
    from importer.intake.intake import Disk
    from importer.vault.points import VaultPoint
    from importer.vault.vault import Vault

DisksArgument = Annotated[list[Path], typer.Argument(metavar="DISK", help="Where the disks are mounted.")]


@command(app, "inspect")
def inspect(
    console: Console,
    disks: DisksArgument,
    read: Annotated[
        bool, typer.Option("--read", help="Read all of it, past the page cache, and check every digest.")
    ] = False,
) -> int:
    """Show the seeds on disks, and check them.

    It tells of each seed its machine and whether it is whole. It needs neither a vault nor a key.

    Example: importer inspect /mnt/disk --read
    """
    from importer.intake import intake
    from importer.intake.disk_check import read_all

    rows: list[Json] = []
    found, refused = _look(disks, console)
    for disk in found:
        before = len(console.findings)
        intake.check_holdings(disk, console)
        done = None
        if read:
            with console.working("read", sum(disk.listed.values()), "object"):
                done = read_all(disk, console)
        rows.append(_show(disk, console, len(console.findings) - before, done))
    console.result({"disks": rows, "findings": console.findings_json()})
    if console.stopping():
        console.aside("importer: stopped; the report covers the objects read so far [interrupted]")
        return 128 + console.signal_number
    return FAILED if refused else 0


@command(app, "import", job=home)
def import_(
    console: Console,
    disks: DisksArgument,
    vault: VaultOption = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Write the result of each object: as JSON, or as a page for a browser if FILE ends in .html.",
        ),
    ] = None,
    accept_revoked: Annotated[
        str | None,
        typer.Option(
            "--accept-revoked",
            metavar="FINGERPRINT",
            help="Import also unannounced sets of this revoked machine.",
        ),
    ] = None,
    accept_replaced: Annotated[
        str | None,
        typer.Option(
            "--accept-replaced",
            metavar="FINGERPRINT",
            help="Import also unannounced sets of this replaced machine.",
        ),
    ] = None,
) -> int:
    """Import disks into a vault.

    No passphrase is needed. You can run it again at any time, with the disks in any order.

    Example: importer import /mnt/disk --vault /srv/vault
    """
    from importer.intake.import_job import import_disks
    from importer.reports.import_report import write as write_report
    from importer.vault.points import points as all_points
    from importer.vault.want_lists import mend

    if report is not None:
        check_writable(report)
    opened = signing_vault(vault, console)
    accept_machines(opened, console)
    looked, unreadable = _look(disks, console)
    said = {"replaced": accept_replaced, "revoked": accept_revoked}
    further = {parse_fingerprint(text): status for status, text in said.items() if text is not None}
    welcome, refused = _admit(opened, looked, further, console)
    if refused and not welcome:
        raise together([refusal for _, refusal in refused])
    mend(opened, console)  # records sent for a damaged disk count when the disk comes again
    with console.working("import", sum(_bytes(disk) for disk, _ in welcome), "archive"):
        results = import_disks(opened, welcome, console)
    rows: list[Json] = [_report(result, console) for result in results]
    for disk, refusal in refused:
        say_refused(console, refusal)
        rows.append({"disk": disk.name, "refused": refusal.code})
    senders = {result.member.machine for result in results}
    for point in all_points(opened, console, lambda m: m.machine in senders):
        if any(point.manifest.set == r.disk.label.set for r in results):
            _show_point(point, console)
    wants = say_wants(mend(opened, console), console)
    value: dict[str, Json] = {"disks": rows, "wants": wants, "findings": console.findings_json()}
    _say_others(opened, results, console)
    if report is not None:
        write_report(report, results, value)
    console.result(value)
    return exit_code(console, FAILED if refused or unreadable else DONE)


def _admit(
    opened: "Vault", looked: "list[Disk]", further: dict[MachineId, str], console: Console
) -> "tuple[list[tuple[Disk, Membership]], list[tuple[Disk, OffseedError]]]":
    """Return the disks that the vault takes in, each with its machine, and the others, each with its error.

    `further` are machines that count no more, by status: their disks are taken in all the same.
    """
    from importer.intake.acceptance import accept
    from importer.vault.machines import accept_further
    from importer.vault.vault import members

    known = members(opened, console)
    for machine, status in further.items():
        accept_further(opened, known, machine, status, [item for disk in looked for item in disk.manifests])
    welcome, refused = [], []
    for disk in looked:
        try:
            welcome.append((disk, accept(opened, disk, known, further=further, beside=looked)))
        except OffseedError as error:
            refused.append((disk, error))
    return welcome, refused


@command(app, "points")
def points(
    console: Console,
    vault: VaultOption = None,
    machine: MachineOption = None,
) -> None:
    """List the recovery points of a vault.

    Each is complete, or waits for disks.

    Example: importer points --vault /srv/vault
    """
    from importer.vault.points import points as all_points
    from importer.vault.vault import check_machine

    opened = vault_of(vault, console)
    check_machine(opened, machine, console)
    mended(opened, console)
    found = all_points(opened, console, lambda m: machine in (None, m.name))
    rows: list[Json] = [_show_point(point, console) for point in found]
    if not rows:
        console.say("no recovery points yet; `importer status` shows the disks that have come")
    console.result(rows)


def _look(paths: list[Path], console: Console) -> "tuple[list[Disk], int]":
    """Return all our folders on the disks, and the number of refused paths.

    Raises OffseedError if nothing can be believed at all.
    """
    from importer.intake import intake

    found: list[Disk] = []
    refused: list[OffseedError] = []
    failures: list[OffseedError] = []
    for path in paths:
        try:
            for folder in intake.folders(path):
                try:
                    found.append(intake.look(folder, path, console))
                except OffseedError as error:
                    failures.append(error)
                    console.finding(Finding(code=error.code, subject=str(folder), detail=error.what))
        except OffseedError as error:
            failures.append(error)
            refused.append(error)
    if failures and not found:
        console.findings.clear()  # the raised error says it
        raise together(failures)
    for refusal in refused:
        say_refused(console, refusal)
    return found, len(refused)


def say_refused(console: Console, error: OffseedError) -> None:
    """Say that one disk of several is refused, and the others are not."""
    console.aside(f"importer: {error} [{error.code}]", f"  what to do: {error.hint}")


def _show(disk: "Disk", console: Console, findings: int, done: "ReadResult | None") -> dict[str, Json]:
    label, closed = disk.label, disk.closed
    finished = any(document.set == label.set for document, _ in disk.sets)
    console.say(one_line(str(disk.path)))
    console.say(f"  machine      {label.machine_name}, fingerprint {fingerprint(label.machine)}")
    console.say(f"  vault        {label.vault_name} ({label.vault})")
    kind = "set" if label.authority is None else "shipment"
    console.say(f"  disk         {label.number} of {kind} {label.set[:8]}, begun {instant(label.created)}")
    if closed is None:
        console.say("  state        open: no valid inventory closes it")
    else:
        state = f"the {kind} is finished" if finished else f"the {kind} goes on"
        console.say(
            f"  state        closed {instant(closed.inventory.created)}, generation {closed.inventory.generation}; {state}"
        )
        console.say(f"  archives     {len(disk.archives):,}, {size(closed.inventory.archive_bytes)}")
        if (verified := closed.inventory.verified) is not None:
            found = f"{verified.damaged:,} DAMAGED" if verified.damaged else "nothing damaged"
            by = "through the page cache" if verified.cached else "from the medium"
            console.say(
                f"  verified     {instant(verified.finished)} by its machine, {by}: "
                f"{counted(verified.objects, 'object')}, {found}"
            )
    for manifest, _ in disk.manifests:
        totals = manifest.totals
        console.say(
            f"  point        {manifest.point[:8]} of {instant(manifest.created)}: {totals.files:,} files, {size(totals.file_bytes)}"
        )
    structure = "not closed" if closed is None else counted(findings, "finding") if findings else "whole"
    if done is not None:
        by = "through the page cache" if done.cached else "from the medium"
        told = f"{done.damaged:,} DAMAGED" if done.damaged else "nothing damaged"
        console.say(f"  read         {counted(done.objects, 'object')}, {size(done.bytes)}, {by}: {told}")
    if label.authority is None:
        console.say(f"  structure    {structure}; import checks every byte")
    else:
        console.say(
            f"  structure    {structure}; it goes to {label.machine_name}, whose `seed restore --from` reads it"
        )
    return {
        "path": str(disk.path),
        "machine": label.machine,
        "machine_name": label.machine_name,
        "vault": label.vault,
        "set": label.set,
        "number": label.number,
        "outbound": label.authority is not None,
        "closed": closed is not None,
        "generation": closed.inventory.generation if closed else 0,
        "archives": len(disk.archives),
        "archive_bytes": closed.inventory.archive_bytes if closed else 0,
        "points": [manifest.point for manifest, _ in disk.manifests],
        "finished": finished,
        "findings": findings,
        "verified": closed.inventory.verified.to_json()
        if closed is not None and closed.inventory.verified is not None
        else None,
        "read": None
        if done is None
        else {"objects": done.objects, "bytes": done.bytes, "damaged": done.damaged, "cached": done.cached},
    }


def _report(result: "ImportResult", console: Console) -> dict[str, Json]:
    disk, name = result.disk, f"Disk {result.disk.label.number} of set {result.disk.label.set[:8]}"
    if result.unchanged:
        console.say(f"{name}: imported before, nothing to do")
    else:
        others = result.already - result.announced
        console.say(
            f"{name}: {counted(result.copied, 'archive')} copied, {size(result.copied_bytes)}"
            + (f"; the vault had {others:,} more" if others else "")
            + ("; its catalog was there already" if result.announced else "")
            + (f"; {counted(result.salvaged, 'record')} of damaged ones taken" if result.salvaged else "")
        )
    if result.abandoned:
        console.say(f"{name}: its machine has given up its export; it may be erased")
    elif result.whole and result.finished:
        console.say(f"{name}: everything on it is in the vault; it may be erased")
    elif result.whole and result.gives_back:
        why = "its machine gave it up, and what recovery points have lost since may lie on it alone"
        if not result.given_up:
            why = "what recovery points have lost may lie on it"
        console.say(
            f"{name}: KEEP IT: {why}; the machine's next `seed backup` takes back the archives that have arrived"
        )
    elif result.whole:
        console.say(
            f"{name}: KEEP IT for now: all of it is in the vault, but its export goes on; `importer status` says when it "
            "may be erased"
        )
    else:
        console.say(f"{name}: KEEP IT, not everything on it has arrived")
    return {
        "disk": disk.name,
        "path": str(disk.path),
        "generation": result.generation,
        "unchanged": result.unchanged,
        "copied": result.copied,
        "copied_bytes": result.copied_bytes,
        "already": result.already,
        "salvaged_records": result.salvaged,
        "not_needed": result.not_needed,
        "may_be_erased": result.abandoned or (result.whole and result.finished),
        "findings": len(result.findings),
    }


def _show_point(point: "VaultPoint", console: Console) -> dict[str, Json]:
    manifest, standing = point.manifest, point.standing
    console.say(
        f"{manifest.point[:8]}  {instant(manifest.created)}  {point.member.name}  {manifest.point_kind} {manifest.sequence}, "
        f"{manifest.totals.files:,} files, {size(manifest.totals.file_bytes)}: {standing.of(manifest)}"
    )
    return {
        "point": manifest.point,
        "machine": manifest.machine,
        "name": point.member.name,
        "sequence": manifest.sequence,
        "kind": manifest.point_kind,
        "created": manifest.created,
        "files": manifest.totals.files,
        "file_bytes": manifest.totals.file_bytes,
        "lost_files": manifest.totals.lost,
        "doubted": bool(manifest.doubted),
        **standing.to_json(),
    }


def _say_others(vault: "Vault", results: "list[ImportResult]", console: Console) -> None:
    """Say which earlier disks may be erased only now, because their set is finished."""
    from importer.reports.status import free_others

    for disk_set, free in free_others(vault, results, console):
        console.say(f"{numbered('Disk', free)} of set {disk_set[:8]}, imported before: may be erased as well")


def _bytes(disk: "Disk") -> int:
    return sum(holding.size for holding in disk.archives.values())
