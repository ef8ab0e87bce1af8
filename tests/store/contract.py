"""The contract of a store as a test class. A subclass brings `store`, `raw_write` and `raw_read`.

The last two are back doors that bypass the store, so that the store is not its own witness.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from formats.errors import FormatError, IntegrityError, NameHeldByOtherError, NotFoundError
from formats.ids import digest
from formats.layout import archive_name, size_max
from formats.store.contract import Store
from formats.store.foreign import EMPTY, FILE, Strangers

MACHINE = "5a" * 16
LABEL = "label"
MANIFEST = f"manifests/{MACHINE}/0000000001-{'ab' * 32}"
DATA = bytes(range(256)) * 9
ARCHIVE = archive_name(digest(DATA))
WRITERS = 8

BAD_NAMES = [
    "",
    "/",
    "archives",
    "archives/",
    "/archives/ab",
    "archives//ab",
    "archives/../label",
    "archives/.hidden",
    "archives/AB",
    "archives/a b",
    "archives/a\0b",
    "archives/ab\n",
    "archives/ä",
    "archives/a\\b",
    "archives/" + "a" * 81,
    "archives/" + "a/" * 100 + "a",
    "tmp/ab",
    "elsewhere/ab",
    "archives/x",
    "archives/AB/" + "ab" * 32,
    "archives/cd/" + "ab" * 32,
    "archives/ab/" + "ab" * 31,
    "disks/abc",
    f"manifests/{MACHINE}/0000000001-{'ab' * 16}",
    f"manifests/{MACHINE}/1-{'ab' * 32}",
    f"{MANIFEST}/x",
    "label/x",
]
FOREIGN_NAMES = [
    "autorun.inf",
    "lost+found/ab",
    "System Volume Information/ab",
    "archives/._ab",
    "archives/AB/cd",
    "archives/ab/.Trashes/cd",
    "archives/x",
    "archives/cd/" + "ab" * 32,
    "archives/ee/cd/" + "ee" * 32,
    "disks/abc",
    f"{MANIFEST}0",
    f"manifests/{MACHINE[1:]}/0000000001-{'ab' * 32}",
    "tmp/0123456789abcdef",
]


def race(store: Store, name: str, datas: list[bytes]) -> list[bool | None]:
    """Return the results of threads that put at once: None if another object held the name."""
    start = threading.Barrier(len(datas))

    def put(data: bytes) -> bool | None:
        start.wait()
        try:
            return store.put_new(name, data)
        except NameHeldByOtherError:
            return None

    with ThreadPoolExecutor(len(datas)) as threads:
        return list(threads.map(put, datas))


class StoreContract(ABC):
    @abstractmethod
    def raw_write(self, store: Store, name: str, data: bytes) -> None:
        """Put bytes where the store keeps `name`, and bypass the store."""

    @abstractmethod
    def raw_read(self, store: Store, name: str) -> bytes | None:
        """Return the bytes that lie where the store keeps `name`."""

    @pytest.mark.parametrize("name", [ARCHIVE, LABEL, MANIFEST])
    def test_what_is_put_is_there(self, store: Store, name: str) -> None:
        assert store.put_new(name, DATA) is True
        assert self.raw_read(store, name) == DATA
        assert store.get(name) == DATA
        assert store.head(name) == len(DATA)
        assert list(store.list("")) == [(name, len(DATA))]

    @pytest.mark.parametrize("name", [ARCHIVE, LABEL])
    def test_what_lies_there_is_read(self, store: Store, name: str) -> None:
        self.raw_write(store, name, DATA)
        assert store.get(name) == DATA
        assert store.head(name) == len(DATA)

    @pytest.mark.parametrize("name", [ARCHIVE, LABEL])
    def test_an_equal_object_is_fine(self, store: Store, name: str) -> None:
        self.raw_write(store, name, DATA)
        assert store.put_new(name, DATA) is False
        assert store.put_new(name, memoryview(DATA)) is False

    @pytest.mark.parametrize("other", [DATA[:-1], DATA + b"x", b"x" + DATA[1:], DATA[:-1] + b"x"])
    @pytest.mark.parametrize("name", [ARCHIVE, LABEL])
    def test_another_object_keeps_its_name(self, store: Store, name: str, other: bytes) -> None:
        self.raw_write(store, name, DATA)
        with pytest.raises(NameHeldByOtherError) as caught:
            store.put_new(name, other)
        assert caught.value.subject == f"{store.address}/{name}"
        assert self.raw_read(store, name) == DATA

    def test_a_difference_beyond_the_first_slice_is_seen(self, store: Store) -> None:
        data = bytearray(9 << 20)
        store.put_new(ARCHIVE, data)
        assert store.put_new(ARCHIVE, data) is False
        data[-1] = 1
        with pytest.raises(NameHeldByOtherError):
            store.put_new(ARCHIVE, data)

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_kind_of_bytes_is_taken_and_not_kept(
        self, store: Store, kind: Callable[[bytearray], bytes | bytearray | memoryview]
    ) -> None:
        buffer = bytearray(DATA)
        data = kind(buffer)
        store.put_new(ARCHIVE, data)
        if isinstance(data, memoryview):
            data.release()
        buffer[:] = b""  # a view that was kept would make this a BufferError
        assert store.get(ARCHIVE) == DATA

    def test_an_object_is_not_empty(self, store: Store) -> None:
        with pytest.raises(ValueError, match="at least one byte"):
            store.put_new(ARCHIVE, b"")
        assert store.head(ARCHIVE) is None

    @pytest.mark.parametrize("name", [ARCHIVE, LABEL])
    def test_what_is_empty_does_not_exist(self, store: Store, name: str) -> None:
        self.raw_write(store, name, b"")
        assert store.head(name) is None
        assert list(store.list("")) == []
        with pytest.raises(NotFoundError):
            store.get(name)
        assert store.put_new(name, DATA) is True
        assert self.raw_read(store, name) == DATA

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, None, DATA),
            (5, None, DATA[5:]),
            (0, 7, DATA[:7]),
            (100, 50, DATA[100:150]),
            (len(DATA) - 3, 10, DATA[-3:]),
            (len(DATA), 1, b""),
            (len(DATA) + 9, None, b""),
            (3, 0, b""),
            (0, 1 << 62, DATA),
        ],
    )
    def test_a_range_is_cut_at_the_end(
        self, store: Store, start: int, length: int | None, expected: bytes
    ) -> None:
        store.put_new(ARCHIVE, DATA)
        assert store.get(ARCHIVE, start, length) == expected

    @pytest.mark.parametrize(("start", "length"), [(-1, None), (0, -1)])
    def test_a_range_is_not_negative(self, store: Store, start: int, length: int | None) -> None:
        store.put_new(ARCHIVE, DATA)
        with pytest.raises(ValueError, match="range"):
            store.get(ARCHIVE, start, length)

    def test_a_buffer_is_filled_from_its_front(self, store: Store) -> None:
        store.put_new(ARCHIVE, DATA)
        buffer = bytearray(b"#" * (len(DATA) + 2))
        assert store.get_into(ARCHIVE, memoryview(buffer)) == len(DATA)
        assert buffer == DATA + b"##"

    def test_an_object_longer_than_the_buffer_is_refused(self, store: Store) -> None:
        store.put_new(ARCHIVE, DATA)
        buffer = bytearray(len(DATA) - 1)
        with pytest.raises(IntegrityError) as caught:
            store.get_into(ARCHIVE, memoryview(buffer))
        assert caught.value.code == "object-damaged"
        assert not any(buffer)

    def test_an_object_longer_than_its_name_allows_is_not_read(self, store: Store) -> None:
        """Refuse such an object (NAME-3): a caller that reads all of it has no bound. A part of it may be read."""
        data = bytes(size_max(LABEL) + 1)
        self.raw_write(store, LABEL, data)
        with pytest.raises(IntegrityError) as caught:
            store.get(LABEL)
        assert caught.value.code == "object-damaged"
        assert store.get(LABEL, 5, 7) == bytes(7)
        self.raw_write(store, LABEL, data[1:])
        assert store.get(LABEL) == data[1:]

    def test_what_is_absent_is_told(self, store: Store) -> None:
        assert store.head(ARCHIVE) is None
        assert list(store.list("archives/")) == []
        store.delete(ARCHIVE)
        for read in (store.get, lambda name: store.get_into(name, memoryview(bytearray(1)))):
            with pytest.raises(NotFoundError) as caught:
                read(ARCHIVE)
            assert caught.value.subject == f"{store.address}/{ARCHIVE}"
            assert caught.value.name == ARCHIVE

    def test_what_is_deleted_is_gone_and_may_come_again(self, store: Store) -> None:
        store.put_new(LABEL, DATA)
        store.delete(LABEL)
        assert self.raw_read(store, LABEL) is None
        assert store.head(LABEL) is None
        assert store.put_new(LABEL, b"other") is True

    def test_it_tells_when_an_object_was_written(self, store: Store) -> None:
        before = time.time()
        store.put_new(LABEL, DATA)
        written = store.written(LABEL)
        assert written is not None
        assert before - 5 < written.timestamp() < time.time() + 5
        assert store.written(ARCHIVE) is None

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_bad_names_are_refused(self, store: Store, name: str) -> None:
        for call in (store.get, store.head, store.delete, lambda name: store.put_new(name, DATA)):
            with pytest.raises(FormatError) as caught:
                call(name)
            assert caught.value.code in ("NAME-1", "NAME-2")
        assert list(store.list("")) == []

    @pytest.mark.parametrize(
        "prefix",
        [
            "/",
            "..",
            "../",
            "archives/..",
            "elsewhere/",
            "tmp/",
            "Archives/",
            "archives/x",
            "jobs/a",
            "label",
            ARCHIVE,
        ],
    )
    def test_bad_folders_are_refused(self, store: Store, prefix: str) -> None:
        with pytest.raises(FormatError):
            store.list(prefix)

    def test_a_listing_is_sorted_by_whole_names(self, store: Store) -> None:
        disks = [
            f"shipments/{MACHINE}",
            f"shipments/{MACHINE}-1",
            f"shipments/{MACHINE}-10",
            f"shipments/{MACHINE}-2",
        ]
        names = [f"{disk}/0000000001-{'ab' * 32}" for disk in disks] + [LABEL, ARCHIVE, MANIFEST]
        for name in names:
            store.put_new(name, name.encode())
        assert list(store.list("")) == sorted((name, len(name)) for name in names)

    def test_a_listing_keeps_to_its_folder(self, store: Store) -> None:
        inside = [f"manifests/{MACHINE}/{n:010d}-{'cd' * 32}" for n in range(3)]
        for name in [
            *inside,
            inside[0].replace(MACHINE, f"{MACHINE[:-1]}0"),
            inside[0].replace("manifests", "sets"),
            ARCHIVE,
        ]:
            store.put_new(name, DATA)
        expected = [(name, len(DATA)) for name in inside]
        assert list(store.list(f"manifests/{MACHINE}/")) == expected
        assert list(store.list(f"manifests/{MACHINE}")) == expected
        assert len(list(store.list("manifests/"))) == 4

    def test_foreign_files_are_passed_over(self, store: Store) -> None:
        store.put_new(ARCHIVE, DATA)
        for name in FOREIGN_NAMES:
            self.raw_write(store, name, b"not ours")
        assert list(store.list("")) == [(ARCHIVE, len(DATA))]
        assert list(store.list("archives/")) == [(ARCHIVE, len(DATA))]

    def told_as(self, name: str) -> str | None:
        """Return the name that a listing reports for a foreign file under `name`, or None if it reports nothing."""
        return name

    def test_foreign_entries_are_told_once_and_without_influence(self, store: Store) -> None:
        store.put_new(ARCHIVE, DATA)
        for name in FOREIGN_NAMES:
            self.raw_write(store, name, b"not ours")
        self.raw_write(store, LABEL, b"")
        tally = Strangers()
        assert list(store.list("", tally)) == [(ARCHIVE, len(DATA))]
        told = [found.name for found in tally.first]
        expected = {found for name in FOREIGN_NAMES if (found := self.told_as(name)) is not None}
        assert sorted(told) == sorted(expected | {LABEL})
        assert tally.count == len(told) == tally.kinds.total()
        assert [found.name for found in tally.first if found.kind == EMPTY] == [LABEL]

    def test_only_what_lies_in_the_folder_is_told(self, store: Store) -> None:
        for name in ("archives/x", "manifests/x", "x"):
            self.raw_write(store, name, b"not ours")
        tally = Strangers()
        assert list(store.list("manifests/", tally)) == []
        assert [found.name for found in tally.first] == ["manifests/x"]

    def test_what_is_set_aside_is_kept_and_never_told_again(self, store: Store) -> None:
        store.put_new(ARCHIVE, DATA)
        for name in (*FOREIGN_NAMES, LABEL):
            self.raw_write(store, name, b"not ours")
        self.raw_write(store, "archives/nothing", b"")
        tally = Strangers()
        listed = list(store.list("", tally))
        assert "archives/nothing" in [found.name for found in tally.first]
        places = [store.set_aside(found.name, found.kind) for found in tally.first]
        assert len({*places}) == len(places) == tally.count
        for found, place in zip(tally.first, places, strict=True):
            assert place.startswith("set-aside/")
            if found.kind in (FILE, EMPTY):
                assert self.raw_read(store, found.name) is None
                assert self.raw_read(store, place) == (b"" if "nothing" in found.name else b"not ours")
        again = Strangers()
        assert list(store.list("", again)) == listed
        assert again.count == 0

    def test_what_has_become_an_object_meanwhile_is_not_set_aside(self, store: Store) -> None:
        self.raw_write(store, LABEL, b"")
        tally = Strangers()
        assert list(store.list("", tally)) == []
        assert store.put_new(LABEL, DATA) is True
        (found,) = tally.first
        with pytest.raises(NotFoundError):
            store.set_aside(found.name, found.kind)
        assert store.get(LABEL) == DATA

    def test_a_name_may_be_set_aside_again_and_again(self, store: Store) -> None:
        places = []
        for data in (b"one", b"two", b"three"):
            self.raw_write(store, ARCHIVE, data)
            places.append(store.set_aside(ARCHIVE))
        assert [self.raw_read(store, place) for place in places] == [b"one", b"two", b"three"]
        with pytest.raises(NotFoundError):
            store.set_aside(ARCHIVE)
        assert store.put_new(ARCHIVE, DATA) is True

    def test_of_writers_that_race_for_a_name_one_wins(self, store: Store) -> None:
        datas = [bytes([n]) * 999 for n in range(WRITERS)]
        won = race(store, LABEL, datas)
        assert sorted(won, key=str) == [None] * (WRITERS - 1) + [True]
        assert self.raw_read(store, LABEL) == datas[won.index(True)]

    @pytest.mark.parametrize("name", [ARCHIVE, LABEL])
    def test_writers_of_equal_objects_may_race(self, store: Store, name: str) -> None:
        won = race(store, name, [DATA] * WRITERS)
        assert True in won
        assert None not in won
        assert self.raw_read(store, name) == DATA
        assert list(store.list("")) == [(name, len(DATA))]

    def test_closing_twice_is_fine(self, store: Store) -> None:
        store.close()
        store.close()
