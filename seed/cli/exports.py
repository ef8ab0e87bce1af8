"""The command `seed export`."""

import codecs
import os
import select
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError, each
from formats.ids import fingerprint
from formats.shell.console import Console, command
from formats.store.clock import SYSTEM
from formats.words import counted, instant, listed, numbered, percent, size
from seed.cli.app import GLOBS, address_of, app, home_path, open_home
from seed.cli.hooks import AfterOption, BeforeOption, Hooks, between
from seed.cli.notations import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from formats.store.access import Address
    from formats.store.contract import Store
    from seed.backup.export import ExportOptions, ExportResult
    from seed.home.home import Home, Identity, LeftOut
    from seed.home.items import Scope


ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help=GLOBS.format("Leave out"))
]
ExcludeFromOption = Annotated[
    list[Path] | None,
    typer.Option("--exclude-from", metavar="FILE", help="Leave out the globs in this file, one a line."),
]
OneFileSystemOption = Annotated[bool, typer.Option("--one-file-system", help="Do not cross mount points.")]
ExcludeCachesOption = Annotated[
    bool, typer.Option("--exclude-caches", help="Leave out folders that hold a CACHEDIR.TAG.")
]
UseAtMostOption = Annotated[
    str | None,
    typer.Option("--use-at-most", metavar="SIZE", help="Take no more of each disk, such as 900GB."),
]
WithoutOption = Annotated[
    list[int] | None,
    typer.Option("--without", metavar="N", help="Give up disk N: the data that only it held is read again."),
]
OnceOption = Annotated[bool, typer.Option("--once", help="Other paths than usual, this time only.")]
LevelOption = Annotated[
    int, typer.Option("--level", min=1, max=19, metavar="N", help="zstd's level of compression.")
]


@command(app, "export", job=home_path)
def export(
    console: Console,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Paths to back up.")] = None,
    to: Annotated[
        list[Path] | None,
        typer.Option("--to", metavar="DISK", help="Where a disk is mounted; several are written at once."),
    ] = None,
    exclude: ExcludeOption = None,
    exclude_from: ExcludeFromOption = None,
    one_file_system: OneFileSystemOption = False,
    exclude_caches: ExcludeCachesOption = False,
    no_slot_on_disks: Annotated[
        bool,
        typer.Option("--no-slot-on-disks", help="Keep the key slot off the disk; the vault or home has it."),
    ] = False,
    use_at_most: UseAtMostOption = None,
    without: WithoutOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Begin a new set, though one was begun or finished.")
    ] = False,
    once: OnceOption = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask for the vault, nor announce the set to it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the data to read, and whether it fits; write nothing.")
    ] = False,
    before: BeforeOption = None,
    after: AfterOption = None,
    level: LevelOption = 3,
) -> None:
    """Write the seed onto disks, encrypted.

    The seed is all that PATHs hold. Run it again to go on after a stop.

    Example: seed export /srv /etc --to /mnt/disk1 --to /mnt/disk2
    """
    from seed.backup.export import ExportOptions
    from seed.home.items import choose_scope
    from seed.source.allocator import be_lean

    home, disks = open_home(), to or []
    if not disks and not dry_run:
        raise UsageError("usage", "no disk was named", hint="say where it is mounted: --to DISK")
    without_these = left_out(exclude, exclude_from, one_file_system, exclude_caches)
    hooks, goes_on = _hooks(home, before, after, again=again)
    options = ExportOptions(
        slots_on_disk=not no_slot_on_disks,
        again=again,
        without=tuple(without or ()),
        use_at_most=parse_size(use_at_most) if use_at_most else None,
        level=level,
        before=hooks.before,
        after=hooks.after,
    )
    be_lean()
    _notice_what_matters(console, disks)

    def scope() -> "Scope":
        return choose_scope(home, paths or [], without_these, once=once or dry_run)

    if dry_run:
        _rehearse(console, home, scope(), disks, options)
    else:
        _export(console, home, scope, disks, options, hooks, goes_on=goes_on, offline=offline)


