"""Want lists of the present lack: objects that have come are no longer wanted, and no list is repeated."""

import pytest

from formats import layout
from formats.documents.damage import Wants
from formats.ids import ArchiveName, Digest
from formats.monitor import Tally
from formats.tables.archive import ARCHIVE_SIZE_MIN
from formats.tables.holdings import Holding
from formats.tables.needs import all_of
from importer.vault.vault import Vault
from importer.vault.want_lists import Lack, publish

KEY_ID = "5" * 32
ARCHIVE = Holding(ArchiveName(bytes(32)), Digest(bytes(32)), ARCHIVE_SIZE_MIN + 1000, 1, 1)


def last(vault: Vault) -> Wants | None:
    return vault.view.newest(layout.wants_prefix(KEY_ID), Wants, vault.key, Tally())


def test_of_a_vault_that_never_lacked_anything_nothing_is_said(vault: Vault) -> None:
    publish(vault, KEY_ID, Lack(), Tally())
    assert last(vault) is None


@pytest.mark.parametrize(
    "lack", [Lack(needs=[all_of(ARCHIVE)]), Lack(objects={"needs/ab"})], ids=["records", "objects"]
)
def test_what_has_come_is_no_longer_wanted(vault: Vault, lack: Lack) -> None:
    publish(vault, KEY_ID, lack, Tally())
    first = last(vault)
    assert first is not None
    assert (first.number, first.archives, first.records) == (1, len(lack.needs), lack.records)
    assert first.objects == tuple(lack.objects)
    publish(vault, KEY_ID, Lack(), Tally())
    second = last(vault)
    assert second is not None
    assert (second.number, second.needs, second.objects, second.records) == (2, None, (), 0)


def test_nothing_is_said_twice(vault: Vault) -> None:
    for lack, number in ((Lack(needs=[all_of(ARCHIVE)]), 1), (Lack(), 2)):
        for _ in range(2):
            publish(vault, KEY_ID, lack, Tally())
            said = last(vault)
            assert said is not None
            assert said.number == number
