"""Reading all of a disk without keys: every object has the digest that its inventory, or its name, says."""

from dataclasses import dataclass
from mmap import mmap

from formats import layout
from formats.errors import IntegrityError, MediaError, StoreError
from formats.ids import HexDigest, hex_digest
from formats.monitor import Finding, Monitor
from formats.tables.archive import ARCHIVE_SIZE_MAX
from importer.intake import Disk, inventoried


@dataclass
class ReadAll:
    """What was read. `cached` says that the page cache may have answered in place of the medium."""

    objects: int = 0
    bytes: int = 0
    damaged: int = 0
    cached: bool = False


def read_all(disk: Disk, monitor: Monitor) -> ReadAll:
    """Read what lies on a disk; what is not as it should be is a finding, and keeps nothing else from being read. Ends early
    where it is to stop."""
    done = ReadAll()
    space = memoryview(mmap(-1, ARCHIVE_SIZE_MAX))  # page-aligned, to pass the cache
    known = inventoried(disk)
    for name in sorted(disk.listed):
        if monitor.stopping():
            break
        try:
            size, cached = disk.store.get_uncached_into(name, space)
            found = hex_digest(space[:size])
            whole = found == known[name][1] if name in known else _is_addressed(name, found)
            code, detail = "object-damaged", "its bytes do not have the digest they should have"
        except (IntegrityError, StoreError, MediaError) as error:
            size, cached, whole = 0, False, False
            code, detail = error.code, error.what
        done.objects += 1
        done.bytes += size
        done.cached |= cached
        monitor.progress(done=size, files=1)
        if not whole:
            done.damaged += 1
            monitor.finding(Finding(code=code, subject=f"{disk.name}/{name}", detail=detail))
    return done


def _is_addressed(name: str, found: HexDigest) -> bool:
    """Of what no inventory lists: the label was read before, all else says in its name what it is."""
    return name == "label" or layout.is_name_of(name, found)
