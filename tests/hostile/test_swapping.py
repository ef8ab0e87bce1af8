"""A disk with files that somebody exchanges between any two reads of an import, each time in another way.

The importer has checked a name once. The bytes that it puts into the vault later must still be the very bytes
that it checked.
"""

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from formats import layout
from formats.errors import OffseedError
from formats.ids import HexDigest, hex_digest
from formats.monitor import Tally
from formats.store.local import LocalStore
from importer.vault.points import points
from importer.vault.receipts import receipts
from tests.crash import test_in_memory
from tests.journeys.stage import Copy, Stage
from tests.memory_store import MemoryStore

assert sys.platform == "linux"

Exchange = Callable[[str, bytes], bytes]


class Disk:
    """The reads of a disk's files; the read of a `number` gets the bytes that `exchange` makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.count = 0
        self.number = 0
        self.lasting = False
        self.exchange: Exchange = lambda _, data: data
        get, get_into, at = LocalStore.get, LocalStore.get_into, str(folder)

        def read(store: LocalStore, name: str, start: int = 0, length: int | None = None) -> bytes:
            data = get(store, name, start, length)
            return self.seen(name, data) if store.address.startswith(at) else data

        def read_into(store: LocalStore, name: str, buffer: memoryview) -> int:
            size = get_into(store, name, buffer)
            if store.address.startswith(at):
                data = self.seen(name, bytes(buffer[:size]))[: len(buffer)]
                buffer[: len(data)] = data
                return len(data)
            return size

        monkeypatch.setattr(LocalStore, "get", read)
        monkeypatch.setattr(LocalStore, "get_into", read_into)

    def seen(self, name: str, data: bytes) -> bytes:
        self.count += 1
        due = self.count >= self.number if self.lasting else self.count == self.number
        return self.exchange(name, data) if self.number and due else data


def exchanges(folder: Path) -> dict[str, Exchange]:
    """Return the exchanges of a file: damage, and another genuine object of its kind."""
    kinds: dict[str, list[bytes]] = defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        kinds[path.relative_to(folder).parts[0]].append(path.read_bytes())
    return {
        "a bit": lambda _, data: data[:-1] + bytes([data[-1] ^ 1]),
        "less": lambda _, data: data[: len(data) // 2],
        "another": lambda name, data: next((o for o in kinds[name.split("/")[0]] if o != data), data[::-1]),
    }


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", ["a bit", "less", "another"])
def test_what_was_checked_is_what_is_put(
    copy_of: Copy, exported: Stage, monkeypatch: pytest.MonkeyPatch, kind: str, lasting: bool
) -> None:
    stage = copy_of(exported)
    vault, before = test_in_memory.in_memory(stage)
    disk = Disk(monkeypatch, stage.disk)
    work = test_in_memory.importing(stage.disk)

    def run() -> MemoryStore:
        store = test_in_memory.anew(vault, before)
        disk.count = 0
        try:
            work(test_in_memory.over(vault, store))
        except OffseedError:
            pass  # a refusal, by name
        return store

    def standing(store: MemoryStore) -> list[bool]:
        """Return for each point whether it has all that it needs.

        The records are in its archives, or saved one by one into others.
        """
        return [point.standing.complete for point in points(test_in_memory.over(vault, store), Tally())]

    expected = test_in_memory.content(run().objects)
    reads = disk.count
    assert reads > 15
    assert len(expected) > len(test_in_memory.content(before))
    disk.exchange, disk.lasting = exchanges(stage.seeded)[kind], lasting
    for number in range(1, reads + 1):
        disk.number = number
        store = run()
        for name, data in test_in_memory.content(store.objects).items():
            if name.startswith(("archives/", "indexes/", "needs/")) and name not in expected:
                assert layout.is_name_of(name, HexDigest(hex_digest(data))), f"{name}, at read {number}"
            else:
                # A set document without a readable manifest lies under the number 0.
                assert data in expected.values(), f"{name}, at read {number}"
        disk.number = 0
        if any(receipt.whole for receipt in receipts(test_in_memory.over(vault, store), Tally())):
            assert standing(store) == [True], f"called whole, at read {number}"
        work(test_in_memory.over(vault, store))
        assert standing(store) == [True], f"not healed, after read {number}"
