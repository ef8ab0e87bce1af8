"""The model keeps the contract, and every store has the contract's very signatures."""

import inspect

import pytest

from formats.store.contract import Store
from formats.store.local import LocalStore
from tests.memory_store import MemoryStore
from tests.store.contract import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()

    def raw_write(self, store: Store, name: str, data: bytes) -> None:
        assert isinstance(store, MemoryStore)
        store.objects[name] = data

    def raw_read(self, store: Store, name: str) -> bytes | None:
        assert isinstance(store, MemoryStore)
        return store.objects.get(name)


VERBS = [name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", [MemoryStore, LocalStore])
def test_signatures_are_the_contracts(kind: type[Store], verb: str) -> None:
    assert inspect.signature(getattr(kind, verb)) == inspect.signature(getattr(Store, verb))


def test_the_contract_has_all_verbs() -> None:
    assert VERBS == ["close", "delete", "get", "get_into", "head", "list", "put_new", "set_aside", "written"]
