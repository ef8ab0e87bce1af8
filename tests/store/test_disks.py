"""A local store on real small disks: full, read-only, cut off from power, and of the exFAT kind."""

import fcntl
import os
import struct
import sys
from pathlib import Path

import pytest

from formats.errors import MediaError
from formats.ids import digest
from formats.layout import archive_name
from formats.store import posix
from formats.store.local import LocalStore
from tests.conftest import LoopDisks
from tests.facilities import LoopDisk
from tests.store.contract import ARCHIVE, DATA, LABEL, MANIFEST

if sys.platform == "win32":
    pytest.skip("loop devices are of Linux", allow_module_level=True)

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN: the file system ends as if the power had failed
_WITHOUT_LOG = struct.pack("I", 2)


def fill(store: LocalStore, size: int) -> dict[str, bytes]:
    """Put random objects until the disk is full, and return the stored ones."""
    taken: dict[str, bytes] = {}
    with pytest.raises(MediaError) as caught:
        while True:
            data = os.urandom(size)
            name = archive_name(digest(data))
            store.put_new(name, data)
            taken[name] = data
    assert caught.value.code == "disk-full"
    assert caught.value.subject == f"{store.address}/{name}"
    return taken


@pytest.mark.parametrize(
    ("size", "fstype"),
    [
        pytest.param(4 << 20, "ext4", marks=pytest.mark.needs("loop")),
        pytest.param(8 << 20, "exfat", marks=pytest.mark.needs("exfat")),
    ],
)
def test_a_full_disk_keeps_what_it_took_and_takes_more_after_a_deletion(
    loop_disk: LoopDisks, size: int, fstype: str
) -> None:
    path = loop_disk(size, fstype)
    with LocalStore.open(str(path / "offseed" / "disk-1"), create=True) as store:
        taken = fill(store, 300_000)
        assert len(taken) > 3
        assert os.listdir(path / "offseed" / "disk-1" / "tmp") == []
        assert [*store.list("archives/")] == sorted((name, len(data)) for name, data in taken.items())
        assert all(store.get(name) == data for name, data in taken.items())
        assert store.free_bytes() < 300_000 < store.total_bytes()
        store.sweep()
        name, data = taken.popitem()
        store.delete(name)
        assert store.put_new(name, data) is True


@pytest.mark.needs("loop")
def test_a_read_only_disk_is_read_and_refuses_writes(tmp_path: Path) -> None:
    disk = LoopDisk(tmp_path, 4 << 20, "ext4")
    try:
        disk.mount()
        with LocalStore.open(str(disk.path)) as store:
            store.put_new(ARCHIVE, DATA)
        disk.read_only()
        with LocalStore.open(str(disk.path)) as store:
            assert store.get(ARCHIVE) == DATA
            with pytest.raises(MediaError) as caught:
                store.put_new(LABEL, DATA)
            assert (caught.value.code, caught.value.subject) == ("read-only", f"{disk.path}/{LABEL}")
        with pytest.raises(MediaError) as caught:
            LocalStore.open(str(disk.path / "new"), create=True)
        assert caught.value.code == "read-only"
    finally:
        disk.unmount()


@pytest.mark.needs("loop")
@pytest.mark.parametrize("fallback", [False, True])
def test_what_was_put_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fallback: bool
) -> None:
    if fallback:
        monkeypatch.setattr(posix, "_renameat2", lambda: None)
    disk = LoopDisk(tmp_path, 16 << 20, "ext4")
    try:
        disk.mount()
        with LocalStore.open(str(disk.path / "a" / "b"), create=True) as store:
            for name in (ARCHIVE, LABEL):
                store.put_new(name, DATA)
            (disk.path / "unflushed").write_bytes(DATA)
            cut_power(disk.path)
            with pytest.raises(MediaError) as caught:
                store.put_new(MANIFEST, DATA)
            assert caught.value.code == "io-error"
        disk.unmount()
        disk.mount()
        assert not (disk.path / "unflushed").exists()
        with LocalStore.open(str(disk.path / "a" / "b")) as store:
            assert [*store.list("")] == [(ARCHIVE, len(DATA)), (LABEL, len(DATA))]
            assert store.get(ARCHIVE) == store.get(LABEL) == DATA
    finally:
        disk.unmount()


def cut_power(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, _SHUTDOWN, _WITHOUT_LOG)
    finally:
        os.close(handle)


@pytest.mark.needs("exfat")
def test_a_disk_written_on_exfat_is_whole_after_it_was_unplugged(tmp_path: Path) -> None:
    disk = LoopDisk(tmp_path, 16 << 20, "exfat")
    try:
        disk.mount()
        with LocalStore.open(str(disk.path), writer="me") as store:
            store.put_new(ARCHIVE, DATA)
            store.put_new(LABEL, DATA)
            (disk.path / "tmp" / f"me-{'0' * 16}").write_bytes(DATA)
        disk.unmount()
        disk.mount()
        with LocalStore.open(str(disk.path), writer="me") as store:
            store.sweep()
            assert [*store.list("")] == [(ARCHIVE, len(DATA)), (LABEL, len(DATA))]
            assert store.put_new(LABEL, DATA) is False
        assert sorted(os.listdir(disk.path)) == ["archives", "label", "tmp"]
        assert os.listdir(disk.path / "tmp") == []
    finally:
        disk.unmount()
