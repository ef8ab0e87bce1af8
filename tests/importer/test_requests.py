"""Requests to join: the importer accepts them only if they come within the time of their credential."""

import time

import pytest

from formats import layout
from formats.errors import VaultError
from formats.ids import hex_digest
from formats.monitor import Tally
from formats.store.clock import SystemClock
from importer.vault.machines import answer_requests
from importer.vault.redundancy import set_redundancy
from importer.vault.vault import Vault
from tests.importer.conftest import Asked


class Moved(SystemClock):
    """The datacenter's clock, moved by some hours."""

    def __init__(self, hours: int) -> None:
        self._by = hours * 3600

    def now(self) -> float:
        return super().now() + self._by


@pytest.mark.parametrize("hours", [0, 47])
def test_a_request_within_the_time_of_its_credential_is_accepted(asked: Asked, hours: int) -> None:
    asked.vault.clock = Moved(hours)
    accepted, pending = answer_requests(asked.vault, Tally())
    assert ([member.name for member in accepted], pending) == (["web1"], [])


@pytest.mark.parametrize(("hours", "why"), [(49, "was valid until"), (-1, "is valid from")])
def test_a_request_out_of_the_time_of_its_credential_waits_for_the_operator(
    asked: Asked, hours: int, why: str
) -> None:
    asked.vault.clock = Moved(hours)
    accepted, (waiting,) = answer_requests(asked.vault, Tally())
    assert accepted == []
    assert waiting.request.name == "web1"
    assert why in waiting.reason


def test_the_redundancy_is_fixed_from_the_moment_a_machine_asks(asked: Asked) -> None:
    with pytest.raises(VaultError) as caught:
        set_redundancy(asked.vault, "local", Tally())
    assert caught.value.code == "redundancy-locked"


def test_what_is_no_request_fixes_no_redundancy(vault: Vault) -> None:
    vault.store.put_new(layout.numbered("requests", 1, hex_digest(b"junk")), b"junk")
    assert set_redundancy(vault, "local", Tally()).descriptor.redundancy == "local"


def test_large_documents_among_the_requests_cost_nothing(asked: Asked) -> None:
    """Parse no large document among the requests; each would take a third of a second in every command."""
    for number in range(40):
        junk = b'{"payload":"","payloadType":"x","signatures":[' + b"[]," * 600_000 + b"%d]}" % number
        asked.vault.store.put_new(layout.numbered("requests", 1, hex_digest(junk)), junk)
    began = time.monotonic()
    accepted, _ = answer_requests(asked.vault, Tally())
    assert time.monotonic() - began < 3
    assert [member.name for member in accepted] == ["web1"]


@pytest.mark.parametrize("size", [1, layout.size_max("requests/0000000001-" + "0" * 64) + 1])
def test_junk_among_the_requests_stops_no_answer(asked: Asked, size: int) -> None:
    junk = b"x" * size
    asked.vault.store.put_new(layout.numbered("requests", 1, hex_digest(junk)), junk)
    told = Tally()
    accepted, pending = answer_requests(asked.vault, told)
    assert ([member.name for member in accepted], pending) == (["web1"], [])
    assert len(told.findings) == 1
