"""A directory keeps the contract: with and without the system's exclusive rename, by handle, by path, on exFAT."""

import errno
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from formats.errors import MediaError, NotFoundError, OffseedError, StoreError
from formats.layout import is_folder
from formats.store import windows
from formats.store.contract import Store
from formats.store.failures import meaning
from formats.store.foreign import SYSTEM_FOLDERS, Strangers
from formats.store.local import STALE_SECONDS, LocalStore, SystemRoot
from tests.facilities import LoopDisk
from tests.store.contract import ARCHIVE, DATA, LABEL, MANIFEST, StoreContract

WRITER = "5a" * 16
DEAD = "0123456789abcdef"


class LocalContract(StoreContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def store(self, folder: Path) -> Iterator[Store]:
        with LocalStore.open(str(folder)) as store:
            yield store
            assert set(temporaries(folder)) <= {DEAD}

    def raw_write(self, store: Store, name: str, data: bytes) -> None:
        path = Path(store.address, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def raw_read(self, store: Store, name: str) -> bytes | None:
        path = Path(store.address, name)
        return path.read_bytes() if path.exists() else None

    def told_as(self, name: str) -> str | None:
        """Return a foreign folder as one entry, and None for the folders that file systems make."""
        parts = name.split("/")
        if parts[0] in SYSTEM_FOLDERS:
            return None
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return next((path for path in folders if not is_folder(path) and path != "tmp"), name)


class TestLocalStore(LocalContract):
    pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows renames exclusively")
class TestWithoutExclusiveRename(LocalContract):
    @pytest.fixture(autouse=True)
    def without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("formats.store.posix._renameat2", lambda: None)


@pytest.mark.skipif(sys.platform == "win32", reason="there this is TestLocalStore")
class TestByPath(LocalContract):
    """The store as it is on Windows, with a rename that behaves as there."""

    @pytest.fixture
    def store(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
        def rename(old: str, new: str) -> None:
            if os.path.isdir(old) and not os.path.lexists(new):
                renames(old, new)
            else:
                os.link(old, new)
                os.unlink(old)

        renames = os.rename

        monkeypatch.setattr(os, "rename", rename)
        return LocalStore(windows.PathRoot(str(folder), create=False), str(folder))


@pytest.fixture(scope="module")
def exfat_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    disk = LoopDisk(tmp_path_factory.mktemp("exfat"), 64 << 20, "exfat")
    try:
        disk.mount()
        yield disk.path
    finally:
        disk.unmount()


@pytest.mark.needs("exfat")
class TestOnExfat(LocalContract):
    @pytest.fixture
    def folder(self, exfat_disk: Path) -> Path:
        return Path(tempfile.mkdtemp(dir=exfat_disk))

    def told_as(self, name: str) -> str | None:
        """Return the name as on a file system that takes `archives/AB` for our folder `archives/ab`."""
        return super().told_as(name.replace("archives/AB", "archives/ab"))

    def test_a_folder_of_ours_in_capitals_hides_nothing(self, folder: Path, store: Store) -> None:
        for path in (folder, folder / "archives", folder / ARCHIVE.rpartition("/")[0]):
            made = path.with_name(path.name.upper()) if path != folder else path
            made.mkdir(exist_ok=True)
        assert store.put_new(ARCHIVE, DATA) is True
        tally = Strangers()
        assert list(store.list("", tally)) == list(store.list("archives/")) == [(ARCHIVE, len(DATA))]
        assert tally.count == 0


def temporaries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "tmp")) if (folder / "tmp").exists() else []


# --- opening


def test_a_folder_is_made_only_on_request(tmp_path: Path) -> None:
    path = str(tmp_path / "offseed" / "disk 1 é")
    with pytest.raises(StoreError) as caught:
        LocalStore.open(path)
    assert (caught.value.code, caught.value.subject) == ("store-missing", path)
    assert caught.value.hint
    for _ in range(2):
        with LocalStore.open(path, create=True) as store:
            assert store.address == path
    assert os.listdir(path) == []


@pytest.mark.parametrize("below", ["", "/below"])
@pytest.mark.parametrize("create", [False, True])
def test_a_file_is_not_a_store(tmp_path: Path, below: str, create: bool) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        LocalStore.open(f"{tmp_path}/file{below}", create=create)
    assert caught.value.code == "store-missing"
    assert caught.value.hint


@pytest.mark.parametrize("path", ["", "a\0b", "/" + "a" * 5000])
def test_what_is_no_path_is_no_store(path: str) -> None:
    with pytest.raises(StoreError) as caught:
        LocalStore.open(path)
    assert caught.value.code == "store-missing"


def test_a_store_opened_for_reading_is_never_written(tmp_path: Path) -> None:
    with LocalStore.open(str(tmp_path)) as store:
        store.put_new(ARCHIVE, DATA)
    with LocalStore.open(str(tmp_path), read_only=True) as store:
        assert store.get(ARCHIVE) == DATA
        calls: list[Callable[[], object]] = [
            lambda: store.put_new(ARCHIVE, DATA),
            lambda: store.delete(ARCHIVE),
            store.sweep,
        ]
        for call in calls:
            with pytest.raises(MediaError) as caught:
                call()
            assert caught.value.code == "read-only"
    with pytest.raises(StoreError):
        LocalStore.open(str(tmp_path / "new"), read_only=True, create=True)


def test_space_and_device_are_told(tmp_path: Path) -> None:
    with LocalStore.open(str(tmp_path)) as store:
        assert 0 < store.free_bytes() < store.total_bytes()
        assert store.device() == tmp_path.stat().st_dev


@pytest.mark.parametrize("writer", ["", "a-b", "A", "../x", "a" * 65])
def test_a_writers_id_is_part_of_a_file_name(tmp_path: Path, writer: str) -> None:
    with pytest.raises(ValueError, match="writer"):
        LocalStore.open(str(tmp_path), writer=writer)


# --- temporaries


def leave(folder: Path, name: str, age: int) -> None:
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "tmp" / name).write_bytes(DATA)
    then = (folder / "tmp" / name).stat().st_mtime - age
    os.utime(folder / "tmp" / name, (then, then))


