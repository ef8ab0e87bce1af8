"""Objects that a machine with unreadable documents may need: they stay, others may go (SEEN-2, SEEN-3)."""

from collections.abc import Iterable

from formats import layout
from formats.errors import damage_aside
from formats.ids import ArchiveName
from formats.tables import needs
from formats.tables.archive import HEAD, parse_head
from formats.tables.sections import Section
from importer.vault.reachability import ANY, Needed
from importer.vault.vault import Vault


class Doubtful:
    """The test whether an object may belong to a machine with unreadable documents.

    The key id at its head tells the owner of an archive. The archives in a table tell the owner of the table.
    The test costs nothing if every document can be read.
    """

    def __init__(self, vault: Vault, found: Needed) -> None:
        self._store = vault.store
        self._blind = found.blind
        self._doubts = found.doubts
        self._keys: dict[str, str | None] = {}
        self._buckets: dict[str, bool] = {}

    @property
    def all(self) -> bool:
        """The flag that every object may be needed: the key of a machine with unreadable needs is unknown."""
        return ANY in self._blind

    def has_archive(self, name: str) -> bool:
        """Return whether a doubtful machine may need an archive. Raises StoreError."""
        return self._is_of(name, self._key_id(name)) if self._blind or self._doubts else False

    def has_index(self, name: str, listed: Iterable[Section]) -> bool:
        """Return whether a doubtful machine may need an index object. Raises StoreError."""
        return self._has_table(name, (section.archive.name for section in listed))

    def has_need(self, name: str) -> bool:
        """Return whether a doubtful machine may need a part of a need list. Raises StoreError."""
        if not self._blind and not self._doubts:
            return False
        with damage_aside():
            data = self._store.get(name)
            if not data.startswith(needs.ROOT_MAGIC):
                return self._has_bucket(name)
            buckets = {bucket for bucket in needs.decode_root(data, name) if bucket is not None}
            return not buckets or any(self._has_bucket(layout.need_name(bucket)) for bucket in buckets)
        return True

    def _has_bucket(self, name: str) -> bool:
        """Each is read once: anybody may have put roots that name one a thousand times, or one another."""
        if name not in self._buckets:
            self._buckets[name] = True
            with damage_aside():
                listed = needs.archives_of(self._store.get(name), name)
                self._buckets[name] = self._has_table(name, (holding.name for holding in listed))
        return self._buckets[name]

    def has_key(self, key_id: str) -> bool:
        return key_id in self._blind or key_id in self._doubts

    def _has_table(self, name: str, archives: Iterable[ArchiveName]) -> bool:
        """Return whether a table is doubtful, by the first of its archives that the vault holds.

        A machine names its own archives only. A table without such an archive may belong to any machine.
        """
        if not self._blind and not self._doubts:
            return False
        for archive in archives:
            if (key_id := self._key_id(layout.archive_name(archive))) is not None:
                return self._is_of(name, key_id)
        return True

    def _is_of(self, name: str, key_id: str | None) -> bool:
        if key_id is None or key_id in self._blind:
            return True
        written = self._store.written(name) if key_id in self._doubts else None
        return written is not None and written.timestamp() > self._doubts[key_id]

    def _key_id(self, archive: str) -> str | None:
        """Return the key id at the head of an archive, or None if it is gone or cannot be read."""
        if archive not in self._keys:
            self._keys[archive] = None
            with damage_aside():
                self._keys[archive] = parse_head(self._store.get(archive, 0, HEAD.size), archive)[1].hex()
        return self._keys[archive]
