"""`seed register`."""

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from formats.console import Console, command
from formats.errors import UsageError, VaultError
from seed.cli.app import (
    PassphraseFileOption,
    VaultOption,
    app,
    callers_home,
    home_path,
    insist,
    read_passphrase,
    type_passphrase,
)

GENERATED = """{passphrase}

This passphrase opens the backups of machine {name} in vault {vault}.
Nobody can recover it: without it, and without the home of that machine, the backups are lost.
Keep this file away from the machine, and print it.
"""


@command(app, "register")
def register(
    console: Console,
    credential: Annotated[
        Path, typer.Option("--credential", metavar="FILE", readable=False, help="The vault credential.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="This machine's name; else its host name.")
    ] = None,
    vault: VaultOption = None,
    passphrase_file: PassphraseFileOption = None,
    generate: Annotated[
        Path | None,
        typer.Option("--generate-passphrase", metavar="FILE", help="Make a passphrase and write it there."),
    ] = None,
) -> None:
    """Register this machine with a vault, and choose the passphrase that opens its backups.

    Example: seed register --credential web1.credential --generate-passphrase web1.passphrase
    """
    import re

    from formats.documents.credential_file import CredentialFile
    from formats.documents.vault import MACHINE_NAME
    from formats.ids import fingerprint
    from formats.keyed import passphrase as rules
    from seed.home import Home
    from seed.register import register as join

    machine_name = name or socket.gethostname()
    if not re.fullmatch(MACHINE_NAME, machine_name):
        raise UsageError(
            "name-invalid",
            "a machine's name has at most 63 letters, digits, dots, hyphens and underscores",
            subject=machine_name,
            hint="choose one by --name",
        )
    Home.check_free(home_path())
    if other := callers_home():
        console.notice(
            f"{os.environ['SUDO_USER']} has registered this machine, in {other}; this is one more registration, "
            f"in {home_path()}. To use the other under sudo, set SEED_HOME={other}"
        )
    file = CredentialFile.read(_credential_bytes(credential), str(credential))
    if passphrase_file is not None and generate is not None:
        raise UsageError(
            "usage", "--passphrase-file and --generate-passphrase exclude each other", hint="give one of them"
        )
    if generate is not None:
        passphrase = rules.generate()
        _write_generated(generate, passphrase, machine_name, file.document.name)
    elif passphrase_file is not None:
        passphrase = read_passphrase(passphrase_file)
    else:
        passphrase = insist(console, _typed_twice)
    rules.check(passphrase)
    try:
        registered = join(home_path(), file, machine_name, passphrase, vault, console)
    except Exception:
        if generate is not None:
            generate.unlink(missing_ok=True)
        raise
    identity = registered.home.identity
    console.say(f"Registered {machine_name} with vault {identity.vault_name}.")
    console.say(f"  fingerprint  {fingerprint(identity.machine)}")
    if generate is not None:
        console.say(f"  passphrase   written to {generate}; keep that file elsewhere, nobody can recover it")
    else:
        console.say("  passphrase   keep it in a safe place: nobody can recover it")
    if not registered.reached:
        console.say(
            "  The vault was not reached: the request travels on the disk, and the operator accepts it there."
        )
    console.say("Next: seed export PATH… --to DISK")
    console.result(
        {
            "machine": identity.machine,
            "name": machine_name,
            "vault": identity.vault,
            "fingerprint": fingerprint(identity.machine),
            "reached": registered.reached,
        }
    )


def _credential_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(256 << 10)
    except OSError as error:
        raise VaultError(
            "credential-unreadable",
            f"the credential file cannot be read ({error.strerror})",
            subject=str(path),
            hint="copy it to a place that this user can read, and try again",
        ) from error


def _typed_twice() -> str:
    """A passphrase that is good, and the same twice. Raises UsageError."""
    from formats.keyed.passphrase import check

    otherwise = "let one be made by --generate-passphrase FILE, or give one by --passphrase-file FILE"
    first = type_passphrase("A passphrase for the backups, of 16 characters or more", otherwise)
    check(first)
    if first != type_passphrase("The same again", otherwise):
        raise UsageError("passphrase-mismatch", "the two passphrases differ", hint="type it twice alike")
    return first


def _write_generated(path: Path, passphrase: str, name: str, vault: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            "file-exists", "this file exists already", subject=str(path), hint="choose another name"
        ) from None
    except OSError as error:
        raise UsageError(
            "path-not-found", f"cannot write here ({error.strerror})", subject=str(path),
            hint="name a file in a folder that is there and can be written",
        ) from error  # fmt: skip
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(GENERATED.format(passphrase=passphrase, name=name, vault=vault))
        file.flush()
        os.fsync(file.fileno())
