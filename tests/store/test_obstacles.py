"""Obstacles in the place of an object or a folder: each costs only its object, and is never opened or followed.

The store waits for none of them.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from formats.errors import NotFoundError, ObstructedError, StoreError, is_damage
from formats.store.foreign import CLOSED, FILE, FOLDER, LINK, PIPE, SOCKET, Foreign, Strangers
from formats.store.local import LocalStore, SystemRoot
from tests.journeys.stage import NOBODY
from tests.store.contract import ARCHIVE, DATA, LABEL, MANIFEST
from tests.store.test_posix import _socket

if sys.platform == "win32":
    pytest.skip("Windows has other files", allow_module_level=True)

SECRET = b"not to be read, nor to be changed"
FAN = ARCHIVE.rpartition("/")[0]
KEPT = [(LABEL, len(DATA)), (MANIFEST, len(DATA))]


def link_to_file(path: Path) -> None:
    path.symlink_to("/proc/self/status")


def link_to_folder(path: Path) -> None:
    path.symlink_to("/proc/self/fd")


def broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def file(path: Path) -> None:
    path.write_bytes(SECRET)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file": (file, FILE),
    "a pipe": (os.mkfifo, PIPE),
    "a socket": (_socket, SOCKET),
    "a folder": (os.mkdir, FOLDER),
    "a link to a file": (link_to_file, LINK),
    "a link to a folder": (link_to_folder, LINK),
    "a link to nothing": (broken_link, LINK),
}
PLACES = {"a prefix": "archives", "a folder of the fan": FAN, "an object": ARCHIVE, "the temporaries": "tmp"}
CELLS = [
    pytest.param(place, make, kind, id=f"{what} in place of {where}")
    for what, (make, kind) in KINDS.items()
    for where, place in PLACES.items()
    if kind != (FILE if place == ARCHIVE else FOLDER)
]


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """End a test that hangs."""
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    """Return a store with a label and a manifest, without temporaries and archives."""
    with LocalStore.open(str(tmp_path)) as opened:
        opened.put_new(LABEL, DATA)
        opened.put_new(MANIFEST, DATA)
        shutil.rmtree(tmp_path / "tmp")
        yield opened


def obstruct(store: LocalStore, place: str, make: Callable[[Path], object]) -> None:
    path = Path(store.address, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)


@pytest.mark.parametrize(("place", "make", "kind"), CELLS)
def test_an_obstacle_is_told_and_the_rest_is_listed_and_read(
    store: LocalStore, place: str, make: Callable[[Path], object], kind: str
) -> None:
    obstruct(store, place, make)
    tally = Strangers()
    assert list(store.list("", tally)) == KEPT
    assert tally.blocking == tally.first == [Foreign(place, kind, True)]
    assert store.get(LABEL) == DATA
    for prefix in ("archives", FAN):
        assert list(store.list(prefix)) == []
    if place != "tmp":
        assert store.head(ARCHIVE) is None
        assert store.written(ARCHIVE) is None
        store.delete(ARCHIVE)
        for read in (store.get, lambda name: store.get_into(name, memoryview(bytearray(9)))):
            with pytest.raises(ObstructedError) as caught:
                read(ARCHIVE)
            assert (caught.value.code, caught.value.subject) == ("obstructed", f"{store.address}/{place}")
            assert is_damage(caught.value)
    assert os.path.lexists(Path(store.address, place))


@pytest.mark.parametrize(("place", "make", "kind"), CELLS)
def test_a_writer_is_told_which_obstacle_it_is_and_changes_nothing(
    store: LocalStore, place: str, make: Callable[[Path], object], kind: str
) -> None:
    obstruct(store, place, make)
    with pytest.raises(ObstructedError) as caught:
        store.put_new(ARCHIVE, DATA)
    assert (caught.value.path, caught.value.closed) == (place, False)
    assert "--set-aside" in caught.value.hint
    tally = Strangers()
    assert list(store.list("", tally)) == KEPT
    assert tally.blocking == [Foreign(place, kind, True)]


@pytest.mark.parametrize(("place", "make", "kind"), CELLS)
def test_a_writer_that_clears_its_way_keeps_what_stood_there(
    store: LocalStore, place: str, make: Callable[[Path], object], kind: str
) -> None:
    obstruct(store, place, make)
    cleared: dict[str, str] = {}
    store.clears = cleared.__setitem__
    assert store.put_new(ARCHIVE, DATA) is True
    assert store.get(ARCHIVE) == DATA
    (kept,) = cleared.values()
    assert list(cleared) == [place]
    path = Path(store.address, kept)
    assert os.path.lexists(path)
    if kind == FILE:
        assert path.read_bytes() == SECRET
    tally = Strangers()
    assert list(store.list("", tally)) == [(ARCHIVE, len(DATA)), *KEPT]
    assert tally.count == 0


def test_several_obstacles_on_one_way_are_all_cleared(store: LocalStore) -> None:
    obstruct(store, "tmp", file)
    obstruct(store, "archives", file)
    cleared: list[str] = []

    def clears(path: str, _: str) -> None:
        cleared.append(path)
        if path == "archives":
            obstruct(store, FAN, os.mkfifo)
        if path == FAN:
            obstruct(store, ARCHIVE, os.mkdir)

    store.clears = clears
    assert store.put_new(ARCHIVE, DATA) is True
    assert sorted(cleared) == sorted(["archives", FAN, ARCHIVE, "tmp"])


def test_an_object_that_comes_while_its_obstacle_is_moved_stays(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep an object that replaces the obstacle in the last moment, before the store moves the obstacle."""
    obstruct(store, ARCHIVE, os.mkfifo)
    path, move = Path(store.address, ARCHIVE), SystemRoot.move

    def overtaken(root: SystemRoot, name: str, to: str) -> None:
        if path.is_fifo():
            path.unlink()
            path.write_bytes(DATA)
        move(root, name, to)

    monkeypatch.setattr(SystemRoot, "move", overtaken)
    with pytest.raises(NotFoundError):
        store.set_aside(ARCHIVE, PIPE)
    assert store.get(ARCHIVE) == DATA