def test_a_sweep_takes_what_is_old_or_its_own(tmp_path: Path) -> None:
    leave(tmp_path, f"{WRITER}-{DEAD}", 0)
    leave(tmp_path, f"abc-{DEAD}", STALE_SECONDS + 9)
    leave(tmp_path, f"def-{DEAD}", STALE_SECONDS - 60)
    leave(tmp_path, f"not-ours-{DEAD}", STALE_SECONDS + 9)
    (tmp_path / "tmp" / f"abc-{DEAD[::-1]}").mkdir()
    with LocalStore.open(str(tmp_path), writer=WRITER) as store:
        store.sweep()
        assert list(store.list("")) == []
    assert temporaries(tmp_path) == [f"abc-{DEAD[::-1]}", f"def-{DEAD}", f"not-ours-{DEAD}"]


def test_a_sweep_spares_what_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore.open(str(tmp_path), writer=WRITER)
    flush = SystemRoot.flush

    def sweep_first(root: SystemRoot, file: io.FileIO) -> None:
        store.sweep()
        flush(root, file)

    monkeypatch.setattr(SystemRoot, "flush", sweep_first)
    with store:
        assert store.put_new(ARCHIVE, DATA) is True


def test_a_sweep_of_a_new_store_is_nothing(tmp_path: Path) -> None:
    with LocalStore.open(str(tmp_path)) as store:
        store.sweep()
    assert os.listdir(tmp_path) == []


# --- failures


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, MediaError, "disk-full"),
        (errno.EDQUOT, MediaError, "disk-full"),
        (errno.EROFS, MediaError, "read-only"),
        (errno.EIO, MediaError, "io-error"),
        (errno.ENODEV, MediaError, "io-error"),
        (errno.EACCES, StoreError, "denied"),
        (errno.EPERM, StoreError, "denied"),
        (errno.ENOENT, StoreError, "store-missing"),
        (errno.ENOTDIR, StoreError, "denied"),
    ],
)
def test_what_the_system_says_becomes_an_error_with_a_hint(
    number: int, kind: type[OffseedError], code: str
) -> None:
    error = meaning(OSError(number, os.strerror(number)), "disk/label")
    assert (type(error), error.code, error.subject) == (kind, code, "disk/label")
    assert error.hint


