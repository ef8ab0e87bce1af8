"""Numbered revisions: the highest that verifies holds, whatever else lies beside it, and the rest is reported."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.envelope import SIZE_MAX, PrivateKey
from formats.documents.revisions import newest
from formats.documents.vault import Descriptor
from formats.ids import hex_digest
from formats.layout import numbered
from formats.monitor import Tally
from formats.store.memory import MemoryStore
from tests.vectors.documents import AUTHORITY, AUTHORITY_KEY, LABEL, samples

OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
_SAMPLE = samples()["descriptor"]
assert isinstance(_SAMPLE, Descriptor)
DESCRIPTOR: Descriptor = _SAMPLE


def put(store: MemoryStore, number: int, *, by: PrivateKey = AUTHORITY_KEY, named: int | None = None) -> str:
    """A revision signed by `by`, under its own number or the one it is `named` by."""
    return put_document(store, replace(DESCRIPTOR, number=number), number if named is None else named, by)


def put_document(store: MemoryStore, document: Document, number: int, by: PrivateKey = AUTHORITY_KEY) -> str:
    return put_bytes(store, envelope.sign(document, by), number)


def put_bytes(store: MemoryStore, data: bytes, number: int) -> str:
    name = numbered("descriptor", number, hex_digest(data))
    store.put_new(name, data)
    return name


def read(store: MemoryStore, key: bytes | None = AUTHORITY) -> tuple[int | None, list[tuple[str, str]]]:
    """The number that holds, and code and subject of every finding."""
    tally = Tally()
    found = newest(store, "descriptor", Descriptor, key, tally)
    if found is not None:
        assert envelope.read(found[1].data, "again").verify(Descriptor, AUTHORITY) == found[0]
    return found[0].number if found else None, [(f.code, f.subject) for f in tally.findings]


def test_of_nothing_there_is_no_newest() -> None:
    assert read(MemoryStore()) == (None, [])


@pytest.mark.parametrize("order", [(1,), (1, 2, 3), (3, 1, 2), (2, 10, 9)])
def test_the_highest_holds_by_number_and_not_by_time_or_text(order: tuple[int, ...]) -> None:
    store = MemoryStore()
    for number in order:
        put(store, number)
    assert read(store) == (max(order), [])


def test_of_two_with_one_number_the_first_by_name_holds_for_everybody() -> None:
    stores = MemoryStore(), MemoryStore()
    twins = [replace(DESCRIPTOR, region=region) for region in ("east", "west")]
    found = []
    for store, order in zip(stores, (twins, twins[::-1]), strict=True):
        for twin in order:
            put_document(store, twin, 1)
        newest_ = newest(store, "descriptor", Descriptor, AUTHORITY, Tally())
        assert newest_ is not None
        found.append(newest_[1].digest)
    assert found[0] == found[1] == min(hex_digest(envelope.sign(twin, AUTHORITY_KEY)) for twin in twins)


def test_a_forged_revision_is_passed_over_and_reported() -> None:
    store = MemoryStore()
    put(store, 1)
    forged = put(store, 2, by=OTHER_KEY)
    assert read(store) == (1, [("signature-wrong", forged)])


def test_a_damaged_revision_brings_the_one_before_back() -> None:
    store = MemoryStore()
    put(store, 1)
    name = put(store, 2)
    store.objects[name] = store.objects[name][:-5]
    assert read(store) == (1, [("DOC-1", name)])


def test_another_kind_of_document_is_passed_over() -> None:
    store = MemoryStore()
    put(store, 1)
    name = put_document(store, LABEL, 5)
    assert read(store) == (1, [("ENV-2", name)])


def test_a_name_that_lies_about_its_number_is_passed_over() -> None:
    """Else an old revision could be given the highest name by whoever can write names."""
    store = MemoryStore()
    put(store, 2)
    lying = put(store, 1, named=9)
    assert read(store) == (2, [("REV-1", lying)])


def test_what_has_no_name_of_a_revision_is_never_looked_at() -> None:
    store = MemoryStore()
    name = put(store, 1)
    store.objects["descriptor/readme"] = b"hello"
    assert read(store) == (1, [])
    store.delete(name)
    assert read(store) == (None, [])


def test_where_nothing_verifies_there_is_no_newest() -> None:
    store = MemoryStore()
    names = [put(store, number, by=OTHER_KEY) for number in (1, 2)]
    assert read(store) == (None, [("signature-wrong", name) for name in names[::-1]])


def test_the_first_look_at_a_vault_takes_the_key_that_the_document_names() -> None:
    store = MemoryStore()
    put(store, 1)
    assert read(store, None) == (1, [])
    forged = put(store, 2, by=OTHER_KEY)
    assert read(store, None) == (1, [("signature-wrong", forged)])


def test_other_prefixes_do_not_matter() -> None:
    store = MemoryStore()
    put(store, 1)
    data = envelope.sign(replace(DESCRIPTOR, number=7), AUTHORITY_KEY)
    store.put_new(numbered("credentials", 7, hex_digest(data)), data)
    assert read(store) == (1, [])


def test_an_object_too_large_is_not_read_whole() -> None:
    asked: list[int | None] = []

    class Counting(MemoryStore):
        def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
            asked.append(length)
            return super().get(name, start, length)

    store = Counting()
    put(store, 1)
    large = put_bytes(store, b" " * (SIZE_MAX + 1) + b"{}", 2)
    assert read(store) == (1, [("DOC-1", large)])
    assert asked == [SIZE_MAX + 1] * 2