def _export(
    console: Console,
    home: "Home",
    scope: "Callable[[], Scope]",
    disks: list[Path],
    options: "ExportOptions",
    hooks: Hooks,
    *,
    goes_on: bool,
    offline: bool,
) -> None:
    """Export between the commands before and after it, and print the result."""
    from formats.disks import check_disk
    from seed.backup.announce import announce
    from seed.backup.disk_station import DiskSupply
    from seed.backup.export import export as run
    from seed.backup.export import is_finished
    from seed.session.previous_points import PreviousPoints

    attendant = Attending(console)
    address = address_of(home)
    with home.locked(), ExitStack() as stack:
        store = None if offline else _place(home, address, console, stack)
        each(check_disk, disks)
        if is_finished(home, scope, again=options.again):
            hooks = Hooks()
        elif goes_on and hooks:
            console.notice("the export goes on: the commands before and after it run anew")
        with between(console, home, hooks):
            with console.working("export"):
                supply, over = DiskSupply(disks, attendant), PreviousPoints(vault=store)
                exported = run(home, scope(), supply, options, console, over)
            seconds = console.seconds - attendant.waited
        if not offline:
            announce(home, address, console)
    _summarise(console, home.identity, exported, hooks, seconds)


def _hooks(home: "Home", before: str | None, after: str | None, *, again: bool) -> tuple[Hooks, bool]:
    """Return the commands before and after, and whether there is an unfinished set that goes on.

    Given commands count first, then those that the unfinished set remembers.
    """
    from seed.home.disk_sets import current_set

    kept = current_set(home)
    state = kept.state if kept is not None else None
    goes_on = state is not None and state.goes_on and not (again and not state.again)
    known = Hooks(state.before, state.after) if state is not None and goes_on else Hooks()
    return known.but(before, after), goes_on


def _place(home: "Home", address: "Address", console: Console, stack: ExitStack) -> "Store | None":
    """Return the vault, held open by `stack`, or None if it does not answer.

    Raises VaultError machine-replaced, machine-revoked, if the vault says so.
    """
    from seed.backup.announce import reach_if_any
    from seed.disks.abandonment import tell_word
    from seed.home.disk_sets import current_set
    from seed.points.machine_keys import check_active

    if (store := reach_if_any(home, address, console)) is not None:
        stack.callback(store.close)
        check_active(home.identity, store, console)
        if (kept := current_set(home)) is not None and kept.state.unsaid:
            tell_word(home, kept, store, console)
    return store


def _rehearse(
    console: Console, home: "Home", scope: "Scope", to: list[Path], options: "ExportOptions"
) -> None:
    from seed.backup.dry_run import rehearse

    with console.working("count"):
        found = rehearse(home, scope, to, options, console)
    console.say(
        f"Would read {counted(found.files, 'file')}, {size(found.file_bytes)}; "
        f"{counted(found.entries, 'entry')} in all."
    )
    for path, room in found.rooms:
        console.say(f"  {path}: {size(room)} to be used")
    if found.lacking:
        console.say(
            f"  If nothing can be compressed, {size(found.lacking)} more are needed: then the export asks for a further disk."
        )
    elif found.lacking is not None:
        console.say("  It fits, even if nothing can be compressed.")
    console.say("Nothing was written.")
    console.result(
        {
            "dry_run": True,
            "items": [os.fsdecode(item) for item in found.items],
            "entries": found.entries,
            "files": found.files,
            "file_bytes": found.file_bytes,
            "disks": [{"path": str(path), "room_bytes": room} for path, room in found.rooms],
            "lacking_bytes": found.lacking,
            "findings": console.findings_json(),
        }
    )


def notice_not_root(console: Console) -> None:
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        console.notice("not root: files that this user may not read are left out, and listed")


def _notice_what_matters(console: Console, to: list[Path]) -> None:
    """Give notices about conditions that a user may not know of, and may still want."""
    notice_not_root(console)
    system = os.stat(os.path.abspath(os.sep)).st_dev
    for path in to:
        if path.is_dir() and os.stat(path).st_dev == system:
            console.notice(f"{path} lies on the system's own disk: is the disk mounted?")


