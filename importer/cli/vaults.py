"""`importer vault` and `credentials`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.errors import UsageError
from formats.ids import fingerprint, machine_id
from formats.shell.command_groups import group
from formats.shell.console import Console, command
from formats.shell.user_files import create_private
from formats.untrusted import Json
from formats.words import instant, moment
from importer.cli.app import VaultOption, address_of, app, home, signing_vault, vault_of

if TYPE_CHECKING:
    from importer.vault.vault import Vault

vault_app = group(
    app,
    "vault",
    "Create and show vaults.",
    "importer vault create Backups --at /srv/vault --region west-europe",
)
credentials_app = group(
    app,
    "credentials",
    "Issue vault credentials.",
    "importer credentials issue --vault /srv/vault --out web1.credential",
)
RedundancyChoice = Annotated[
    str | None,
    typer.Option(
        "--redundancy",
        help="geo or local; else as the storage account is, or geo. Locked by the first machine.",
    ),
]


def _redundancy(value: str | None) -> str | None:
    if value not in (None, "geo", "local"):
        raise UsageError("usage", "redundancy is geo or local", subject=value, hint="take one of the two")
    return value


@command(vault_app, "create")
def vault_create(
    console: Console,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="2 to 50 letters, digits and hyphens; the first a letter.")
    ],
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="STORE",
            help="Where it lies: a folder or azblob://ACCOUNT/CONTAINER, made if need be.",
        ),
    ],
    region: Annotated[str, typer.Option("--region", help="Where that is, in your words.")],
    redundancy: RedundancyChoice = None,
) -> None:
    """Create a vault, and its authority in this home.

    Example: importer vault create Backups --at /srv/vault --region west-europe
    """
    from importer.vault.vault import create

    vault = create(home(), name, address_of(at), region, _redundancy(redundancy))
    assert vault.authority is not None
    console.say(f"Vault {vault.name} created at {vault.store.address}")
    console.say(f"  id           {vault.id}")
    console.say(
        f"  region       {region}, redundancy {vault.descriptor.redundancy} (fixed once a machine is registered)"
    )
    console.say(f"  authority    {vault.authority.path}")
    console.say(
        "               Back this file up and keep it secret: anybody with it speaks for the vault, and"
    )
    console.say("               without it no machine can be accepted and nothing imported.")
    console.say(f"Next: importer credentials issue --vault {vault.store.address} --out MACHINE.credential")
    console.result(_described(vault))


@command(vault_app, "recreate")
def vault_recreate(
    console: Console,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the vault that was lost.")],
    at: Annotated[
        str,
        typer.Option("--at", metavar="STORE", help="Where it is to lie: an empty folder, made if need be."),
    ],
    region: Annotated[str, typer.Option("--region", help="Where that is, in your words.")],
    redundancy: RedundancyChoice = None,
) -> None:
    """Make a lost vault again, empty.

    Its authority must be in this home. The disks that were written for the vault can be imported again.

    Example: importer vault recreate Backups --at /srv/vault --region west-europe
    """
    from importer.vault.vault import recreate

    vault = recreate(home(), name, address_of(at), region, _redundancy(redundancy))
    console.say(f"Vault {vault.name} made again at {vault.store.address}, empty")
    console.say(f"  id           {vault.id}, as before")
    console.say("Next: import the disks again; the first import of each machine says how to accept it.")
    console.result(_described(vault))


@command(vault_app, "show")
def vault_show(console: Console, vault: VaultOption = None) -> None:
    """Show a vault: name, region, redundancy, machines.

    Example: importer vault show --vault /srv/vault
    """
    from importer.vault.redundancy import is_registered_with
    from importer.vault.vault import members

    shown = vault_of(vault, console)
    count = len(members(shown, console))
    console.say(f"Vault {shown.name} at {shown.store.address}")
    console.say(f"  id           {shown.id}")
    locked = (
        "locked" if is_registered_with(shown, console) else "can be changed until a machine is registered"
    )
    console.say(f"  region       {shown.descriptor.region}")
    console.say(f"  redundancy   {shown.descriptor.redundancy} ({locked})")
    console.say(f"  created      {moment(shown.descriptor.created)}")
    console.say(f"  machines     {count}")
    console.say(
        f"  authority    {fingerprint(machine_id(shown.key))}" + ("" if shown.authority else " (not here)")
    )
    console.result({**_described(shown), "machines": count})


@command(vault_app, "set-redundancy")
def vault_set_redundancy(
    console: Console,
    redundancy: Annotated[str, typer.Argument(help="geo or local")],
    vault: VaultOption = None,
) -> None:
    """Change the redundancy of an unused vault.

    This is possible as long as no machine is registered.

    Example: importer vault set-redundancy local --vault /srv/vault
    """
    from importer.vault.redundancy import set_redundancy

    changed = set_redundancy(signing_vault(vault, console), _redundancy(redundancy) or "geo", console)
    console.say(f"Vault {changed.name}: redundancy {changed.descriptor.redundancy}")
    console.result(_described(changed))


@command(credentials_app, "issue")
def credentials_issue(
    console: Console,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it; must not exist.")],
    vault: VaultOption = None,
) -> None:
    """Issue a vault credential.

    It is valid for 48 hours, and it ends all earlier ones.

    Example: importer credentials issue --vault /srv/vault --out web1.credential
    """
    from importer.vault.credentials import issue_credential

    opened = signing_vault(vault, console)
    assert opened.authority is not None
    handle = create_private(out)
    try:
        issued = issue_credential(opened, console)
    except BaseException:
        os.close(handle)
        out.unlink()
        raise
    document = issued.document
    with os.fdopen(handle, "wb") as file:
        file.write(issued.data)
    console.say(f"Credential {document.number} for vault {opened.name}: {out}")
    console.say(f"  valid until  {instant(document.expires)}; earlier credentials are void from now on")
    if issued.opens:
        console.say("  It opens the storage account to the machine (create, read and list) until then.")
    elif issued.opens is False:
        console.notice(
            "this access cannot give another: the credential opens no storage account. Have the machine register with "
            "--access-file FILE, or issue the credential by the account's key"
        )
    console.say("  Send it over a secure channel. On the machine:")
    console.say(f"  seed register --credential {out.name} --generate-passphrase passphrase.txt")
    console.result(
        {
            "number": document.number,
            "file": str(out),
            "expires": document.expires,
            "vault": opened.id,
            "opens_account": issued.opens,
        }
    )


def _described(vault: "Vault") -> dict[str, Json]:
    descriptor = vault.descriptor
    return {
        "vault": vault.id,
        "name": vault.name,
        "at": vault.store.address,
        "region": descriptor.region,
        "redundancy": descriptor.redundancy,
        "created": descriptor.created,
        "authority": str(vault.authority.path) if vault.authority else None,
    }
