"""The custody chain of a disk: each step follows the one before, by any signer, and a break of it is reported."""

import threading
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from formats import layout
from formats.documents import envelope
from formats.documents.custody import STEPS_MAX, Custody
from formats.documents.envelope import raw_public
from formats.errors import FormatError
from formats.ids import MachineId, SetId, VaultId
from formats.monitor import Tally
from formats.rules import custody
from formats.rules.custody import Chain, DiskKey, add, to_json, words
from tests.memory_store import MemoryStore

KEYS = {role: Ed25519PrivateKey.generate() for role in ("machine", "authority")}
OTHER = Ed25519PrivateKey.generate()
DISK = DiskKey(
    VaultId("1" * 32), MachineId("2" * 32), SetId("3" * 32), 7, {r: raw_public(k) for r, k in KEYS.items()}
)


def draft(at: int, role: str = "machine", event: str | None = None, disk: DiskKey = DISK) -> Custody:
    event = event or ("sent" if role == "machine" else "received")
    return Custody(
        vault=disk.vault,
        machine=disk.machine,
        set=disk.set,
        number=disk.number,
        step=1,
        role=role,
        event=event,
        at=at,
        noted=at + 5,
        generation=1,
        whole=False,
    )


def tell(store: MemoryStore, step: Custody, monitor: Tally | None = None) -> Chain:
    """Add the step unless the chain holds it."""

    def lacking(chain: Chain) -> Custody | None:
        return None if any(s.at == step.at for s in chain.steps) else step

    return add(store, DISK, KEYS[step.role], monitor or Tally(), lacking)


def told(count: int) -> MemoryStore:
    store = MemoryStore()
    for at in range(1, count + 1):
        tell(store, draft(at, "machine" if at % 2 else "authority"))
    return store


def read(store: MemoryStore) -> tuple[list[int], list[str]]:
    """Return the times of the believed steps, and the subjects of the findings about the others."""
    tally = Tally()
    chain = Chain.read(store, DISK, tally)
    assert {finding.code for finding in tally.findings} <= {"custody-broken"}
    return [step.at for step in chain.steps], [finding.subject for finding in tally.findings]


def name(step: int) -> str:
    return layout.custody_name(DISK.prefix, step)


@given(st.lists(st.sampled_from(["machine", "authority"]), max_size=12))
def test_what_is_told_is_read_in_its_order(roles: list[str]) -> None:
    store = MemoryStore()
    for at, role in enumerate(roles):
        tell(store, draft(at, role))
    assert read(store) == ([*range(len(roles))], [])
    chain = Chain.read(store, DISK, Tally())
    assert [step.step for step in chain.steps] == [*range(1, len(roles) + 1)]
    for at, role in enumerate(roles):
        assert tell(store, draft(at, role)) == chain, "nothing is told twice"


