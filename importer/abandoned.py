"""Sets that their machine has given up before it finished them (SWEEP-5): what the datacenter need not keep for them.

A machine's signed word does that, and only while no manifest of the vault names the set. The machine may take it back: so what
such a set brought is kept for a month from the word on, by the store's clock.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from formats import layout
from formats.documents.disk import TAKEN_BACK_DAYS, Abandonment
from formats.documents.vault import Membership
from formats.ids import MachineId, SetId
from formats.monitor import Monitor, Tally
from importer.points import line_of, manifests, set_documents
from importer.receipts import Imported
from importer.vault import Vault


def abandoned(
    vault: Vault, member: Membership, known: Mapping[MachineId, Membership], monitor: Monitor
) -> dict[SetId, datetime]:
    """The sets of a machine that were given up, by itself or by a machine that took its place, each with the time from which on
    nothing is kept for it. Raises StoreError."""
    said = dict(_said(vault, member, known, monitor))
    if not said:
        return said
    named = {manifest.set for manifest, _ in manifests(vault, member, Tally())}
    named |= {document.set for document in set_documents(vault, member, Tally())}
    return {disk_set: until for disk_set, until in said.items() if disk_set not in named}


def leave_out(
    vault: Vault, result: Imported, known: Mapping[MachineId, Membership], monitor: Monitor
) -> None:
    """Of a set that its machine has given up nothing is taken, unless the disk itself says that it was finished after all."""
    disk = result.disk
    if any(manifest.set == disk.label.set for manifest, _ in disk.manifests):
        return
    if disk.label.set in abandoned(vault, result.member, known, Tally()):
        result.abandoned, disk.welcome = True, set()
        monitor.notice(f"{disk.name}: its machine has given up this export, and nothing of it is taken")


def is_over(until: datetime, now: float) -> bool:
    """Whether the word about a set can be taken back no more at `now`, a time of the store's clock."""
    return until <= datetime.fromtimestamp(now, UTC)


def _said(
    vault: Vault, member: Membership, known: Mapping[MachineId, Membership], monitor: Monitor
) -> Iterator[tuple[SetId, datetime]]:
    """The sets that one who may say so calls given up. A key that others may have says nothing."""
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