class Attending:
    """The person at the terminal; nobody, if there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.waited = 0.0  # seconds of waiting for people

    def left(self) -> str:
        return self._console.left()

    def next_disk(self, words: str) -> Path | None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()) or self._console.quiet or self._console.as_json:
            return None
        self._console.aside(f"{words}. Mount the next disk and type its path, or Enter to stop: ", end="")
        began = SYSTEM.elapsed()
        typed = self._typed()
        self.waited += SYSTEM.elapsed() - began
        return Path(typed).expanduser() if typed else None

    def _typed(self) -> str:
        """Return a typed line; an empty text once the user asks to stop."""
        if sys.platform != "win32":
            while not select.select([sys.stdin], [], [], 0.2)[0]:
                if self._console.stopping():
                    return ""
        return sys.stdin.readline().strip()


def _summarise(
    console: Console, identity: "Identity", exported: "ExportResult", hooks: Hooks, seconds: float
) -> None:
    """Print one screen that ends in the text to send to the datacenter, and the result for scripts."""
    manifest, state = exported.committed.manifest, exported.state
    totals, disks = manifest.totals, [d.number for d in state.disks if not d.dropped]
    if exported.already:
        console.say(f"The export was finished {instant(manifest.created)}; nothing to do. A new one: --again")
    else:
        rate = f", {size(console.done / max(seconds, 0.001))}/s" if console.done else ""
        run = " (this run; what lay on the disks was not read again)" if exported.resumed else ""
        console.say(f"Export finished in {seconds:.1f} s{rate}{run}.")
    console.say(f"  point        {manifest.point[:8]}, sequence {manifest.sequence}")
    console.say(
        f"  read         {counted(totals.files, 'file')}, {size(totals.file_bytes)}; {counted(totals.entries, 'entry')} in all"
    )
    console.say(f"  stored       {counted(totals.archives, 'archive')}, {size(totals.archive_bytes)}")
    console.say(f"  disks        {listed(disks)} of set {state.set[:8]}")
    if exported.state.before or exported.state.after:
        ran = (
            "run anew" if hooks and exported.resumed else "run" if hooks else "not run, for nothing was read"
        )
        console.say(f"  commands     before and after: {ran}")
    if exported.whole is not None and len(disks) > 1:
        console.say(f"  together     {percent(exported.whole)} of the files lie whole on one of the disks")
    console.say()
    console.say("Send the disks, and this text, to the datacenter:")
    console.say(
        f"  {numbered('Disk', disks)} of set {state.set[:8]} of machine {identity.name} for vault {identity.vault_name}."
    )
    console.say(f"  Its fingerprint: {fingerprint(identity.machine)}")
    console.say("  Mount each, in any order, read-only will do, and run (no passphrase needed):")
    console.say(f"  importer import <where the disk is mounted> --vault {identity.address}")
    console.result(
        {
            "set": state.set,
            "disks": list(disks),
            "point": manifest.point,
            "sequence": manifest.sequence,
            "already": exported.already,
            "resumed": exported.resumed,
            "hooks_run": bool(hooks),
            "entries": totals.entries,
            "files": totals.files,
            "file_bytes": totals.file_bytes,
            "archives": totals.archives,
            "archive_bytes": totals.archive_bytes,
            "read_bytes": console.done,
            "kept_bytes": console.kept,
            "written_bytes": console.stored,
            "seconds": int(seconds),
            "fingerprint": fingerprint(identity.machine),
            "findings": console.findings_json(),
        }
    )


def left_out(
    exclude: list[str] | None,
    exclude_from: list[Path] | None,
    one_file_system: bool,
    exclude_caches: bool,
) -> "LeftOut":
    """Return the exclusions that the options of a command set. Raises UsageError path-not-found."""
    from seed.home.home import LeftOut

    globs = [*(exclude or ()), *_lines(exclude_from or [])]
    return LeftOut(
        excludes=tuple(map(os.fsencode, globs)),
        one_file_system=one_file_system,
        exclude_caches=exclude_caches,
    )


def _lines(files: list[Path]) -> list[str]:
    found: list[str] = []
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise UsageError(
                "path-not-found", f"cannot read the file of patterns ({error.strerror})", subject=str(file),
                hint="name a file of patterns, one a line, that this user can read",
            ) from error  # fmt: skip
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError(
                "usage", "cannot use the file of patterns: it is UTF-16", subject=str(file),
                hint="save it as UTF-8",
            )  # fmt: skip
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
        found += [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return found