@pytest.mark.parametrize("make", [make for make, kind in KINDS.values() if kind != FOLDER])
def test_what_stands_in_the_place_of_what_is_set_aside_is_set_aside(
    store: LocalStore, make: Callable[[Path], object]
) -> None:
    obstruct(store, "set-aside", make)
    obstruct(store, "archives", file)
    place = store.set_aside("archives")
    assert Path(store.address, place).read_bytes() == SECRET
    (moved,) = (path for path in Path(store.address).iterdir() if path.name.startswith("set-aside-"))
    tally = Strangers()
    assert list(store.list("", tally)) == KEPT
    assert [found.name for found in tally.first] == [moved.name]


def test_a_folder_is_set_aside_unseen_however_deep_it_is(store: LocalStore) -> None:
    deep = os.open(store.address, os.O_RDONLY)
    for name in ["archives", *["deep" * 10] * 400]:  # a path that no system call takes
        os.mkdir(name, dir_fd=deep)
        below = os.open(name, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    tally = Strangers()
    assert list(store.list("", tally)) == KEPT
    assert tally.first == [Foreign(f"archives/{'deep' * 10}", FOLDER)]
    assert store.set_aside(tally.first[0].name).endswith(f"/{tally.first[0].name}")
    assert list(store.list("", again := Strangers())) == KEPT
    assert again.count == 0


def test_names_of_any_bytes_are_told_and_set_aside(store: LocalStore) -> None:
    names = [b"\xff\xfe", b"a\nb", b"x" * 255, b"\x1b[2J", "ä".encode()]
    for name in names:
        Path(store.address, os.fsdecode(name)).write_bytes(SECRET)
    tally = Strangers()
    assert list(store.list("", tally)) == KEPT
    assert sorted(os.fsencode(found.name) for found in tally.first) == sorted(names)
    for found in tally.first:
        assert Path(store.address, store.set_aside(found.name)).read_bytes() == SECRET


def test_many_foreign_files_cost_one_reading_of_their_folder(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_new(ARCHIVE, DATA)
    folder = Path(store.address, FAN)
    for number in range(3000):
        (folder / f"junk{number}").touch()
    read: list[str] = []
    stats: list[str] = []
    entries, status = SystemRoot.entries, SystemRoot.status

    def counted(root: SystemRoot, path: str) -> Iterator[os.DirEntry[str]]:
        read.append(path)
        return entries(root, path)

    def asked(root: SystemRoot, name: str) -> os.stat_result:
        stats.append(name)
        return status(root, name)

    monkeypatch.setattr(SystemRoot, "entries", counted)
    monkeypatch.setattr(SystemRoot, "status", asked)
    tally = Strangers()
    assert list(store.list("", tally)) == [(ARCHIVE, len(DATA)), *KEPT]
    assert tally.count == 3000
    assert sorted(read) == sorted({"", "archives", FAN, "manifests", MANIFEST.rpartition("/")[0], "tmp"})
    assert stats == []


# --- as a user without root


@contextmanager
def nobody(folder: str) -> Iterator[None]:
    """Be a user without root that owns the store."""
    for path, _, files in os.walk(folder):
        for name in (path, *(os.path.join(path, leaf) for leaf in files)):
            os.chown(name, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.needs("root")
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
@pytest.mark.parametrize("place", ["archives", FAN])
def test_a_closed_folder_hides_what_is_in_it_and_says_so(store: LocalStore, place: str, mode: int) -> None:
    store.put_new(ARCHIVE, DATA)
    os.chmod(place_of(store, place), mode)
    with nobody(store.address):
        tally = Strangers()
        assert list(store.list("", tally)) == KEPT
        assert tally.blocking == tally.first == [Foreign(place, CLOSED, True)]
        for prefix in ("archives", FAN):
            named = Strangers()
            assert list(store.list(prefix, named)) == []
            assert named.blocking == [Foreign(place, CLOSED, True)]
        calls: list[Callable[[], object]] = [
            lambda: store.get(ARCHIVE),
            lambda: store.head(ARCHIVE),
            lambda: store.put_new(ARCHIVE, DATA),
        ]
        store.clears = lambda path, where: pytest.fail("objects may lie in it")
        for call in calls:
            with pytest.raises(ObstructedError) as caught:
                call()
            assert (caught.value.path, caught.value.closed) == (place, True)
    os.chmod(place_of(store, place), 0o755)
    assert list(store.list("")) == [(ARCHIVE, len(DATA)), *KEPT]


def place_of(store: LocalStore, name: str) -> Path:
    return Path(store.address, name)


@pytest.mark.needs("root")
def test_an_object_that_may_not_be_read_is_damage_of_that_object(store: LocalStore) -> None:
    store.put_new(ARCHIVE, DATA)
    place_of(store, ARCHIVE).chmod(0)
    with nobody(store.address):
        assert list(store.list("")) == [(ARCHIVE, len(DATA)), *KEPT]
        assert store.head(ARCHIVE) == len(DATA)
        for call in (lambda: store.get(ARCHIVE), lambda: store.put_new(ARCHIVE, DATA)):
            with pytest.raises(ObstructedError) as caught:
                call()
            assert (caught.value.path, caught.value.closed) == (ARCHIVE, False)
        store.clears = lambda path, where: None
        assert store.put_new(ARCHIVE, DATA) is True
        assert store.get(ARCHIVE) == DATA


@pytest.mark.needs("root")
def test_a_store_that_may_not_be_listed_at_all_is_no_empty_one(store: LocalStore) -> None:
    os.chmod(store.address, 0o100)
    os.chmod(place_of(store, "manifests"), 0)
    with nobody(store.address):
        for prefix in ("", "manifests", "archives"):
            with pytest.raises(StoreError) as caught:
                list(store.list(prefix))
            assert caught.value.code == "denied"


@pytest.mark.needs("root")
def test_a_user_who_may_not_write_is_denied_and_not_obstructed(store: LocalStore) -> None:
    os.chmod(store.address, 0o555)
    with nobody(store.address):
        with pytest.raises(StoreError) as caught:
            store.put_new(ARCHIVE, DATA)
        assert caught.value.code == "denied"
        with pytest.raises(NotFoundError):
            store.get(ARCHIVE)
