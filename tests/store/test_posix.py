"""A local store on POSIX: killed at every step, in races of processes, and among files that are not objects."""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from formats.errors import NameHeldByOtherError, NotFoundError, StoreError
from formats.store import posix
from formats.store.local import LocalStore
from tests.store.contract import ARCHIVE, DATA, LABEL

if sys.platform == "win32":
    pytest.skip("POSIX only", allow_module_level=True)

DIED, DONE, LOST, FAILED = 9, 0, 3, 4


@pytest.fixture(params=["exclusive rename", "fallback"], autouse=True)
def rename(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "fallback":
        monkeypatch.setattr(posix, "_renameat2", lambda: None)


def in_child(work: Callable[[], int]) -> int:
    """Start `work` in a child process that exits with its result; return the child's id."""
    child = os.fork()
    if child:
        return child
    code = FAILED
    try:
        code = work()
    finally:
        os._exit(code)


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def put(folder: Path, data: bytes, gate: int | None = None) -> int:
    """Put a label after the gate opened; return DONE if it was written, LOST if another object held the name."""
    with LocalStore.open(str(folder)) as store:
        if gate is not None:
            os.read(gate, 1)
        try:
            return DONE if store.put_new(LABEL, data) else FAILED
        except NameHeldByOtherError:
            return LOST


def put_until(folder: Path, name: str, calls: int) -> int:
    """Put `DATA`, but die before the given number of calls into the system or the C library."""
    left = calls

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal left
        if event == "c_call":
            left -= 1
            if not left:
                os._exit(DIED)

    with LocalStore.open(str(folder), writer="me") as store:
        sys.setprofile(count)
        store.put_new(name, DATA)
    return DONE


@pytest.mark.parametrize("name", [ARCHIVE, LABEL])
def test_killed_at_any_step_the_same_command_completes(tmp_path: Path, name: str) -> None:
    died_with = set()
    for calls in range(1, 1000):
        folder = tmp_path / str(calls)
        folder.mkdir()
        code = exit_code(in_child(partial(put_until, folder, name, calls)))
        assert code in (DIED, DONE)
        with LocalStore.open(str(folder), writer="me") as store:
            size = store.head(name)
            assert size in (None, len(DATA))
            died_with.add(size)
            assert [*store.list("")] == ([(name, size)] if size else [])
            store.sweep()
            assert not (folder / "tmp").exists() or os.listdir(folder / "tmp") == []
            assert store.put_new(name, DATA) is (size is None)
            assert store.get(name) == DATA
        if code == DONE:
            break
    else:
        pytest.fail("put_new did not end")
    assert calls > 20
    assert died_with == {None, len(DATA)}


@pytest.mark.parametrize("wreck", [False, True])
def test_of_processes_that_race_for_a_name_one_wins(tmp_path: Path, wreck: bool) -> None:
    for _ in range(10):
        if wreck:
            (tmp_path / LABEL).touch()  # the claim of a writer that died
        gate, opener = os.pipe()
        datas = [bytes([n]) * 100_000 for n in range(5)]
        children = [in_child(partial(put, tmp_path, data, gate)) for data in datas]
        os.write(opener, bytes(len(children)))
        codes = [exit_code(child) for child in children]
        os.close(gate)
        os.close(opener)
        assert sorted(codes) == [DONE, *[LOST] * (len(datas) - 1)]
        assert (tmp_path / LABEL).read_bytes() == datas[codes.index(DONE)]
        (tmp_path / LABEL).unlink()


def test_a_claim_that_is_held_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "_renameat2", lambda: None)
    handle = os.open(tmp_path, os.O_RDONLY)
    with posix._claimed(handle, LABEL) as free, LocalStore.open(str(tmp_path)) as store:
        assert free
        child = in_child(partial(put, tmp_path, b"the other"))
        assert store.head(LABEL) is None
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        os.replace(_file(tmp_path / "mine", DATA), tmp_path / LABEL)
    os.close(handle)
    assert exit_code(child) == LOST
    assert (tmp_path / LABEL).read_bytes() == DATA


def test_without_locks_a_claim_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "_renameat2", lambda: None)
    monkeypatch.setattr(posix, "_lock", lambda _: False)
    with LocalStore.open(str(tmp_path)) as store:
        assert store.put_new(LABEL, DATA) is True
        store.delete(LABEL)
        (tmp_path / LABEL).touch()
        with pytest.raises(StoreError) as caught:
            store.put_new(LABEL, DATA)
        assert "claims this name" in str(caught.value)
        assert "remove the empty file" in caught.value.hint
        assert store.put_new(ARCHIVE, DATA) is True


@pytest.mark.needs("root")
def test_a_user_without_rights_is_denied(tmp_path: Path) -> None:
    def put_as_nobody() -> int:
        with LocalStore.open(str(tmp_path)) as store:
            os.setuid(65534)
            try:
                store.put_new(ARCHIVE, DATA)
            except StoreError as error:
                return DONE if error.code == "denied" else LOST
        return FAILED

    assert exit_code(in_child(put_as_nobody)) == DONE
    assert os.listdir(tmp_path) == []


