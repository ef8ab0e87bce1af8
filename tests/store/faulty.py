"""A store that fails as it is told: at which call, how, and for how long. Without a plan it keeps the contract."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime

from formats.errors import MediaError, StoreError
from formats.store.contract import Octets, Store
from formats.store.foreign import Passed

MUTATING = ("put_new", "delete", "set_aside")


class Died(BaseException):
    """The end of the process: it has no effect from here on."""


Plan = Callable[[str, str, int], BaseException | None]


def dies_at(number: int) -> Plan:
    """Return a plan that dies before the n-th call that changes anything, and at each call after it."""

    def plan(verb: str, name: str, count: int) -> BaseException | None:
        return Died() if count >= number else None

    return plan


def fails_at(number: int, error: BaseException, *, times: int = 1) -> Plan:
    """Return a plan by which so many calls that change anything fail, from the n-th on."""

    def plan(verb: str, name: str, count: int) -> BaseException | None:
        return error if number <= count < number + times else None

    return plan


class BreaksAt:
    """A plan: the n-th call of any kind finds no connection, once. It counts the calls; at 0 none fails."""

    def __init__(self, number: int) -> None:
        self.calls = 0
        self.error = unreachable("vault")
        self._number = number

    def __call__(self, verb: str, name: str, count: int) -> BaseException | None:
        self.calls += 1
        return self.error if self.calls == self._number else None


def io_error(name: str) -> MediaError:
    return MediaError("io-error", "the medium reports an error", subject=name)


def unreachable(name: str) -> StoreError:
    return StoreError("store-unreachable", "the storage service cannot be reached", subject=name)


class FaultyStore:
    """A wrapper of a store, which fails by a plan.

    `plan` is asked before every call: it gets the verb, the name and the number of calls so far that change anything,
    this one included. The exception that it returns is raised. `spoil` may alter the bytes that are read: bit rot, or a
    bad sector (None).
    """

    def __init__(
        self,
        store: Store,
        plan: Plan | None = None,
        spoil: Callable[[str, int, bytes], bytes | None] | None = None,
    ) -> None:
        self.address = store.address
        self.count = 0
        self._store = store
        self._plan = plan
        self._spoil = spoil
        self._lock = threading.Lock()

    def put_new(self, name: str, data: Octets) -> bool:
        self._meet("put_new", name)
        return self._store.put_new(name, data)

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        self._meet("get", name)
        return self._read(name, start, self._store.get(name, start, length))

    def get_into(self, name: str, buffer: memoryview) -> int:
        self._meet("get_into", name)
        size = self._store.get_into(name, buffer)
        buffer[:size] = self._read(name, 0, bytes(buffer[:size]))
        return size

    def head(self, name: str) -> int | None:
        self._meet("head", name)
        return self._store.head(name)

    def list(self, prefix: str, passed: Passed | None = None) -> Iterator[tuple[str, int]]:
        self._meet("list", prefix)
        return self._store.list(prefix, passed)

    def written(self, name: str) -> datetime | None:
        self._meet("written", name)
        return self._store.written(name)

    def delete(self, name: str) -> None:
        self._meet("delete", name)
        self._store.delete(name)

    def set_aside(self, name: str, kind: str | None = None) -> str:
        self._meet("set_aside", name)
        return self._store.set_aside(name, kind)

    def close(self) -> None:
        self._store.close()

    def _meet(self, verb: str, name: str) -> None:
        with self._lock:
            self.count += verb in MUTATING
            error = self._plan(verb, name, self.count) if self._plan is not None else None
        if error is not None:
            raise error

    def _read(self, name: str, start: int, data: bytes) -> bytes:
        if self._spoil is None:
            return data
        spoilt = self._spoil(name, start, data)
        if spoilt is None:
            raise io_error(name)
        return spoilt
