"""Points that their machine doubts: they wait, take no other point's place, and push none out.

The tests check laws of the policy, and the real code of both sides.
"""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.documents.retention import RetentionRules
from formats.ids import PointId
from formats.monitor import Tally
from formats.rules.retention import DAY, Claim, RetentionTerms, admit, expiring
from seed.backup.backup import BackupOptions, BackupResult, backup, prepare
from seed.backup.doubting import FEW
from seed.home.doubt_records import FILE, UsualItems, confirm
from seed.home.home import LeftOut
from tests.journeys import trees
from tests.journeys.stage import below, kept
from tests.retention.test_policy import RULE_SETS, START, YEARS, ZONES
from tests.retention.world import HOUR, LAST, World

assert sys.platform == "linux"

MARKED = st.lists(st.tuples(st.integers(START - DAY, START + YEARS), st.booleans()), min_size=1, max_size=40)


def marked(times: list[tuple[int, bool]], first: int = 1) -> list[Claim]:
    return [
        Claim(PointId(f"{n:032x}"), n, created, doubted) for n, (created, doubted) in enumerate(times, first)
    ]


def good(claims: list[Claim]) -> list[Claim]:
    return [claim for claim in claims if not claim.doubted]


@given(RULE_SETS, ZONES, MARKED, MARKED)
def test_doubted_points_change_no_term_of_another(
    rules: RetentionRules, zone: int, times: list[tuple[int, bool]], more: list[tuple[int, bool]]
) -> None:
    """Change no term of another point, by any policy and any clock, however often the importer admits."""
    now = START + YEARS
    first, second = marked(times), marked(more, len(times) + 1)
    before = admit(rules, zone, [], first, now)
    after = admit(rules, zone, before, second, now + DAY)
    alone = admit(rules, zone, [], good(first), now)
    alone_after = admit(rules, zone, alone, good(second), now + DAY)
    assert [t for t in (*before, *after) if not t.doubted] == [*alone, *alone_after]


@given(RULE_SETS, ZONES, MARKED, st.integers(0, 100 * 365 * DAY))
def test_a_doubted_point_is_no_reason_to_let_a_good_one_go(
    rules: RetentionRules, zone: int, times: list[tuple[int, bool]], later: int
) -> None:
    claims = marked(times)
    terms = admit(rules, zone, [], claims, START + YEARS)
    found, now = RetentionTerms({term.point: term for term in terms}), START + YEARS + later
    whole = [(claim.point, claim.sequence) for claim in claims]
    partial = [(PointId("f" * 32), len(claims))]
    doubted = {claim.point for claim in claims if claim.doubted}
    gone = set(expiring(found, whole, partial, now, doubted))
    alone = [item for item in whole if item[0] not in doubted]
    assert gone - doubted <= set(expiring(found, alone, partial, now))
    if alone:
        assert alone[-1][0] not in gone
    else:
        assert gone == set(), "a machine that doubts everything loses nothing"


@given(RULE_SETS, ZONES, MARKED)
def test_a_doubted_point_waits_until_a_good_one_follows(
    rules: RetentionRules, zone: int, times: list[tuple[int, bool]]
) -> None:
    claims = marked(times)
    last = max((claim.sequence for claim in good(claims)), default=0)
    terms = {term.point: term for term in admit(rules, zone, [], claims, START + YEARS)}
    for claim in claims:
        assert (claim.point in terms) == (not claim.doubted or claim.sequence < last)
        if claim.point in terms:
            assert bool(terms[claim.point].doubted) == claim.doubted


def test_a_doubted_point_stands_in_only_where_there_is_no_good_one() -> None:
    rules = RetentionRules.from_json({**LAST.to_json(), "every": 0, "daily": 10}, "here")
    days = [START, START + DAY, START + DAY + HOUR, START + 2 * DAY]
    claims = marked(list(zip(days, [False, True, True, False], strict=True)))
    earned = {t.sequence: t.earned for t in admit(rules, 0, [], claims, days[-1])}
    assert earned == {1: ("daily",), 2: ("daily",), 3: (), 4: ("daily",)}
    same = marked([(START, False), (START + HOUR, True), (START + 2 * HOUR, False)])
    earned = {t.sequence: t.earned for t in admit(rules, 0, [], same, days[-1])}
    assert earned == {1: ("daily",), 2: (), 3: ()}
    morning = marked([(START, True), (START + HOUR, False)])
    earned = {t.sequence: t.earned for t in admit(rules, 0, [], morning, days[-1])}
    assert earned == {1: (), 2: ("daily",)}, "the good one has the day, though it came later"


