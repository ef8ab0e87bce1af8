"""A store in memory: the model for all other stores. Safe for threads."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from formats.errors import NameHeldByOtherError, NotFoundError
from formats.layout import check_name, is_name
from formats.store.contract import Octets, check_whole, folder_of, octets, overlong, span
from formats.store.foreign import EMPTY, FILE, SET_ASIDE, Foreign, Passed


class MemoryStore:
    """A `contract.Store` in one dictionary, `objects`, which tests may alter.

    `times` are the times of the writes.
    """

    def __init__(self, address: str = "memory") -> None:
        self.address = address
        self.objects: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        self._lock = threading.Lock()

    def put_new(self, name: str, data: Octets) -> bool:
        check_name(name)
        with octets(data) as view:
            new = bytes(view)
        with self._lock:
            held = self.objects.get(name)
            if not held:
                self.objects[name] = new
                self.times[name] = time.time()
                return True
            if held != new:
                raise NameHeldByOtherError(name, self.address)
            return False

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        held = self._held(name)
        check_whole(name, len(held), length, self.address)
        begin, end = span(len(held), start, length)
        return held[begin:end]

    def get_into(self, name: str, buffer: memoryview) -> int:
        held = self._held(name)
        if len(held) > len(buffer):
            raise overlong(name, self.address)
        buffer[: len(held)] = held
        return len(held)

    def head(self, name: str) -> int | None:
        check_name(name)
        return len(self.objects.get(name, b"")) or None

    def list(self, prefix: str, passed: Passed | None = None) -> Iterator[tuple[str, int]]:
        return self._list(folder_of(prefix), passed)

    def _list(self, folder: str, passed: Passed | None) -> Iterator[tuple[str, int]]:
        with self._lock:
            sizes = {name: len(data) for name, data in self.objects.items()}
        for name, size in sorted(sizes.items()):
            if (folder and not name.startswith(f"{folder}/")) or name.startswith(f"{SET_ASIDE}/"):
                continue
            if size and is_name(name):
                yield name, size
            elif passed is not None:
                passed(Foreign(name, FILE if size else EMPTY, written=self.times.get(name, 0.0)))

    def written(self, name: str) -> datetime | None:
        check_name(name)
        if not self.objects.get(name):
            return None
        return datetime.fromtimestamp(self.times.get(name, 0), UTC)

    def delete(self, name: str) -> None:
        check_name(name)
        self.objects.pop(name, None)

    def set_aside(self, name: str, kind: str | None = None) -> str:
        place = f"{SET_ASIDE}/{os.urandom(8).hex()}/{name}"
        with self._lock:
            held = self.objects.get(name)
            if held is None or kind not in (None, FILE if held else EMPTY):
                raise NotFoundError(name, self.address)
            self.objects[place] = self.objects.pop(name)
        return place

    def close(self) -> None:
        """Do nothing: no handle is held."""

    def _held(self, name: str) -> bytes:
        held = self.objects.get(check_name(name))
        if not held:
            raise NotFoundError(name, self.address)
        return held