def test_windows_write_protection_is_told_from_a_lack_of_rights() -> None:
    error = OSError(errno.EACCES, "write protected")
    error.winerror = 19  # type: ignore[attr-defined,unused-ignore]
    assert meaning(error, "").code == "read-only"


@pytest.mark.parametrize("step", ["create", "flush", "rename_new", "flush_folder"])
@pytest.mark.parametrize("name", [ARCHIVE, LABEL])
def test_a_failure_leaves_no_temporary_and_the_next_try_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, name: str
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with LocalStore.open(str(tmp_path)) as store:
        with monkeypatch.context() as patched:
            patched.setattr(SystemRoot, step, fail)
            with pytest.raises(MediaError) as caught:
                store.put_new(name, DATA)
        assert (caught.value.code, caught.value.subject) == ("io-error", f"{tmp_path}/{name}")
        assert temporaries(tmp_path) == []
        assert store.put_new(name, DATA) is (step != "flush_folder")
        assert store.get(name) == DATA


def test_an_interrupt_leaves_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(SystemRoot, "flush", interrupt)
    with LocalStore.open(str(tmp_path)) as store, pytest.raises(KeyboardInterrupt):
        store.put_new(ARCHIVE, DATA)
    assert temporaries(tmp_path) == []


class Dribbling(io.FileIO):
    """A file of which the system takes and gives only a few bytes at a time, as it may."""

    def write(self, data: object) -> int:
        return super().write(memoryview(data)[:1000])  # type: ignore[arg-type]

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 1000))

    def readinto(self, buffer: object) -> int:
        return super().readinto(memoryview(buffer)[:1000])  # type: ignore[arg-type]


def test_short_writes_and_reads_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dribble(call: Callable[[SystemRoot, str], io.FileIO], mode: str) -> Callable[..., io.FileIO]:
        def opened(root: SystemRoot, name: str) -> io.FileIO:
            with call(root, name) as file:
                return Dribbling(os.dup(file.fileno()), mode)

        return opened

    monkeypatch.setattr(SystemRoot, "create", dribble(SystemRoot.create, "w"))
    monkeypatch.setattr(SystemRoot, "read", dribble(SystemRoot.read, "r"))
    buffer = bytearray(len(DATA))
    with LocalStore.open(str(tmp_path)) as store:
        assert store.put_new(ARCHIVE, DATA) is True
        assert store.put_new(ARCHIVE, DATA) is False
        assert store.get(ARCHIVE) == DATA
        assert store.get_into(ARCHIVE, memoryview(buffer)) == len(DATA)
    assert (tmp_path / ARCHIVE).read_bytes() == buffer == DATA


def test_what_vanishes_during_a_listing_is_left_out(tmp_path: Path) -> None:
    with LocalStore.open(str(tmp_path)) as store:
        for name in (ARCHIVE, LABEL, MANIFEST):
            store.put_new(name, DATA)
        listing = store.list("")
        assert next(listing)[0] == ARCHIVE
        store.delete(MANIFEST)
        assert [name for name, _ in listing] == [LABEL]


def test_a_file_that_is_cut_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> tuple[int, int]:
        os.truncate(tmp_path / ARCHIVE, 10)
        return 0, len(DATA)

    with LocalStore.open(str(tmp_path)) as store:
        store.put_new(ARCHIVE, DATA)
        monkeypatch.setattr("formats.store.local.span", cut)
        assert store.get(ARCHIVE) == DATA[:10]
        os.truncate(tmp_path / ARCHIVE, 0)
        with pytest.raises(NotFoundError):
            store.get(ARCHIVE)


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir(), reason="NOT TESTED: no file system here that takes any time"
)
def test_a_file_beyond_all_years_was_written_in_the_last_one() -> None:
    """Cut the year to 9999: a user with write access can set any time, and an error would end every command."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, LocalStore.open(folder) as store:
        store.put_new(LABEL, DATA)
        os.utime(Path(folder, LABEL), (10**12, 10**12))
        written = store.written(LABEL)
        assert written is not None
        assert written.year == 9999
