"""The indexes of archives, read back from the archives in a store of ours, or from a journal in the home."""

from pathlib import Path

from formats.errors import FormatError, IntegrityError
from formats.ids import ArchiveName, KeyId, digest
from formats.layout import archive_name
from formats.monitor import Monitor
from formats.store.contract import Store
from formats.tables.sections import Section, scan, section_of


def read_section(store: Store, name: str, key_id: KeyId) -> Section | None:
    """Return the index of an archive, or None if the archive is damaged or under another key.

    Raises StoreError, MediaError.
    """
    data = store.get(name)
    try:
        section, key = section_of(memoryview(data), ArchiveName(digest(data)), name)
    except (FormatError, IntegrityError):
        return None
    is_ours = archive_name(section.archive.name) == name and key == key_id
    return section if is_ours else None


def read_sections(path: Path, damaged: str, monitor: Monitor) -> list[Section]:
    """Return the whole sections of a journal, or none if it is missing or damaged.

    Damage is a notice, which begins with `damaged`.
    """
    try:
        return scan(memoryview(path.read_bytes()), str(path))[0]
    except FileNotFoundError:
        pass
    except (FormatError, IntegrityError) as error:
        monitor.notice(f"{damaged}: {error}")
    return []