# --- limits of file systems


def test_a_folder_that_cannot_be_flushed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush(handle: int) -> None:
        if os.path.isdir(f"/dev/fd/{handle}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(posix, "_flush", flush)
    with LocalStore.open(str(tmp_path)) as store:
        assert store.put_new(ARCHIVE, DATA) is True


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.ENOTSUP])
@pytest.mark.parametrize("name", [ARCHIVE, LABEL])
def test_a_rename_that_the_file_system_refuses_has_a_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    def refuse(*_: object) -> int:
        return -1

    monkeypatch.setattr(posix, "_renameat2", lambda: refuse)
    monkeypatch.setattr(ctypes, "get_errno", lambda: number)
    with LocalStore.open(str(tmp_path)) as store:
        assert store.put_new(name, DATA) is True
        assert store.put_new(name, DATA) is False
        with pytest.raises(NameHeldByOtherError):
            store.put_new(name, b"other")
        assert store.get(name) == DATA


def test_every_new_folder_is_flushed_and_later_only_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []

    def flush(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        flushed.append(os.path.relpath(path, tmp_path) if os.path.isdir(path) else "file")

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc")
    monkeypatch.setattr(posix, "_flush", flush)
    with LocalStore.open(str(tmp_path)) as store:
        one, other = (f"archives/ab/ab{digit * 62}" for digit in "01")
        store.put_new(one, DATA)
        assert flushed == ["file", "archives/ab", "archives", "."]
        store.put_new(other, DATA)
        assert flushed[4:] == ["file", "archives/ab"]
        store.put_new(other, DATA)
        assert flushed[6:] == ["file", "archives/ab"]


@pytest.mark.parametrize("name", [ARCHIVE, LABEL])
def test_a_lock_that_somebody_holds_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(posix, "_renameat2", lambda: None)
    monkeypatch.setattr(posix, "LOCK_SECONDS", 0.05)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    held = os.open(path.parent if name == ARCHIVE else path, os.O_RDONLY)
    with LocalStore.open(str(tmp_path)) as store:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError) as caught:
            store.put_new(name, DATA)
        assert caught.value.code == "denied"
        assert "lslocks" in caught.value.hint
        os.close(held)
        assert store.put_new(name, DATA) is True


# --- files that are no objects


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _symlink(path: Path) -> None:
    path.symlink_to(_file(path.with_name("secret"), b"not to be read"))


def _socket(path: Path) -> None:
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # a socket's path is short
        try:
            made.bind("s")
            os.rename("s", path.name)
        finally:
            os.chdir(here)


@pytest.fixture
def in_time() -> Iterator[None]:
    """End a test that hangs."""
    signal.alarm(10)
    yield
    signal.alarm(0)


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("make", [_symlink, os.mkfifo, os.mkdir, _socket])
@pytest.mark.parametrize("name", [ARCHIVE, LABEL])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, make: Callable[[Path], None], name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    with LocalStore.open(str(tmp_path)) as store:
        calls: list[Callable[[], object]] = [
            lambda: store.get(name),
            lambda: store.get_into(name, memoryview(bytearray(9))),
            lambda: store.put_new(name, DATA),
        ]
        for call in calls:
            with pytest.raises(StoreError) as caught:
                call()
            assert (caught.value.code, caught.value.subject) == ("obstructed", f"{tmp_path}/{name}")
        assert store.head(name) is None
        assert name not in dict(store.list(""))


def test_no_link_between_root_and_object_is_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    (outside / ARCHIVE).parent.mkdir(parents=True)
    (outside / ARCHIVE).write_bytes(DATA)
    inside.mkdir()
    (inside / "archives").symlink_to(outside / "archives")
    with LocalStore.open(str(inside)) as store:
        calls: list[Callable[[], object]] = [
            lambda: store.get(ARCHIVE),
            lambda: store.get_into(ARCHIVE, memoryview(bytearray(9))),
            lambda: store.put_new(ARCHIVE, b"x"),
        ]
        for call in calls:
            with pytest.raises(StoreError) as caught:
                call()
            assert caught.value.code == "obstructed"
        store.delete(ARCHIVE)
        assert store.head(ARCHIVE) is None
        assert [*store.list("archives/")] == [*store.list("")] == []
    assert (outside / ARCHIVE).read_bytes() == DATA


def test_a_store_stays_in_its_folder_when_that_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with LocalStore.open(str(tmp_path / "old")) as store:
        (tmp_path / "old").rename(tmp_path / "new")
        (tmp_path / "old").mkdir()
        store.put_new(ARCHIVE, DATA)
    assert (tmp_path / "new" / ARCHIVE).read_bytes() == DATA


def test_a_store_whose_folder_is_removed_says_so(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with LocalStore.open(str(tmp_path / "gone")) as store:
        (tmp_path / "gone").rmdir()
        with pytest.raises(StoreError) as caught:
            store.put_new(ARCHIVE, DATA)
        assert caught.value.code == "store-missing"
        with pytest.raises(NotFoundError):
            store.get(ARCHIVE)
