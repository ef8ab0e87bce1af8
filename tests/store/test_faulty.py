"""The wrapper that injects faults keeps the contract while it injects none, and fails exactly as it is told."""

import pytest

from formats.errors import MediaError
from formats.ids import digest
from formats.layout import archive_name
from formats.store.contract import Store
from tests.memory_store import MemoryStore
from tests.store.contract import ARCHIVE, DATA, StoreContract
from tests.store.faulty import Died, FaultyStore, dies_at, fails_at, io_error


class TestFaultyStore(StoreContract):
    behind = MemoryStore()

    @pytest.fixture
    def store(self) -> Store:
        self.behind = MemoryStore()
        return FaultyStore(self.behind)

    def raw_write(self, store: Store, name: str, data: bytes) -> None:
        self.behind.objects[name] = data

    def raw_read(self, store: Store, name: str) -> bytes | None:
        return self.behind.objects.get(name)


def test_it_dies_at_a_write_and_stays_dead() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, dies_at(2))
    other = archive_name(digest(b"other"))
    assert store.put_new(ARCHIVE, DATA)
    for _ in range(3):
        with pytest.raises(Died):
            store.put_new(other, b"other")
    with pytest.raises(Died):
        store.get(ARCHIVE)
    assert list(inner.objects) == [ARCHIVE]


def test_it_fails_so_many_times() -> None:
    store = FaultyStore(MemoryStore(), fails_at(1, io_error(ARCHIVE), times=2))
    for _ in range(2):
        with pytest.raises(MediaError):
            store.put_new(ARCHIVE, DATA)
    assert store.put_new(ARCHIVE, DATA)


def test_what_is_read_is_spoilt() -> None:
    def rot(name: str, start: int, data: bytes) -> bytes | None:
        return None if start else bytes([data[0] ^ 1]) + data[1:]

    store = FaultyStore(MemoryStore(), spoil=rot)
    store.put_new(ARCHIVE, DATA)
    assert store.get(ARCHIVE) == bytes([DATA[0] ^ 1]) + DATA[1:]
    with pytest.raises(MediaError):
        store.get(ARCHIVE, 5, 5)
