"""The root of the commands, and the settings that all of them read from the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from formats.errors import UsageError
from formats.homes import home_at
from formats.shell.command_groups import Program, program
from formats.shell.console import DONE, Console
from importer.cli.commands import STAGES

if TYPE_CHECKING:
    from formats.store.access import Address
    from importer.vault.vault import Vault

START = """To make a vault, let a machine register with it, and take in the disk that it sends:
  importer vault create Backups --at /srv/vault --region west-europe
  importer credentials issue --vault /srv/vault --out web1.credential
  importer import /mnt/disk --vault /srv/vault
`importer --help` lists all commands, and `importer COMMAND --help` says what each can do.
"""

ON_THE_MACHINE = "that is done where the key is, by `seed {0}`; `seed {0} --help` says more"


class ImporterVerbs(Program):
    """The commands of `importer`, and their names for the verbs of `seed`, restic and the like."""

    package = "importer.cli"
    stages = STAGES

    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("init", "create"), "vault create"),
        **dict.fromkeys(("issue", "credential", "invite"), "credentials issue"),
        **dict.fromkeys(("accept", "approve"), "machines accept"),
        "machine": "machines list",
        **dict.fromkeys(("revoke", "ban", "remove"), "machines revoke"),
        **dict.fromkeys(("load", "ingest", "add", "copy"), "import"),
        **dict.fromkeys(("show", "look", "info"), "inspect"),
        **dict.fromkeys(("snapshots", "snapshot", "list", "ls"), "points"),
        **dict.fromkeys(
            ("check", "verify"),
            "`importer inspect` looks at disks, `importer validate` reads all that a vault holds",
        ),
        "scrub": "validate",
        **dict.fromkeys(("log", "logs", "tail"), "jobs"),
        **dict.fromkeys(("alert", "mail", "webhook", "metrics"), "notify set"),
        **dict.fromkeys(("forget", "expire", "delete", "purge"), "prune"),
        "stats": "status",
        **dict.fromkeys(("book", "arrive", "scan"), "receive"),
        "ship": "export",
        **{name: ON_THE_MACHINE.format(name) for name in ("register", "backup", "restore", "demo")},
        **dict.fromkeys(("mount", "cat", "dump", "extract"), ON_THE_MACHINE.format("restore")),
        **dict.fromkeys(
            ("unlock", "break-lock"),
            "nothing is ever locked for good: run the command again that was stopped or killed, and it goes on",
        ),
        "help": "`importer --help` lists the commands, and `importer COMMAND --help` says what each can do",
        "version": "the option is `importer --version`",
    }

    @property
    def app(self) -> typer.Typer:
        return app


app = program(
    ImporterVerbs,
    "The datacenter side of offseed: keep vaults, import shipped disks. It checks everything and can read nothing.",
    "importer import /mnt/disk --vault /srv/vault",
    START,
)

VaultOption = Annotated[
    str | None,
    typer.Option(
        "--vault", metavar="STORE", envvar="IMPORTER_VAULT", help="The vault's store: a path or URL."
    ),
]
MachineOption = Annotated[str | None, typer.Option("--machine", metavar="NAME", help="Of this machine only.")]


def home() -> Path:
    """Return the folder of this side's state: IMPORTER_HOME, else the platform's place.

    Raises HomeError home-foreign.
    """
    return home_at(os.environ.get("IMPORTER_HOME"), "importer")


def vault_of(address: str | None, console: Console) -> "Vault":
    """Return the vault that was named, else the only one that this home knows. Raises UsageError no-vault."""
    from importer.vault.authority import authorities
    from importer.vault.vault import open_vault

    if address is None:
        known = authorities(home())
        if len(known) != 1:
            names = ", ".join(f"{a.name} at {a.address}" for a in known)
            raise UsageError(
                "no-vault",
                f"no vault was named, and this home knows {'several' if known else 'none'}",
                subject=names,
                hint="add --vault STORE, or set IMPORTER_VAULT",
            )
        address = known[0].address
    return open_vault(home(), address_of(address), console)


def signing_vault(address: str | None, console: Console) -> "Vault":
    """Return the vault of an address, able to sign. Raises HomeError authority-missing."""
    from formats.store.local import LocalStore
    from importer.upkeep.foreign_entries import clearing

    vault = vault_of(address, console)
    vault.authority = vault.signer(home())
    if isinstance(vault.store, LocalStore):
        vault.store.clears = clearing(console)
        vault.store.sweep()
    return vault


def accept_machines(vault: "Vault", console: Console) -> None:
    """Accept the machines that ask and may; the time at which a request is first seen counts."""
    from formats.ids import fingerprint
    from importer.vault.machines import answer_requests

    for member in answer_requests(vault, console)[0]:
        console.say(f"machine {member.name} is accepted ({fingerprint(member.machine)})")


def exit_code(console: Console, code: int = DONE) -> int:
    """Return the exit code of a job: `code`, or if a signal stopped it, the one of that signal, and say so."""
    if not console.stopping():
        return code
    console.aside("importer: stopped; the same command goes on [interrupted]")
    return 128 + console.signal_number


def address_of(address: str) -> "Address":
    """Return the address of a store, and the access to it that the environment gives."""
    from formats.store.access import Address, access_in

    return Address(absolute(address), access_in(os.environ))


def absolute(address: str) -> str:
    """Return a path made absolute, because it is written into documents; URLs stay as they are."""
    return address if "://" in address else os.path.abspath(address)
