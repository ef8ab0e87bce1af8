"""Reading past the page cache finds the bytes on the medium, with any cache; if it cannot, it says so."""

import errno
import fcntl
import io
import mmap
import os
import struct
import sys
import tempfile
from pathlib import Path

import pytest

from formats.errors import FormatError, IntegrityError, NotFoundError, StoreError
from formats.ids import digest
from formats.layout import archive_name
from formats.store import windows
from formats.store.local import LocalStore, SystemRoot
from formats.store.root import SLICE
from tests.conftest import LoopDisks
from tests.store.contract import ARCHIVE

if sys.platform == "win32":
    pytest.skip("there every read may be cached", allow_module_level=True)

FIBMAP = 1
SIZES = (1, 511, 512, 4095, 4096, 4097, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE + 5000)


def pages(size: int) -> memoryview:
    return memoryview(mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE))


def place_on_medium(path: Path, offset: int) -> int:
    """Return the place of byte `offset` of a file on its device."""
    handle = os.open(path, os.O_RDONLY)
    try:
        block_size = os.fstat(handle).st_blksize
        (block,) = struct.unpack("I", fcntl.ioctl(handle, FIBMAP, struct.pack("I", offset // block_size)))
    finally:
        os.close(handle)
    assert block
    return int(block) * block_size + offset % block_size


def damage_medium(path: Path, offset: int) -> None:
    """Flip one byte of a file on a `LoopDisk`, behind the back of the file system."""
    os.sync()
    place, device = place_on_medium(path, offset), path.stat().st_dev
    loop = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/loop/backing_file")
    with open(loop.read_text().rstrip("\n"), "r+b") as file:
        file.seek(place)
        before = file.read(1)
        file.seek(place)
        file.write(bytes([before[0] ^ 0xFF]))
        file.flush()
        os.fsync(file.fileno())


def check_sizes(folder: Path, *, cached: bool) -> None:
    buffer = pages(max(SIZES))
    with LocalStore.open(str(folder)) as store:
        for size in SIZES:
            data = os.urandom(size)
            name = archive_name(digest(data))
            store.put_new(name, data)
            assert store.get_uncached_into(name, buffer) == (size, cached)
            assert buffer[:size] == data


@pytest.mark.needs("loop")
def test_every_size_comes_whole_from_a_disk(loop_disk: LoopDisks) -> None:
    check_sizes(loop_disk(96 << 20, "ext4"), cached=False)


@pytest.mark.needs("exfat")
def test_a_disk_behind_fuse_counts_as_cached(loop_disk: LoopDisks) -> None:
    """Count a disk behind FUSE as cached: FUSE takes O_DIRECT, and then reads the device through the cache."""
    check_sizes(loop_disk(96 << 20, "exfat"), cached=True)


def test_a_file_system_in_memory_counts_as_cached() -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("NOT TESTED: there is no /dev/shm")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        check_sizes(Path(folder), cached=True)


def test_by_path_every_read_counts_as_cached(tmp_path: Path) -> None:
    buffer = pages(5000)
    with LocalStore(windows.PathRoot(str(tmp_path), create=False), str(tmp_path)) as store:
        store.put_new(ARCHIVE, b"x" * 5000)
        assert store.get_uncached_into(ARCHIVE, buffer) == (5000, True)


@pytest.mark.needs("loop", "root")
def test_what_is_damaged_behind_a_warm_cache_is_seen(loop_disk: LoopDisks) -> None:
    folder = loop_disk(32 << 20, "ext4")
    data = os.urandom(3 << 20)
    name = archive_name(digest(data))
    buffer = pages(len(data))
    with LocalStore.open(str(folder)) as store:
        store.put_new(name, data)
        assert store.get(name) == data
        damage_medium(folder / name, 1_234_567)
        assert store.get(name) == data, "an ordinary read is answered from the cache"
        assert store.get_uncached_into(name, buffer) == (len(data), False)
        assert [i for i in range(len(data)) if buffer[i] != data[i]] == [1_234_567]


def test_what_is_refused(tmp_path: Path) -> None:
    buffer = pages(1)
    with LocalStore.open(str(tmp_path)) as store:
        with pytest.raises(NotFoundError):
            store.get_uncached_into(ARCHIVE, buffer)
        with pytest.raises(FormatError):
            store.get_uncached_into("../x", buffer)
        store.put_new(ARCHIVE, bytes(len(buffer) + 1))
        with pytest.raises(IntegrityError) as caught:
            store.get_uncached_into(ARCHIVE, buffer)
        assert caught.value.code == "object-damaged"
        (tmp_path / ARCHIVE).write_bytes(b"")
        with pytest.raises(NotFoundError):
            store.get_uncached_into(ARCHIVE, buffer)
        (tmp_path / ARCHIVE).unlink()
        (tmp_path / ARCHIVE).symlink_to("/etc/passwd")
        with pytest.raises(StoreError) as met:
            store.get_uncached_into(ARCHIVE, buffer)
        assert met.value.code == "obstructed"


def test_a_device_that_wants_larger_pages_is_read_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: io.FileIO, *_: object) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(SystemRoot, "pass_cache", lambda *_: True)
    monkeypatch.setattr("formats.store.local.read_pages", refuse)
    buffer = pages(5000)
    with LocalStore.open(str(tmp_path)) as store:
        store.put_new(ARCHIVE, b"x" * 5000)
        assert store.get_uncached_into(ARCHIVE, buffer) == (5000, True)
        assert buffer[:5000] == b"x" * 5000


def test_a_system_that_does_not_tell_its_file_systems_counts_as_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("formats.store.posix._file_system", lambda _: "")
    buffer = pages(5000)
    with LocalStore.open(str(tmp_path)) as store:
        store.put_new(ARCHIVE, b"x" * 5000)
        assert store.get_uncached_into(ARCHIVE, buffer) == (5000, True)
