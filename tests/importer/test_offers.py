"""Offers for lost archives: the importer signs them while their machine is a member, and no longer."""

import pytest

from formats import layout
from formats.documents import envelope
from formats.documents.damage import ArchiveRow, Replaced, Replacement
from formats.ids import ChunkId, KeyId, digest, hex_digest
from formats.monitor import Tally
from formats.rules.replacements import replacements
from formats.tables.archive import CONTENT_CLASS, Archive, ArchiveBuilder
from formats.tables.index import CONTENT, record_digest
from formats.tables.sections import Section, encode_objects
from importer.vault.machines import answer_requests, revoke
from importer.vault.vault import Vault, members
from importer.vault.want_lists import accept_offers
from tests.importer.conftest import Asked

RECORD = bytes(range(100))


def archive(key_id: str, salt: int) -> Archive:
    """Return an archive of one record; with another salt it has another name."""
    builder = ArchiveBuilder(
        bytearray(1000), CONTENT_CLASS, KeyId(bytes.fromhex(key_id)), salt=bytes([salt]) * 16
    )
    builder.add(CONTENT, ChunkId(bytes(32)), RECORD, record_digest(RECORD))
    return builder.finish()


def offer(asked: Asked) -> None:
    """Put an archive with the same record as a lost one, and the machine's offer of it."""
    vault, identity = asked.vault, asked.identity
    key_id = identity.master.key_id.hex()
    lost, made = archive(key_id, 1), archive(key_id, 2)
    for data in encode_objects([Section.of(lost), Section.of(made)]):
        vault.store.put_new(layout.index_name(digest(data)), data)
    vault.store.put_new(layout.archive_name(made.name), made.data)
    rows = (ArchiveRow.of(Section.of(each).archive) for each in (lost, made))
    document = Replacement(
        vault=vault.id,
        key_id=key_id,
        role="machine",
        copied=False,
        created=0,
        replaced=(Replaced(archive=next(rows), by=next(rows), held=b"\1"),),
    )
    signed = envelope.sign(document, identity.signing_key)
    name = layout.numbered(layout.offers_prefix(identity.machine), 1, hex_digest(signed))
    vault.store.put_new(name, signed)


def signed_ones(vault: Vault) -> list[Replacement]:
    return [document for _, document in replacements(vault.store, layout.REPLACEMENTS, vault.key, Tally())]


@pytest.mark.parametrize("revoked", [False, True], ids=["a member", "a revoked machine"])
def test_an_offer_counts_while_its_machine_is_a_member(asked: Asked, revoked: bool) -> None:
    vault, told = asked.vault, Tally()
    answer_requests(vault, told)
    known = members(vault, told)
    offer(asked)
    if revoked:
        revoke(vault, known, asked.identity.machine, told)
    accept_offers(vault, known, told)
    assert told.findings == []
    assert [len(document.replaced) for document in signed_ones(vault)] == ([] if revoked else [1])
