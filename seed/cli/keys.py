"""The command `seed key`: the passphrases that open this machine's backups."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import MediaError, StoreError, UsageError, VaultError
from formats.shell.command_groups import group
from formats.shell.console import Console, command
from formats.words import counted
from seed.cli.app import (
    PassphraseFileOption,
    VaultOption,
    address_of,
    app,
    open_home,
    read_passphrase,
    with_passphrase,
)
from seed.cli.passphrases import GenerateOption, new_passphrase

if TYPE_CHECKING:
    from seed.home.home import Home
    from seed.identity.passphrases import KeySlot

key_app = group(
    app,
    "key",
    "Show and change the passphrases of backups.",
    "seed key change --generate-passphrase web1.passphrase",
)

NewPassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--new-passphrase-file",
        metavar="FILE",
        readable=False,
        help="Read the new passphrase from this file's first line; - reads standard input.",
    ),
]


@command(key_app, "show")
def key_show(
    console: Console, vault: VaultOption = None, passphrase_file: PassphraseFileOption = None
) -> None:
    """List the slots of this machine's key.

    A passphrase opens each slot. With a passphrase, mark the slot that it opens.

    Example: seed key show
    """
    from seed.identity.passphrases import KeySlot, opened, slots_of

    home = open_home()
    slots = slots_of(home)
    here = opened(slots, read_passphrase(console, passphrase_file)) if passphrase_file is not None else None
    console.say(f"Key {slots.key_id} of {home.identity.name}, revision {slots.number} of its slots:")
    rows = [KeySlot.of(slot) for slot in slots.slots]
    for row in rows:
        mark = "   <- this passphrase opens it" if row == here else ""
        console.say(f"  {_shown(row)}{mark}")
    if passphrase_file is not None and here is None:
        console.say("  This passphrase opens none of them.")
    _bring(console, home, vault)
    console.result(
        {
            "key_id": slots.key_id,
            "revision": slots.number,
            "slots": [{**vars(row)} for row in rows],
            "opened": here.id if here is not None else None,
        }
    )


@command(key_app, "add")
def key_add(
    console: Console,
    vault: VaultOption = None,
    new_file: NewPassphraseOption = None,
    generate: GenerateOption = None,
) -> None:
    """Add a passphrase that opens all backups.

    The other passphrases of this machine stay valid.

    Example: seed key add --generate-passphrase second.passphrase
    """
    from seed.identity.passphrases import add

    home = _home(new_file, generate)
    with home.locked(), _new(console, home, new_file, generate) as passphrase:
        made = add(home, passphrase)
    console.say(f"One more passphrase opens the backups of {home.identity.name}: {_shown(made)}")
    _end(console, home, vault, generate, made)


@command(key_app, "change")
def key_change(
    console: Console,
    vault: VaultOption = None,
    passphrase_file: PassphraseFileOption = None,
    new_file: NewPassphraseOption = None,
    generate: GenerateOption = None,
) -> None:
    """Put a new passphrase in place of one you give.

    The old passphrase still opens, for ever, the backups that were written before.

    Example: seed key change --generate-passphrase web1.passphrase
    """
    from seed.identity.passphrases import change, opened, slots_of
    from seed.points.machine_keys import passphrase_wrong

    home = _home(new_file, generate)

    def known(typed: str) -> str:
        if opened(slots_of(home), typed) is None:
            raise passphrase_wrong(home.identity.name)
        return typed

    with home.locked():
        old = with_passphrase(console, passphrase_file, known)
        with _new(console, home, new_file, generate) as passphrase:
            made = change(home, old, passphrase)
    console.say(f"A new passphrase opens the backups of {home.identity.name}: {_shown(made)}")
    _say_old(console, home)
    _end(console, home, vault, generate, made)


@command(key_app, "remove")
def key_remove(
    console: Console,
    slot: Annotated[str, typer.Argument(metavar="SLOT", help="As `seed key show` lists it.")],
    vault: VaultOption = None,
) -> None:
    """Take a passphrase away.

    It still opens backups that were written before.

    Example: seed key remove 3f9a02c1
    """
    from seed.identity.passphrases import remove

    home = open_home()
    with home.locked():
        removed = remove(home, slot)
    console.say(f"Slot {removed.id} of {home.identity.name} is taken away.")
    _say_old(console, home)
    _end(console, home, vault, None, removed)


def _home(new_file: Path | None, generate: Path | None) -> "Home":
    if new_file is not None and generate is not None:
        raise UsageError(
            "usage",
            "--new-passphrase-file and --generate-passphrase exclude each other",
            hint="give one of them",
        )
    return open_home()


def _new(
    console: Console, home: "Home", new_file: Path | None, generate: Path | None
) -> AbstractContextManager[str]:
    identity = home.identity
    return new_passphrase(console, new_file, generate, name=identity.name, vault=identity.vault_name)


def _shown(slot: "KeySlot") -> str:
    return (
        f"{slot.id}  Argon2id, {slot.memory_kib >> 10} MiB, {slot.time} passes, {counted(slot.lanes, 'lane')}"
    )


def _say_old(console: Console, home: "Home") -> None:
    from formats.ids import fingerprint

    console.say("  The old passphrase still opens disks that were written before, and copies in other hands.")
    console.say("  In the vault it does, until the operator runs there:")
    console.say(f"    importer machines drop-keys {fingerprint(home.identity.machine)}")


def _end(console: Console, home: "Home", vault: str | None, generate: Path | None, slot: "KeySlot") -> None:
    if generate is not None:
        console.say(f"  passphrase   written to {generate}; keep that file elsewhere, nobody can recover it")
    there = _bring(console, home, vault)
    console.result({"slot": slot.id, "in_vault": there})


def _bring(console: Console, home: "Home", vault: str | None) -> bool:
    """Bring the newest slots to the vault if it is reached, and return whether it has them."""
    from seed.backup.announce import reach_if_any
    from seed.identity.passphrases import bring
    from seed.points.machine_keys import check_active

    store = reach_if_any(home, address_of(home, vault), console)
    if store is not None:
        try:
            check_active(home.identity, store, console)
            bring(home, store)
            return True
        except (StoreError, MediaError, VaultError) as error:
            console.notice(f"the vault does not take the slots: {error.what}")
        finally:
            store.close()
    console.notice(
        "the vault does not have the newest key slots yet: the next backup brings them, or the next disk"
    )
    return False