def test_of_many_who_tell_at_once_one_comes_after_the_other() -> None:
    store = MemoryStore()
    threads = [
        threading.Thread(target=tell, args=(store, draft(at, "machine" if at % 2 else "authority")))
        for at in range(1, 25)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ats, broken = read(store)
    assert sorted(ats) == [*range(1, 25)]
    assert broken == []


@pytest.mark.parametrize(
    ("deed", "believed", "broken"),
    [
        ("take the first away", [2, 3, 4], [2]),
        ("take one away", [1, 3, 4], [3]),
        ("take the last away", [1, 2, 3], []),  # nobody can see that
        ("flip a bit", [1, 3, 4], [3]),
        ("swap two", [1, 4], [4]),
        ("of another disk", [1, 3, 4], [3]),
        ("by another key", [1, 3, 4], [3]),
        ("not for the machine to say", [1, 3, 4], [3]),
        ("not for the authority to say", [1, 3, 4], [3]),
        ("very long", [1, 3, 4], [3]),
        ("put another in its place", [1, 99, 3, 4], [3]),
    ],
)
def test_a_chain_that_was_tampered_with_is_told_and_the_rest_believed(
    deed: str, believed: list[int], broken: list[int]
) -> None:
    store = told(4)
    objects = store.objects
    second = envelope.read(objects[name(2)], "").peek(Custody)
    if deed == "take the first away":
        del objects[name(1)]
    elif deed == "take one away":
        del objects[name(2)]
    elif deed == "take the last away":
        del objects[name(4)]
    elif deed == "flip a bit":
        objects[name(2)] = objects[name(2)].replace(b'"sig":"', b'"sig":"A', 1)
    elif deed == "swap two":
        objects[name(2)], objects[name(3)] = objects[name(3)], objects[name(2)]
    elif deed == "of another disk":
        objects[name(2)] = envelope.sign(replace(second, number=8), KEYS["authority"])
    elif deed == "not for the machine to say":
        objects[name(2)] = envelope.sign(replace(second, role="machine", event="erasable"), KEYS["machine"])
    elif deed == "not for the authority to say":
        objects[name(2)] = envelope.sign(replace(second, event="sent"), KEYS["authority"])
    elif deed == "very long":
        objects[name(2)] = envelope.sign(replace(second, extra={"x": "y" * 9000}), KEYS["authority"])
    elif deed == "by another key":
        objects[name(2)] = envelope.sign(second, OTHER)
    else:
        objects[name(2)] = envelope.sign(replace(second, at=99), KEYS["authority"])
    assert read(store) == (believed, [name(step) for step in broken])


def test_rubbish_in_the_way_stops_nobody() -> None:
    store = told(2)
    for step in (3, 4, 6):
        store.objects[name(step)] = b"rubbish"
    store.objects[f"{DISK.prefix}/elsewhere"] = b"rubbish"
    store.objects[name(STEPS_MAX + 1)] = store.objects[name(STEPS_MAX + 2)] = b"rubbish"
    tell(store, draft(3))
    tell(store, draft(4, "authority"))
    ats, broken = read(store)
    assert ats == [1, 2, 3, 4]
    assert broken == []
    tally = Tally()
    Chain.read(store, DISK, tally)
    assert tally.notices == [f"{DISK.prefix}: 5 objects without a step of this disk; passed over"]


def test_what_could_not_be_read_again_is_not_signed() -> None:
    store = MemoryStore()
    with pytest.raises(FormatError):
        tell(store, replace(draft(1), note="two\nlines"))
    assert store.objects == {}


def test_where_every_name_is_taken_it_is_told_and_nothing_fails() -> None:
    store, tally = told(1), Tally()
    for step in range(2, STEPS_MAX + 1):
        store.objects[name(step)] = b"rubbish"
    chain = tell(store, draft(2), tally)
    assert [step.at for step in chain.steps] == [1]
    assert tally.findings[-1].code == "custody-broken"
    assert "no room" in tally.findings[-1].detail


def test_people_read_it() -> None:
    step = replace(draft(0, "authority", "imported"), whole=True, carrier="DHL", tracking="00", note="wet")
    assert words(step).endswith("  imported whole by DHL, 00 (wet)")
    assert words(replace(step, whole=False, carrier=None, tracking=None, note=None)).endswith(
        "  imported, not whole"
    )
    assert to_json(step)["by"] == "authority"


def test_steps_of_one_second_are_told_as_they_follow_on_each_other() -> None:
    """Order steps of one second as they follow on each other: a disk's papers are noted at its import."""
    noted = ("sent", "received", "written", "closed", "verified", "imported", "erasable")
    steps = [replace(draft(1), event=event) for event in noted]
    said = [line.partition("  ")[2] for line in custody.told(steps)]
    assert said == [
        "label written", "closed", "verified", "sent", "received", "imported, not whole", "may be erased",
    ]  # fmt: skip
    later = [replace(draft(9), event="written"), replace(draft(1), event="erasable")]
    assert [line.partition("  ")[2] for line in custody.told(later)] == ["may be erased", "label written"]
