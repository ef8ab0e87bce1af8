"""The command `seed verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import PassphraseError, UsageError, each, together
from formats.shell.console import FAILED, Console, command
from formats.untrusted import Json
from formats.words import counted, size
from seed.cli.app import (
    PassphraseFileOption,
    VaultOption,
    access_here,
    app,
    home_if_any,
    home_path,
    with_passphrase,
)

if TYPE_CHECKING:
    from formats.keyed.keys import MasterKey
    from seed.home.home import Home
    from seed.verify.readback import Folder, MasterKeys
    from seed.verify.verify_disks import DiskVerdict


@command(app, "verify", job=home_path)
def verify(
    console: Console,
    disks: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DISK", help="Where the disks are mounted; without any, the vault is read."),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    vault: VaultOption = None,
) -> int:
    """Read disks back before they are shipped.

    All bytes are read, past the page cache, and every chunk is opened.

    Without a disk, read the archives that this machine's points need in the vault; `seed repair` sends
    damaged chunks again.

    With the home of the machine that wrote the disks, sign the result as each disk's next inventory. Without
    it, the passphrase opens the disks; STORE holds the key slot if the disks do not.

    Example: seed verify /mnt/disk1 /mnt/disk2
    """
    from contextlib import ExitStack

    from seed.verify.readback import folders_on

    if not disks:
        return _verify_vault(console, vault)
    _check_named_once(disks)
    home = None if passphrase_file is not None else home_if_any(console, "verify")
    with ExitStack() as stack:
        if home is not None:
            stack.enter_context(home.locked())
        found = each(folders_on, disks)
        for folder in (f for folders in found for f in folders):
            stack.callback(folder.store.close)
        chosen, keys = _choose(console, found, home, passphrase_file, vault)
        return _verify(console, chosen, keys, home)


def _verify(console: Console, disks: "list[list[Folder]]", keys: "MasterKeys", home: "Home | None") -> int:
    from seed.verify.verify_disks import verify as run

    with console.working("verify", sum(folder.size for folders in disks for folder in folders)):
        verdicts = run(disks, keys, home, console)
    refused = [v.error for v in verdicts if v.error is not None]
    if len(refused) == len(verdicts):
        raise together(refused)
    rows: list[Json] = [_show(verdict, console) for verdict in verdicts]
    console.result({"disks": rows, "findings": console.findings_json()})
    return FAILED if refused else 0


def _verify_vault(console: Console, vault: str | None) -> int:
    from seed.cli.app import address_of, open_home, own_vault
    from seed.points.completeness import check_latest
    from seed.session.session import Session
    from seed.verify.verify_vault import verify_vault

    home = open_home()
    address = address_of(home, vault)
    with home.locked(), own_vault(console, home, address) as store:
        check_latest(home, store, console)
        with console.working("verify"), Session.open(home, store, console) as session:
            done = verify_vault(session)
    broken = sum(need.live_count() for need in done.broken)
    console.say(f"Read {counted(done.archives, 'archive')}, {size(done.bytes)}, in {console.seconds:.1f} s.")
    console.say(f"  opened       {counted(done.records, 'chunk')}")
    console.say(f"  damaged      {f'{broken:,}, in {len(done.broken):,} archives' if broken else 'nothing'}")
    if broken:
        console.say("`seed repair` makes it again, and sends it.")
    console.result(
        {
            "vault": store.address,
            "archives": done.archives,
            "bytes": done.bytes,
            "records": done.records,
            "damaged": broken,
            "findings": console.findings_json(),
        }
    )
    return 0


def _check_named_once(disks: list[Path]) -> None:
    for number, disk in enumerate(disks):
        if disk.exists() and any(disk.samefile(other) for other in disks[:number] if other.exists()):
            raise UsageError(
                "usage", "this disk is named twice", subject=str(disk), hint="name each disk once"
            )


def _choose(
    console: Console,
    disks: "list[list[Folder]]",
    home: "Home | None",
    file: Path | None,
    vault: str | None,
) -> "tuple[list[list[Folder]], MasterKeys]":
    """Return the folders of each disk that a key at hand opens, and the keys.

    The home's own key counts first, then those that the passphrase opens. Raises UsageError
    passphrase-missing, and PassphraseError passphrase-wrong, slot-missing for a disk without such a folder.
    """
    from seed.verify.readback import MasterKeys
    from seed.verify.verify_disks import is_of

    own = [[f for f in folders if home is not None and is_of(home, f)] for folders in disks]
    masters = [home.identity.master] if home is not None else []
    strange = [folders for folders, ours in zip(disks, own, strict=True) if not ours]
    if strange:
        machines = _unlock(console, [f for folders in strange for f in folders], file, vault)
        masters += list(machines.values())
        strange = [
            [f for f in folders if f.label is None or f.label.machine in machines] for folders in strange
        ]
        if [] in strange:
            raise PassphraseError(
                "passphrase-wrong",
                "the passphrase does not open the data on this disk",
                subject=str(next(d[0].disk for d, ours in zip(disks, own, strict=True) if not ours)),
                hint="it is another machine's: verify it by itself, with that machine's passphrase",
            )
    rest = iter(strange)
    chosen = [ours or next(rest) for ours in own]
    for folders, taken in zip(disks, chosen, strict=True):
        for folder in folders:
            if folder not in taken:
                name = folder.label.machine_name if folder.label is not None else "nobody knows whom"
                console.notice(f"{folder.store.address} is of {name}, and was not verified")
    return chosen, MasterKeys(masters)


def _unlock(
    console: Console, folders: "list[Folder]", file: Path | None, vault: str | None
) -> "dict[str, MasterKey]":
    from formats.monitor import Tally
    from formats.store.access import Address
    from formats.store.address import open_store
    from formats.store.contract import Store
    from seed.points.layered_store import LayeredStore
    from seed.points.machine_keys import unlock

    stores: list[Store] = [folder.store for folder in folders]
    if vault is not None:
        stores.append(open_store(Address(vault, access_here())))
    union, unheard = LayeredStore(stores), Tally()  # reading the disks back reports damaged slots
    opened = with_passphrase(console, file, lambda typed: unlock(union, typed, None, unheard))
    return {m.machine: m.master for m in opened}


def _show(verdict: "DiskVerdict", console: Console) -> dict[str, Json]:
    """Print the verdict about one disk for people, and return the same for scripts."""
    folder, read, error = verdict.folder, verdict.read, verdict.error
    of = f" of {folder.label.machine_name}" if folder.label is not None else ""
    rate = read.bytes / max(verdict.seconds, 0.001)
    console.say(f"Disk {folder.number} of set {folder.set[:8]}{of}, at {folder.disk}")
    if error is not None:
        console.aside(f"seed: {error} [{error.code}]", f"  what to do: {error.hint}")
    console.say(
        f"  read         {counted(read.objects, 'object')}, {size(read.bytes)} in {verdict.seconds:.1f} s, {size(rate)}/s"
    )
    console.say(
        "               (cached: the system would not let the page cache be passed)"
        if read.cached
        else "               read back from the medium"
    )
    console.say(f"  opened       {counted(read.records, 'chunk')}")
    console.say(f"  damaged      {len(read.damaged) or 'nothing'}")
    console.say(f"  inventory    {_inventory(verdict)}")
    return {
        "path": str(folder.disk),
        "machine": folder.label.machine if folder.label is not None else None,
        "set": folder.set,
        "number": folder.number,
        "objects": read.objects,
        "bytes": read.bytes,
        "records": read.records,
        "damaged": len(read.damaged),
        "cached": read.cached,
        "seconds": int(verdict.seconds),
        "generation": verdict.generation,
        "certified": verdict.certified,
        "refused": error.code if error is not None else None,
    }


def _inventory(verdict: "DiskVerdict") -> str:
    if verdict.certified:
        return f"generation {verdict.generation}, just written, tells the datacenter what this reading found"
    if verdict.generation:
        return f"generation {verdict.generation}, as it was; nothing was written"
    return "none that is valid"
