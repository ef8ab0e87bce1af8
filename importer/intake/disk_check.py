"""The reading of a whole disk without keys: each object has the digest in its inventory or in its name."""

from dataclasses import dataclass
from mmap import mmap

from formats import layout
from formats.errors import IntegrityError, MediaError, StoreError
from formats.ids import HexDigest, hex_digest
from formats.monitor import Finding, Monitor
from formats.tables.archive import ARCHIVE_SIZE_MAX
from importer.intake.intake import Disk, inventoried


@dataclass
class ReadResult:
    """The result of the reading; `cached`: the page cache may have answered instead of the medium."""

    objects: int = 0
    bytes: int = 0
    damaged: int = 0
    cached: bool = False


def read_all(disk: Disk, monitor: Monitor) -> ReadResult:
    """Read all objects on a disk; a wrong one is a finding, and the others are still read.

    The function ends early if the monitor asks it to stop.
    """
    done = ReadResult()
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
    """Return whether an object that no inventory lists has the digest in its name.

    The label was read before, so it counts as right.
    """
    return name == "label" or layout.is_name_of(name, found)
