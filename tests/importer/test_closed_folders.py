"""Folders of the vault that the importer may not look into: no deletion takes them for empty ones."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from formats.documents.vault import Membership
from formats.errors import ObstructedError
from formats.ids import MachineId
from formats.monitor import Tally
from importer.vault.machines import answer_requests
from importer.vault.reachability import Needed, needed
from importer.vault.vault import Vault
from tests.importer.conftest import Asked
from tests.journeys.stage import NOBODY

if sys.platform == "win32":
    pytest.skip("Windows has other rights", allow_module_level=True)

pytestmark = pytest.mark.needs("root")
STRANGER = "57" * 16


@contextmanager
def nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def known(asked: Asked) -> dict[MachineId, Membership]:
    (member,), _ = answer_requests(asked.vault, Tally())
    return {member.machine: member}


def close(vault: Vault, name: str) -> None:
    path = Path(vault.store.address, name)
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0)


def look(vault: Vault, known: dict[MachineId, Membership]) -> tuple[Needed, Tally]:
    tally = Tally()
    with nobody():
        return needed(vault, known, {}, 0, tally), tally


@pytest.mark.parametrize(
    "name", ["manifests", "sets", "disks", "jobs", "replacements", "terms", "replacements/authority"]
)
def test_what_may_hold_anybodys_makes_prune_blind_for_all(
    asked: Asked, known: dict[MachineId, Membership], name: str
) -> None:
    close(asked.vault, name)
    found, tally = look(asked.vault, known)
    assert found.blind == {member.key_id for member in known.values()}
    assert [finding.code for finding in tally.findings] == ["prune-blind"]


@pytest.mark.parametrize("prefix", ["manifests", "sets", "disks", "replacements", "terms"])
def test_what_may_hold_a_machines_makes_prune_blind_for_it(
    asked: Asked, known: dict[MachineId, Membership], prefix: str
) -> None:
    (machine,) = known
    close(asked.vault, f"{prefix}/{machine}")
    assert look(asked.vault, known)[0].blind == {known[machine].key_id}


def test_a_strangers_closed_folders_hold_nobody_back(
    asked: Asked, known: dict[MachineId, Membership]
) -> None:
    for prefix in ("manifests", "sets", "disks", "jobs", "replacements", "terms"):
        close(asked.vault, f"{prefix}/{STRANGER}")
    found, tally = look(asked.vault, known)
    assert found.blind == set()
    assert tally.findings == []


@pytest.mark.parametrize("below", ["", f"/{STRANGER}"])
def test_where_memberships_may_lie_nothing_is_decided(
    asked: Asked, known: dict[MachineId, Membership], below: str
) -> None:
    close(asked.vault, f"machines{below}")
    with pytest.raises(ObstructedError):
        look(asked.vault, known)
