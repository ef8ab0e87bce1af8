"""The commands' root, and what all of them ask the environment for."""

import os
import sys
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from formats.console import print_version
from formats.errors import UsageError

app = typer.Typer(
    name="seed",
    help="Back up this machine: the first time onto shipped disks, from then on over the network.",
    epilog="Example: seed export /srv /etc --to /mnt/disk",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

VaultOption = Annotated[
    str | None,
    typer.Option("--vault", metavar="STORE", envvar="SEED_VAULT", help="The vault's store: a path or URL."),
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        readable=False,  # to read it says more
        help="Read the passphrase from this file's first line.",
    ),
]


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    pass


def home_path() -> Path:
    """Where this side keeps its state: SEED_HOME, else the platform's place."""
    chosen = os.environ.get("SEED_HOME")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("offseed")) / "seed"


def read_passphrase(file: Path) -> str:
    """The first line of `file`. Raises UsageError."""
    try:
        with open(file, encoding="utf-8") as lines:
            return lines.readline().rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise UsageError(
            "passphrase-missing",
            f"the passphrase file cannot be read ({getattr(error, 'strerror', 'not UTF-8')})",
            subject=str(file),
            hint="name a text file that this user can read; its first line is the passphrase",
        ) from error


def ask_passphrase(file: Path | None, prompt: str = "Passphrase") -> str:
    """From the file, else typed at the terminal. Raises UsageError passphrase-missing."""
    if file is not None:
        return read_passphrase(file)
    if not sys.stdin.isatty():
        raise UsageError(
            "passphrase-missing", "a passphrase is needed, and there is no terminal to ask at",
            hint="give it by --passphrase-file FILE",
        )  # fmt: skip
    answer: str = typer.prompt(prompt, hide_input=True, err=True)
    return answer


from seed.cli import demo, exports, reading, registration  # noqa: E402,F401  the commands register themselves
