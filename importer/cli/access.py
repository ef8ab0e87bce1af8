"""`importer access`: standing access for machines to a vault in a storage account."""

import os
from pathlib import Path
from typing import Annotated

import typer

from formats.errors import UsageError
from formats.shell.command_groups import group
from formats.shell.console import Console, command
from formats.shell.user_files import create_private
from formats.words import instant
from importer.cli.app import VaultOption, app, vault_of

access_app = group(
    app,
    "access",
    "Give or revoke machines' standing access.",
    "importer access issue --vault azblob://account/backups --out web1.access",
)

PolicyOption = Annotated[
    str,
    typer.Option("--policy", metavar="NAME", help="The stored access policy; a container has room for five."),
]


@command(access_app, "issue")
def access_issue(
    console: Console,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it; must not exist.")],
    vault: VaultOption = None,
    policy: PolicyOption = "machines",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it is valid.")] = 365,
) -> None:
    """Issue an access that cannot overwrite or delete.

    It may create, read and list, and it outlives the credential. It ends when its policy is revoked.

    Example: importer access issue --vault azblob://account/backups --out web1.access
    """
    from importer.vault.vault import grant_access

    opened = vault_of(vault, console)
    handle = create_private(out)
    try:
        secret, ends = grant_access(opened, policy, days)
    except BaseException:
        os.close(handle)
        out.unlink()
        raise
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secret + "\n")
    expires = int(ends.timestamp())
    console.say(f"Access to vault {opened.name} under policy {policy}: {out}")
    console.say(f"  valid until  {instant(expires)}; it may create, read and list")
    console.say("  Send it over a secure channel. On the machine:")
    console.say(
        f"  seed register --credential FILE --access-file {out.name}, or later: seed access set {out.name}"
    )
    console.result({"vault": opened.id, "policy": policy, "file": str(out), "expires": expires})


@command(access_app, "revoke")
def access_revoke(
    console: Console,
    vault: VaultOption = None,
    policy: PolicyOption = "machines",
) -> None:
    """End every access that a policy issued.

    The service may take half a minute to follow.

    Example: importer access revoke --vault azblob://account/backups
    """
    from importer.vault.vault import revoke_access

    opened = vault_of(vault, console)
    if not revoke_access(opened, policy):
        raise UsageError(
            "name-invalid", "the container has no access policy of this name", subject=policy,
            hint="give the name that it was issued under, by --policy",
        )  # fmt: skip
    console.say(f"Policy {policy} of vault {opened.name} is revoked: all access under it ends.")
    console.result({"vault": opened.id, "policy": policy, "revoked": True})
