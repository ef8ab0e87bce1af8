"""The choice of a new passphrase: typed twice, read from a file, or made and written to a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from formats.errors import UsageError
from formats.shell.console import Console
from formats.shell.user_files import create_private
from seed.cli.app import insist, read_passphrase, type_passphrase

GENERATED = """{passphrase}

This passphrase opens the backups of machine {name} in vault {vault}.
Nobody can recover it: without it, and without the home of that machine, the backups are lost.
Keep this file away from the machine, and print it.
"""

GenerateOption = Annotated[
    Path | None,
    typer.Option("--generate-passphrase", metavar="FILE", help="Make a passphrase and write it there."),
]


@contextmanager
def new_passphrase(
    console: Console, file: Path | None, generate: Path | None, *, name: str, vault: str
) -> Iterator[str]:
    """Yield a good passphrase for machine `name`.

    If its use fails, the file of a passphrase that was made is removed again. Raises UsageError
    passphrase-missing, passphrase-mismatch, passphrase-short, passphrase-weak, file-exists.
    """
    from formats.keyed import passphrase as rules

    if generate is not None:
        passphrase = rules.generate()
        _write_generated(generate, passphrase, name, vault)
    elif file is not None:
        passphrase = read_passphrase(console, file)
    else:
        passphrase = insist(console, _typed_twice)
    rules.check(passphrase)
    try:
        yield passphrase
    except Exception:
        if generate is not None:
            generate.unlink(missing_ok=True)
        raise


def _typed_twice() -> str:
    """Return a good passphrase, typed twice alike. Raises UsageError."""
    from formats.keyed.passphrase import check

    otherwise = "let one be made by --generate-passphrase FILE, or give one by --passphrase-file FILE"
    first = type_passphrase("A passphrase for the backups, of 16 characters or more", otherwise)
    check(first)
    if first != type_passphrase("The same again", otherwise):
        raise UsageError("passphrase-mismatch", "the two passphrases differ", hint="type it twice alike")
    return first


def _write_generated(path: Path, passphrase: str, name: str, vault: str) -> None:
    handle = create_private(path)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(GENERATED.format(passphrase=passphrase, name=name, vault=vault))
        file.flush()
        os.fsync(file.fileno())