# The real code of both sides


@pytest.fixture
def items(world: World) -> tuple[Path, Path]:
    """Return two items; the first is the world's source."""
    other = world.folder / "other"
    other.mkdir()
    for number in range(2 * FEW):
        (other / f"{number:03}").write_bytes(b"content")
    return world.source, other


def run(
    world: World, *paths: Path, left_out: LeftOut | None = None, once: bool = False
) -> tuple[BackupResult, Tally]:
    told = Tally()
    scope = prepare(world.home, list(map(str, paths)), left_out or LeftOut(), told, once=once)
    return backup(world.home, scope, world.store, BackupOptions(level=1), told), told


def reasons(done: tuple[BackupResult, Tally]) -> list[tuple[str, str]]:
    """Return the doubted items, each with the last part of its path and the reason.

    Checks that the run reports the same doubts as it signs.
    """
    backed, told = done
    assert bool(backed.manifest.doubted) == bool(backed.doubts)
    assert len(backed.doubts) == sum(f.code == "item-doubted" for f in told.findings)
    return sorted((d.item.rpartition(b"/")[2].decode(), d.why) for d in backed.doubts)


def emptied(folder: Path) -> Path:
    """Move all content of a folder aside, as if it was not mounted; return its new place."""
    aside = folder.with_name(folder.name + ".aside")
    folder.rename(aside)
    folder.mkdir()
    return aside


def back(folder: Path, aside: Path) -> None:
    folder.rmdir()
    aside.rename(folder)


def test_an_empty_item_pushes_no_good_point_out(world: World, items: tuple[Path, Path], room: Path) -> None:
    source, _ = items
    world.policy(LAST)
    first, _ = run(world, *items)
    before = kept(source, room, "before")
    world.prune()
    aside = emptied(source)
    for _ in range(4):
        world.clock.sleep(DAY)
        assert reasons(run(world)) == [("source", "empty")]
        world.sweep()
    assert [bool(p.manifest.doubted) for p in world.points()] == [False, *[True] * 4]
    restored = world.restored(first.manifest.point, room / "back")
    assert trees.differences(before, below(restored, source)) == []

    back(source, aside)
    world.clock.sleep(DAY)
    done = run(world)
    assert reasons(done) == []
    world.sweep()
    assert [p.manifest.point for p in world.points()] == [done[0].manifest.point], "the doubt is over"
    assert world.complete()


def test_three_runs_over_seven_days_end_a_doubt(world: World, items: tuple[Path, Path]) -> None:
    source, _ = items
    run(world, *items)
    emptied(source)
    seen = []
    for pause in (0, 2, 2, 2, 1, 1):
        world.clock.sleep(pause * DAY)
        done = run(world)
        seen.append(reasons(done))
    assert seen == [[("source", "empty")]] * 4 + [[], []], "on the seventh day, not before"
    world.prune()
    assert world.home.state.usual == world.points()[-1].manifest.point


def test_two_runs_are_too_few_however_far_apart(world: World, items: tuple[Path, Path]) -> None:
    run(world, *items)
    emptied(items[0])
    assert reasons(run(world)) == [("source", "empty")]
    world.clock.sleep(400 * DAY)
    assert reasons(run(world)) == [("source", "empty")]


def test_a_state_that_gets_worse_begins_anew(world: World, items: tuple[Path, Path]) -> None:
    _, other = items
    run(world, *items)
    for number in range(FEW + 1):
        (other / f"{number:03}").unlink()
    assert reasons(run(world)) == [("other", "shrank")]
    world.clock.sleep(8 * DAY)
    assert reasons(run(world)) == [("other", "shrank")]
    for path in list(other.iterdir()):
        path.unlink()
    world.clock.sleep(DAY)
    done = run(world)
    assert reasons(done) == [("other", "empty")]
    assert done[0].doubts[0].runs == 1


def test_what_is_confirmed_is_doubted_no_more(world: World, items: tuple[Path, Path]) -> None:
    run(world, *items)
    emptied(items[0])
    assert reasons(run(world)) == [("source", "empty")]
    assert [d.why for d in confirm(world.home)] == ["empty"]
    assert confirm(world.home) == ()
    done = run(world)
    assert reasons(done) == []
    assert UsualItems.of(world.home).doubts == ()
    (items[0] / "one").write_bytes(b"1")
    assert reasons(run(world)) == []


