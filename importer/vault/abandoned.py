"""Sets that their machine gave up before it finished them (SWEEP-5): the vault need not keep them.

A signed document of the machine gives a set up. It counts only while no manifest and no set document in the
vault names the set. The machine may take it back. So the vault keeps the objects of such a set for a month
from that document on, by the store's clock.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from formats import layout
from formats.documents.disk import TAKEN_BACK_DAYS, Abandonment
from formats.documents.vault import Membership
from formats.ids import MachineId, SetId
from formats.monitor import Monitor, Tally
from importer.vault.points import line_of, manifests, set_documents
from importer.vault.vault import Vault


def abandoned(
    vault: Vault, member: Membership, known: Mapping[MachineId, Membership], monitor: Monitor
) -> dict[SetId, datetime]:
    """Return the sets of a machine that were given up, each with the time until which it is kept.

    The machine itself gave them up, or a machine that took its place. Raises StoreError.
    """
    said = dict(_said(vault, member, known, monitor))
    if not said:
        return said
    named = {manifest.set for manifest, _ in manifests(vault, member, Tally())}
    named |= {document.set for document in set_documents(vault, member, Tally())}
    return {disk_set: until for disk_set, until in said.items() if disk_set not in named}


def is_over(until: datetime, now: float) -> bool:
    """Return whether a given-up set can no longer be taken back at `now`, a time of the store's clock."""
    return until <= datetime.fromtimestamp(now, UTC)


def _said(
    vault: Vault, member: Membership, known: Mapping[MachineId, Membership], monitor: Monitor
) -> Iterator[tuple[SetId, datetime]]:
    """Yield the sets that this machine, or a machine that took its place, calls given up.

    A revoked machine cannot give sets up, because others may have its key.
    """
    for speaker in known.values():
        if speaker.status == "revoked" or member not in line_of(speaker, known):
            continue
        prefix = layout.abandonment_prefix(speaker.machine)
        sets = {SetId(name.split("/")[2]) for name, _ in vault.store.list(prefix) if name.count("/") == 3}
        for disk_set in sorted(sets):
            below = layout.abandonment_prefix(speaker.machine, disk_set)
            key = bytes.fromhex(speaker.public_key)
            found = vault.view.look(below, Abandonment, key, monitor).newest
            if found is None or not found.document.given_up:
                continue
            document, written = found.document, vault.store.written(found.name)
            if (document.machine, document.set) == (speaker.machine, disk_set) and written is not None:
                yield disk_set, written + timedelta(days=TAKEN_BACK_DAYS)
