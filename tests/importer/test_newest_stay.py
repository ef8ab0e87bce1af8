"""Documents that a newer one has replaced: prune deletes them, and never the newest."""

import pytest

from formats import layout
from formats.documents.job import Validation
from formats.monitor import Tally
from importer.upkeep.prune import prune
from importer.vault.machines import answer_requests
from importer.vault.points import anybody
from importer.vault.want_lists import Lack, publish
from tests.importer.conftest import Asked


@pytest.mark.parametrize("revisions", [1, 2, 3])
def test_of_want_lists_and_validations_the_newest_stays(asked: Asked, revisions: int) -> None:
    vault = asked.vault
    (member,), _ = answer_requests(vault, Tally())
    wants = layout.wants_prefix(member.key_id)
    for number in range(1, revisions + 1):
        publish(vault, member.key_id, Lack(objects={f"needs/{number}"}), Tally())
        validation = Validation(
            number=number,
            vault=vault.id,
            role="authority",
            started=number,
            finished=number,
            objects=0,
            bytes=0,
            damaged=0,
            sampled=False,
        )
        vault.sign("validations", number, validation)
    prune(vault, anybody, Tally())
    for prefix in (wants, "validations"):
        assert [layout.number_of(name) for name, _ in vault.store.list(prefix)] == [revisions], prefix
