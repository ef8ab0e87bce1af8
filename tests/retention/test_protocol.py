"""The protocol of prune as a small model, explored to the end.

The model has one object, an agent, an importer, and a prune that may be killed.

An attacker has the keys of the machine, and may add to the vault. It may add a revision of a point that needs
nothing, or an offer that says that another archive holds the records. It may also add a list or the beginning
of a sweep that was deleted since. One document of the authority may rot.

The model visits every interleaving of their steps and of the clock. A state is bad if a manifest builds upon
the object, and the object is not there.

The agent builds upon the object, needed or not. So the model does not ask why the object is there. The agent
may know it from its last point, from an older one that expires at any time, or from no point at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import pytest

from importer.upkeep import prune
from importer.vault import sweeps
from seed.session import session as work
from tests import effort


@dataclass(frozen=True)
class Rules:
    """The times of the protocol, in ticks, and its precautions.

    `grace` is the age at which a list is ripe. `reach` is the time from an agent's reading to its manifest.
    `sweep` is the time in which a sweep deletes. A waiting import takes a sweep as ended after `over`. The
    other members switch the precautions and the attacker on.
    """

    grace: int = 3
    reach: int = 2
    sweep: int = 1
    over: int = 2
    reads_again: bool = True
    import_waits: bool = True
    job_stops: bool = True
    agent_reads_lists: bool = True
    late_looks: bool = True
    earlier_revisions_count: bool = True
    only_own_copies_count: bool = True
    damage_makes_blind: bool = True
    attacked: bool = True


@dataclass(frozen=True)
class State:
    now: int = 0
    there: bool = True
    old_point: bool = True  # it needs the object, until it expires
    condemned: int | None = None  # when the list was put
    agent: Literal["idle", "builds", "signed"] = "idle"
    agent_read: int = 0
    manifest: bool = False
    importer: Literal["idle", "job", "free", "relies", "done"] = "idle"
    prune: Literal["idle", "marked", "begun", "read", "deleted"] = "idle"
    found: bool = False  # whether a document that prune read needs the object, or stops prune
    begun: int | None = None  # when a sweep began, by its document; a killed sweep leaves it
    listed: bool = False  # whether a list ever named the object: anybody may have kept that list
    revised: bool = False  # a machine's later word says that its points need nothing
    offered: bool = False  # a machine's word says that another archive holds the records
    rotten: bool = False  # the document that names the owner of the object cannot be read

    @property
    def needed(self) -> bool:
        return self.old_point or self.manifest or self.importer == "done"

    @property
    def bad(self) -> bool:
        return self.needed and not self.there


def seen_needed(s: State, rules: Rules) -> bool:
    """Return whether prune finds a need for the object, by the documents and by no machine's later word."""
    if s.rotten:
        return rules.damage_makes_blind
    if s.offered and not rules.only_own_copies_count:
        return False
    by_points = (s.old_point or s.manifest) and (rules.earlier_revisions_count or not s.revised)
    return by_points or s.importer == "done"


def attacker(s: State) -> Iterator[State]:
    """Yield the damage, and the steps of an attacker with the machine's keys that may add to the vault."""
    for what in ("revised", "offered", "rotten"):
        if not getattr(s, what):
            yield replace(s, **{what: True})  # type: ignore[arg-type]
    if s.listed and s.condemned is None and s.prune == "idle":
        yield replace(s, condemned=s.now)  # put back; the store's clock gives the time
    if s.begun is None and s.prune == "idle":
        yield replace(s, begun=s.now)


def steps(s: State, rules: Rules, end: int) -> Iterator[State]:
    if s.now < end:
        yield replace(s, now=s.now + 1)
    if s.old_point:
        yield replace(s, old_point=False)
    yield from agent(s, rules)
    yield from importer(s, rules)
    yield from pruning(s, rules)
    if rules.attacked:
        yield from attacker(s)


