"""The records that a vault lacks, as commands tell them to the operator."""

from typing import TYPE_CHECKING

from formats.errors import MediaError, StoreError
from formats.shell.console import Console
from formats.untrusted import Json
from formats.words import counted
from importer.cli.app import accept_machines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from importer.vault.vault import Vault
    from importer.vault.want_lists import Lack


def mended(vault: "Vault", console: Console) -> "Mapping[str, Lack]":
    """Take in the requests and the records that machines have sent, and return the lacks of the vault.

    Return nothing if this home may not write, or cannot.
    """
    from importer.vault.want_lists import mend

    if vault.authority is None:
        return {}
    try:
        accept_machines(vault, console)
        return mend(vault, console)
    except (StoreError, MediaError) as error:
        console.notice(f"cannot take in the data that machines have sent to repair damage: {error.what}")
        return {}


def say_wants(wanted: "Mapping[str, Lack]", console: Console) -> list[Json]:
    """Say which records the vault lacks, and the machines that are to send them."""
    rows: list[Json] = []
    for key_id, lack in sorted(wanted.items()):
        if not lack:
            continue
        names = " or ".join(lack.machines)
        what = [counted(lack.records, "record")] if lack.needs else []
        what += [counted(len(lack.objects), "small object")] if lack.objects else []
        of = f" of {counted(len(lack.needs), 'archive')}" if lack.needs else ""
        console.say(f"The vault lacks {' and '.join(what)}{of}: run `seed repair` on {names}")
        rows.append(
            {
                "machines": [*lack.machines],
                "key_id": key_id,
                "archives": len(lack.needs),
                "records": lack.records,
                "objects": len(lack.objects),
            }
        )
    return rows
