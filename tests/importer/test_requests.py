"""Requests to join are answered by the time at which they come, and only within that of their credential."""

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from formats.documents.credential_file import CredentialFile
from formats.monitor import Tally
from formats.store.access import Address
from importer.issuing import issue_credential
from importer.machines import answer_requests
from importer.vault import Vault, create
from seed.joining import put_request
from seed.register import Keys, make_identity


class Moved:
    """The datacenter's clock, moved by some time."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self, zone: tzinfo) -> datetime:
        return datetime.now(zone) + self._by


@pytest.fixture
def asked(tmp_path: Path) -> Vault:
    """A vault that a machine has asked to join, by a credential that is valid for the next 48 hours."""
    vault = create(tmp_path / "home", "Backups", Address(str(tmp_path / "vault")), "here", None, Tally())
    assert vault.authority is not None
    issued = issue_credential(vault, vault.authority, Tally())
    file = CredentialFile.read(issued.data, "credential")
    assert issued.document.expires > datetime.now(UTC).timestamp()
    keys = Keys.generate("a passphrase of some length, 12 words")
    put_request(vault.store, make_identity(file, "web1", keys, Address(vault.store.address)))
    return vault


@pytest.mark.parametrize("hours", [0, 47])
def test_a_request_within_the_time_of_its_credential_is_accepted(
    asked: Vault, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    monkeypatch.setattr("importer.machines.datetime", Moved(timedelta(hours=hours)))
    accepted, pending = answer_requests(asked, Tally())
    assert ([member.name for member in accepted], pending) == (["web1"], [])


@pytest.mark.parametrize(("hours", "why"), [(49, "was valid until"), (-1, "is valid from")])
def test_a_request_out_of_the_time_of_its_credential_waits_for_the_operator(
    asked: Vault, monkeypatch: pytest.MonkeyPatch, hours: int, why: str
) -> None:
    monkeypatch.setattr("importer.machines.datetime", Moved(timedelta(hours=hours)))
    accepted, (waiting,) = answer_requests(asked, Tally())
    assert accepted == []
    assert waiting.request.name == "web1"
    assert why in waiting.reason
