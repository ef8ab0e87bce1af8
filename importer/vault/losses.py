"""The points of one machine with lost files, and the disks on which these files may lie (DMG-6).

None of these disks may be erased. Every revision of such a point counts: the earlier ones name the archives
that held the files. A disk is innocent if it lists no archive that a revision needs and the vault lacks. An
unreadable table or need list makes no disk innocent. A disk that was given up is never innocent: its machine
has yet to take its files back.
"""

from collections.abc import Iterable, Set
from functools import cached_property

from formats import layout
from formats.documents.disk import Inventory
from formats.documents.envelope import Signed
from formats.documents.manifest import Manifest
from formats.documents.vault import Membership
from formats.errors import FormatError, IntegrityError, NotFoundError
from formats.ids import ArchiveName, SetId
from formats.monitor import Tally
from formats.rules.completeness import newest_points, read_table
from formats.rules.replacements import Stock
from formats.rules.retention import read_kept
from formats.tables.holdings import Holding
from formats.tables.needs import Buckets
from importer.vault.points import load_needs, unexpired
from importer.vault.vault import Vault


class Losses:
    """The losses of a machine's unexpired points, in all `revisions`; `there` is the vault's stock."""

    def __init__(
        self, vault: Vault, member: Membership, revisions: Iterable[tuple[Manifest, Signed]], there: Stock
    ) -> None:
        self._vault = vault
        self._member = member
        self._there = there
        known = [manifest for manifest, _ in revisions]
        lossy = {m.point for m in newest_points(known, lambda m: m) if m.totals.lost}
        self._concerned = [manifest for manifest in known if manifest.point in lossy]

    @classmethod
    def of(cls, vault: Vault, member: Membership, there: Stock) -> "Losses":
        """Read the losses of a machine's points. Raises StoreError."""
        kept = read_kept(vault.view, member.machine, Tally())
        return cls(vault, member, unexpired(vault, member, kept, Tally()), there)

    def may_lie_on(self, disk_set: SetId, number: int, generation: int, *, given_up: bool) -> bool:
        """Return whether lost files may lie on a disk, by its inventory of that generation."""
        if given_up or not self._concerned:
            return bool(self._concerned)
        lists = listed_on(self._vault, self._member, disk_set, number, generation)
        return not is_innocent(lists, self._lacking)

    @cached_property
    def _lacking(self) -> Set[ArchiveName] | None:
        """The archives that these points need, in any revision, and the vault lacks.

        None if a need list cannot be read.
        """
        lacking = set[ArchiveName]()
        buckets: Buckets = {}
        for manifest in self._concerned:
            try:
                needs = load_needs(self._vault.store, manifest, buckets)
            except (FormatError, IntegrityError, NotFoundError):
                return None
            lacking |= {n.archive.name for n in needs if self._there.lacking(n) is not None}
        return lacking


def is_innocent(lists: Iterable[Holding] | None, lacking: Set[ArchiveName] | None) -> bool:
    """Return whether a disk lists no archive that is lacking; None stands for a list that cannot be read."""
    return lists is not None and lacking is not None and lacking.isdisjoint(held.name for held in lists)


def listed_on(
    vault: Vault, member: Membership, disk_set: SetId, number: int, generation: int
) -> list[Holding] | None:
    """Return the archives on a disk that came, by its inventory of that generation.

    Return None if that inventory or one of its tables cannot be read.
    """
    prefix, key = layout.received_prefix(member.machine, disk_set, number), bytes.fromhex(member.public_key)
    look = vault.view.look(prefix, Inventory, key, Tally(), number=generation)
    try:
        tables = [table for fact in look.facts for table in fact.document.tables]
        return [held for table in tables for held in read_table(vault.store, table)] if look.facts else None
    except (FormatError, IntegrityError, NotFoundError):
        return None
