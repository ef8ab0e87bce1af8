"""The commands' root, and what all of them ask the environment for."""

import os
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from formats.console import Console, print_version
from formats.errors import UsageError
from formats.store.local import LocalStore
from importer.authority import authorities
from importer.vault import Vault, open_vault

app = typer.Typer(
    name="importer",
    help="The datacenter side of offseed: keep vaults, import shipped disks. It checks everything and can read nothing.",
    epilog="Example: importer import /mnt/disk --vault /srv/vault",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

VaultOption = Annotated[
    str | None,
    typer.Option(
        "--vault", metavar="STORE", envvar="IMPORTER_VAULT", help="The vault's store: a path or URL."
    ),
]


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    pass


def home() -> Path:
    """Where this side keeps its state: IMPORTER_HOME, else the platform's place."""
    chosen = os.environ.get("IMPORTER_HOME")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("offseed")) / "importer"


def vault_of(address: str | None, console: Console) -> Vault:
    """The vault that was named, else the only one this home knows. Raises UsageError no-vault."""
    if address is None:
        known = authorities(home())
        if len(known) != 1:
            names = ", ".join(a.address for a in known) or "none"
            raise UsageError(
                "no-vault",
                f"no vault was named, and this home knows {len(known)} ({names})",
                hint="add --vault STORE, or set IMPORTER_VAULT",
            )
        address = known[0].address
    return open_vault(home(), absolute(address), console)


def signing_vault(address: str | None, console: Console) -> Vault:
    """The same, and able to sign. Raises HomeError authority-missing."""
    vault = vault_of(address, console)
    vault.authority = vault.signer(home())
    if isinstance(vault.store, LocalStore):
        vault.store.sweep()
    return vault


def absolute(address: str) -> str:
    """A path made absolute, for it is written into documents; URLs as they are."""
    return address if "://" in address else os.path.abspath(address)


from importer.cli import imports, vaults  # noqa: E402,F401  the commands register themselves