@pytest.mark.parametrize("forgetful", [False, True], ids=["by the home", "by the catalog"])
def test_of_several_items_the_right_one_is_doubted(
    world: World, items: tuple[Path, Path], forgetful: bool
) -> None:
    """Doubt the right one of several items, even if the home remembers nothing.

    The catalog of the last good point then tells the content of the items.
    """
    source, other = items

    def forget() -> None:
        if forgetful:
            (world.home.path / FILE).unlink()

    run(world, *items)
    forget()
    aside = emptied(source)
    assert reasons(run(world)) == [("source", "empty")]
    forget()
    for path in other.iterdir():
        path.unlink()
    assert reasons(run(world)) == [("other", "empty"), ("source", "empty")]
    forget()
    back(source, aside)
    done = run(world)
    assert reasons(done) == [("other", "empty")]
    assert done[0].doubts[0].runs == 2


def test_a_folder_that_became_a_file_is_doubted_and_one_that_is_gone(
    world: World, items: tuple[Path, Path]
) -> None:
    _, other = items
    run(world, *items)
    aside = emptied(other)
    other.rmdir()
    other.write_bytes(b"")
    assert reasons(run(world)) == [("other", "empty")]
    other.unlink()
    aside.rename(other)
    assert reasons(run(world)) == []


@pytest.mark.parametrize("forgetful", [False, True], ids=["by the home", "by the catalog"])
def test_what_is_left_out_on_purpose_is_told_and_is_no_doubt(
    world: World, items: tuple[Path, Path], forgetful: bool
) -> None:
    run(world, *items)
    if forgetful:
        (world.home.path / FILE).unlink()
    pattern = LeftOut(excludes=(b"/**/other/*",))
    done = run(world, left_out=pattern)
    assert reasons(done) == []
    assert any("left out now" in notice for notice in done[1].notices)
    emptied(items[0])
    assert reasons(run(world)) == [("source", "empty")], "that no pattern explains"


def test_caches_that_are_left_out_now_are_no_doubt(world: World, items: tuple[Path, Path]) -> None:
    _, other = items
    (other / "zcache").mkdir()
    for number in range(5 * FEW):
        (other / f"zcache/{number}").write_bytes(b"1")
    (other / "zcache/CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
    run(world, *items)
    assert reasons(run(world, left_out=LeftOut(exclude_caches=True))) == []
    for path in list(other.iterdir())[: 2 * FEW]:
        if path.is_file():
            path.unlink()
    assert reasons(run(world)) == [("other", "shrank")]


def test_what_moved_to_another_item_is_not_gone(world: World, items: tuple[Path, Path]) -> None:
    source, other = items
    run(world, *items)
    (source / "new").mkdir()
    for path in list(other.iterdir())[3:]:
        path.rename(source / "new" / path.name)
    assert reasons(run(world)) == []
    for path in (source / "new").iterdir():
        path.rename(other / path.name)
    run(world)
    for path in list(other.iterdir())[3:]:
        path.unlink()
    assert reasons(run(world)) == [("other", "shrank")]


def test_items_that_are_no_longer_backed_up_are_no_doubt(world: World, items: tuple[Path, Path]) -> None:
    run(world, *items)
    emptied(items[1])
    world.home.save_state(type(world.home.state)())
    assert reasons(run(world, items[0])) == []


def test_a_backup_of_other_paths_between_hides_nothing(world: World, items: tuple[Path, Path]) -> None:
    """Doubt an emptied item even after a backup of other paths, with or without the home's memory."""
    source, other = items
    run(world, source)
    run(world, other, once=True)
    aside = emptied(source)
    assert reasons(run(world)) == [("source", "empty")]
    (world.home.path / FILE).unlink()
    assert reasons(run(world)) == [("source", "empty")]
    back(source, aside)
    emptied(other)
    assert reasons(run(world, other, once=True)) == [("other", "empty")]
    assert reasons(run(world)) == []


def test_a_first_backup_of_an_empty_folder_is_none(world: World, items: tuple[Path, Path]) -> None:
    emptied(items[1])
    assert reasons(run(world, *items)) == []
    assert reasons(run(world)) == []
