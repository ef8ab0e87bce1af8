"""Reading back a disk that fails: unreadable archives are named, and a disk that has gone is not called damaged."""

import mmap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from formats.errors import Interrupted, MediaError
from formats.ids import digest
from formats.layout import archive_name
from formats.monitor import Tally
from formats.store.local import LocalStore
from seed.verify.readback import Folder, MasterKeys, Readback, folders_on
from tests.vectors.documents import LABEL, signed
from tests.vectors.keyed import MASTER
from tests.vectors.tables import content, drawn

NAMES = [archive_name(digest(drawn(f"{number}", 9))) for number in range(20)]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a labelled disk that was never closed, with an archive and twenty objects that are none."""
    place = tmp_path / "offseed" / f"{LABEL.set}-{LABEL.number}"
    with LocalStore.open(str(place), create=True) as store:
        store.put_new("label", signed(LABEL))
        store.put_new(archive_name(content().archive.name), content().data)
        for name in NAMES:
            store.put_new(name, b"no archive")
    (found,) = folders_on(tmp_path)
    return found


def read_back(folder: Folder, monitor: Tally) -> Readback:
    with ThreadPoolExecutor(2) as pool:
        read = Readback(folder, MasterKeys([MASTER]), pool, memoryview(mmap.mmap(-1, 1 << 20)), monitor)
        read.run()
    return read


def failing(folder: Folder, monkeypatch: pytest.MonkeyPatch, fails: Callable[[str], bool]) -> None:
    get = folder.store.get_uncached_into

    def get_or_fail(name: str, buffer: memoryview) -> tuple[int, bool]:
        if fails(name):
            raise MediaError("io-error", "the medium reports an error", subject=name)
        return get(name, buffer)

    monkeypatch.setattr(folder.store, "get_uncached_into", get_or_fail)


def test_what_is_damaged_is_named_and_the_rest_is_read(folder: Folder) -> None:
    monitor = Tally()
    read = read_back(folder, monitor)
    names = {*NAMES, archive_name(content().archive.name)}
    assert read.damaged == names  # the vector's records are no sealed chunks
    assert read.objects == len(names) + 1
    assert read.records == 0
    assert read.closed is None
    assert {f.code for f in monitor.findings} == {"disk-unfinished", "object-damaged", "seal-broken"}


def test_bad_places_on_a_disk_are_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = Tally()
    failing(folder, monkeypatch, lambda name: name in NAMES)
    read = read_back(folder, monitor)
    assert read.objects == 2
    assert sum(f.code == "io-error" for f in monitor.findings) == len(NAMES)


def test_a_disk_that_no_longer_gives_what_it_gave_has_gone(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = Tally()
    calls: list[str] = []

    def later(name: str) -> bool:
        calls.append(name)
        return len(calls) > 5

    failing(folder, monkeypatch, later)
    with pytest.raises(MediaError) as caught:
        read_back(folder, monitor)
    assert caught.value.code == "disk-missing"
    assert caught.value.hint
    assert not any(f.code == "io-error" for f in monitor.findings)


def test_a_disk_that_gives_nothing_has_gone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(folder, monkeypatch, lambda _: True)
    monitor = Tally()
    with pytest.raises(MediaError) as caught:
        read_back(folder, monitor)
    assert caught.value.code == "disk-missing"
    assert len(monitor.findings) < 10


def test_a_request_to_stop_ends_it(folder: Folder) -> None:
    with pytest.raises(Interrupted):
        read_back(folder, Tally(stop=True))
