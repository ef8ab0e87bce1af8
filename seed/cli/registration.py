"""The command `seed register`."""

import os
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError, VaultError
from formats.shell.console import Console, command, warn_if_open
from seed.cli.app import (
    PassphraseFileOption,
    VaultOption,
    app,
    brings_access,
    callers_home,
    home_path,
    with_passphrase,
)
from seed.cli.network import proxy_of, proxy_password, proxy_user
from seed.cli.passphrases import GenerateOption, new_passphrase

if TYPE_CHECKING:
    from formats.documents.credential_file import CredentialFile
    from seed.home.home import NewHome
    from seed.identity.registration import Registration, Way

AccessFileOption = Annotated[
    Path | None,
    typer.Option(
        "--access-file",
        metavar="F",
        readable=False,
        help="An access to the vault's storage account that outlives the credential.",
    ),
]
ProxyOption = Annotated[
    str | None, typer.Option("--proxy", metavar="URL", help="Reach the vault through this proxy.")
]


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
    generate: GenerateOption = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Take the place of the machine of this name, by its passphrase: it was rebuilt."
        ),
    ] = False,
    access_file: AccessFileOption = None,
    proxy: ProxyOption = None,
    proxy_name: Annotated[str | None, proxy_user("--proxy-user")] = None,
    proxy_secret: Annotated[Path | None, proxy_password("--proxy-password-file")] = None,
) -> None:
    """Register this machine with a vault.

    Choose the passphrase that opens its backups.

    Example: seed register --credential web1.credential --generate-passphrase web1.passphrase
    """
    from formats.documents.credential_file import CredentialFile
    from seed.home.home import NewHome
    from seed.identity.replacement import replace as take_place

    machine_name = _checked(name or socket.gethostname())
    place = NewHome(home_path())
    place.check_free()
    if other := callers_home():
        console.notice(
            f"{os.environ['SUDO_USER']} has registered this machine, in {other}; this is one more registration, "
            f"in {home_path()}. To use the other, run commands as {os.environ['SUDO_USER']}, without sudo"
        )
    if generate is not None and (passphrase_file is not None or replace):
        given = "--replace" if replace else "--passphrase-file"
        raise UsageError(
            "usage", f"{given} and --generate-passphrase exclude each other",
            hint="a replacement goes on under the passphrase that there is" if replace else "give one of them",
        )  # fmt: skip
    for secret in filter(None, (credential, access_file)):
        warn_if_open(console, secret)
    file = CredentialFile.read(_credential_bytes(credential), str(credential))
    through = proxy_of(console, proxy, proxy_name, proxy_secret) if proxy is not None else ""
    way = _way(file, vault, access_file, through)
    if replace:
        ask = partial(with_passphrase, console, passphrase_file)
        registered = take_place(place, file, machine_name, way, ask, console)
    else:
        registered = _join(console, place, file, machine_name, way, passphrase_file, generate)
    _tell(console, registered, generate)
    if way.address.is_service and not (way.network.standing or brings_access()):
        console.notice(
            "the access to the vault ends with the credential, in 48 hours: ask the operator for one that lasts, and set it "
            "by `seed access set FILE`"
        )


def _way(file: "CredentialFile", vault: str | None, access_file: Path | None, proxy: str) -> "Way":
    """Return the way of this machine to the vault.

    Its access is one of its own, one in the environment, or the credential's.
    """
    from formats.store.access import Address, access_in
    from formats.store.clock import SYSTEM
    from seed.home.network import Network, read_secret
    from seed.identity.registration import Way

    secret = read_secret(access_file) if access_file is not None else file.access or ""
    network = Network(secret=secret, standing=access_file is not None, proxy=proxy)
    access = network.access(home_path(), access_in({} if access_file is not None else os.environ), SYSTEM)
    return Way(Address(vault or file.document.address, access), vault is not None, network)


def _join(
    console: Console,
    place: "NewHome",
    file: "CredentialFile",
    name: str,
    way: "Way",
    passphrase_file: Path | None,
    generate: Path | None,
) -> "Registration":
    from seed.identity.registration import register

    names = {"name": name, "vault": file.document.name}
    with new_passphrase(console, passphrase_file, generate, **names) as passphrase:
        return register(place, file, name, passphrase, way, console)


def _tell(console: Console, registered: "Registration", generate: Path | None) -> None:
    from formats.ids import fingerprint

    identity, sequence = registered.home.identity, registered.home.state.sequence
    console.say(f"Registered {identity.name} with vault {identity.vault_name}.")
    console.say(f"  fingerprint  {fingerprint(identity.machine)}")
    if identity.replaced:
        console.say(
            f"  in place of  {fingerprint(identity.replaced[0])}; its points belong to this machine now"
        )
    if generate is not None:
        console.say(f"  passphrase   written to {generate}; keep that file elsewhere, nobody can recover it")
    elif identity.replaced:
        console.say("  passphrase   as before")
    else:
        console.say("  passphrase   keep it in a safe place: nobody can recover it")
    if not registered.reached:
        console.say(
            "  The vault was not reached: the request travels on the disk, and the operator accepts it there."
        )
    console.say(f"Next: seed {'backup PATH…' if sequence else 'export PATH… --to DISK'}")
    console.result(
        {
            "machine": identity.machine,
            "name": identity.name,
            "vault": identity.vault,
            "fingerprint": fingerprint(identity.machine),
            "reached": registered.reached,
            "replaces": identity.replaced[0] if identity.replaced else None,
        }
    )


def _checked(name: str) -> str:
    """Return a machine's name if it is valid. Raises UsageError name-invalid."""
    import re

    from formats.documents.vault import MACHINE_NAME

    if not re.fullmatch(MACHINE_NAME, name):
        raise UsageError(
            "name-invalid",
            "a machine's name has at most 63 letters, digits, dots, hyphens and underscores",
            subject=name,
            hint="choose one by --name",
        )
    return name


def _credential_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(256 << 10)
    except OSError as error:
        raise VaultError(
            "credential-unreadable",
            f"cannot read the credential file ({error.strerror})",
            subject=str(path),
            hint="copy it to a place that this user can read, and try again",
        ) from error