def agent(s: State, rules: Rules) -> Iterator[State]:
    known = s.condemned is not None and rules.agent_reads_lists
    if s.agent == "idle" and not s.manifest and s.there and not known:
        yield replace(s, agent="builds", agent_read=s.now)
    if s.agent == "builds":
        if s.now - s.agent_read <= rules.reach:
            yield replace(s, agent="idle", manifest=True)
        yield replace(s, agent="idle")  # it reads again
        yield replace(s, agent="signed")  # it was killed, or the vault went away
    if s.agent == "signed":  # the next run looks again, and puts the manifest or gives it up
        holds = (s.there or not rules.late_looks) and not known
        yield replace(s, agent="builds" if holds else "idle", agent_read=s.now)


def importer(s: State, rules: Rules) -> Iterator[State]:
    if s.importer == "idle":
        yield replace(s, importer="job")
    elif s.importer == "job":
        over = s.begun is None or s.now - s.begun > rules.over
        if over or not rules.import_waits:
            yield replace(s, importer="free")
    elif s.importer == "free":
        # It relies upon an object that it lists, and brings any other.
        yield replace(s, importer="relies") if s.there else replace(s, importer="done", there=True)
    elif s.importer == "relies":
        yield replace(s, importer="done")


def pruning(s: State, rules: Rules) -> Iterator[State]:
    job = s.importer in ("job", "free", "relies") and rules.job_stops
    if s.prune == "idle":
        if s.condemned is None and s.there:
            yield replace(s, prune="marked", found=seen_needed(s, rules))
        if s.condemned is not None:
            yield replace(s, prune="begun", begun=s.now)
        return
    yield replace(s, prune="idle")  # killed
    if s.prune == "marked":
        yield replace(s, prune="idle", condemned=None if s.found else s.now, listed=s.listed or not s.found)
    elif s.prune == "begun" and s.begun is not None and s.condemned is not None:
        ripe = s.begun - s.condemned >= rules.grace
        if not ripe or job:
            yield replace(s, prune="idle", begun=None)
        else:
            yield replace(s, prune="read", found=seen_needed(s, rules) and rules.reads_again)
    elif s.prune == "read" and s.begun is not None:
        if s.found:
            yield replace(s, prune="idle", condemned=None, begun=None)
        elif s.now - s.begun <= rules.sweep:
            yield replace(s, prune="deleted", there=False)
        else:
            yield replace(s, prune="idle", begun=None)
    elif s.prune == "deleted":
        yield replace(s, prune="idle", condemned=None, begun=None)


def explored(rules: Rules, end: int = 9) -> tuple[int, State | None]:
    """Return the number of states, and a bad one if there is any."""
    seen, todo = {State()}, [State()]
    while todo:
        state = todo.pop()
        if state.bad:
            return len(seen), state
        for following in steps(state, rules, end):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return len(seen), None


def test_nothing_that_is_needed_is_ever_deleted() -> None:
    states, bad = explored(Rules(attacked=False))
    print(f"{states:,} states")
    assert bad is None
    assert states > 5000


def test_a_machine_that_was_taken_over_and_damage_delete_nothing_either() -> None:
    states, bad = explored(Rules(), 9 if effort.NIGHTLY else 5)
    print(f"{states:,} states")
    assert bad is None
    assert states > 50_000


@pytest.mark.parametrize(
    "without",
    [
        {"reach": 3},
        {"reach": 4},
        {"grace": 1, "reach": 1},
        {"reads_again": False},
        {"import_waits": False},
        {"job_stops": False},
        {"agent_reads_lists": False},
        {"late_looks": False},
        {"over": 0},
        {"earlier_revisions_count": False},
        {"only_own_copies_count": False},
        {"damage_makes_blind": False},
    ],
    ids=str,
)
def test_each_precaution_is_needed(without: dict[str, int | bool]) -> None:
    _, bad = explored(replace(Rules(), **without), 6)  # type: ignore[arg-type]
    assert bad is not None


def test_the_code_keeps_the_model_s_order_of_times() -> None:
    assert timedelta(seconds=work.REACH) + timedelta(seconds=sweeps.SWEEP_MAX) < prune.GRACE
    assert sweeps.SWEEP_MAX < sweeps.OVER
