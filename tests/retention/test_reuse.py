"""Content that the vault holds: no backup sends it again, and prune takes none from under a backup.

This holds after any change of the source in between.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from formats import layout
from formats.documents.retention import Condemned, RetentionRules
from formats.errors import OffseedError
from formats.ids import ChunkId
from formats.monitor import Tally
from formats.rules.retention import DAY
from importer.upkeep.prune import prune
from importer.vault.points import load_needs
from importer.vault.vault import Vault
from seed.home.home import Home
from seed.pipeline import remembered_contents as remembered
from seed.session import session as seed_work
from seed.session.session import ChangedError
from tests.effort import NIGHTLY, seeded
from tests.journeys import trees
from tests.journeys.stage import below
from tests.retention.world import HOUR, LAST, SHORT, World, media
from tests.store.faulty import FaultyStore

assert sys.platform == "linux"

MIB = 1 << 20
CATALOG = MIB // 4  # bytes: more than the catalog of these trees, less than any file that matters
THREE = RetentionRules.from_json({**SHORT.to_json(), "every": 3, "daily": 0}, "")
MONTH = RetentionRules.from_json({**SHORT.to_json(), "every": 30, "daily": 0}, "")
RACES = 5


@contextmanager
def away(source: Path) -> Iterator[None]:
    """Empty the source meanwhile, like a mount point without its mount."""
    aside = source.with_name("aside")
    source.rename(aside)
    source.mkdir()
    yield
    source.rmdir()
    aside.rename(source)


def sent(world: World, monitor: Tally | None = None) -> int:
    """Make a backup an hour later; return how many bytes of archives came into the vault."""
    world.clock.sleep(HOUR)
    before = archives(world)
    world.backup(monitor or Tally())
    return archives(world) - before


def archives(world: World) -> int:
    return sum(len(data) for name, data in world.memory.objects.items() if name.startswith("archives/"))


def check_last(world: World, target: Path) -> None:
    last = world.points()[-1]
    assert last.standing.complete
    back = below(world.restored(last.manifest.point, target), world.source)
    assert trees.differences(world.source, back) == []


@pytest.mark.parametrize("home", ["as it was", "without its cache", "without all it knew"])
def test_an_empty_source_for_once_sends_nothing_again(world: World, room: Path, home: str) -> None:
    sent(world)
    with away(world.source):
        sent(world)
        sent(world)
        world.prune()
    if home != "as it was":
        shutil.rmtree(world.home.path / "cache")
    if home == "without all it knew":
        shutil.rmtree(world.home.path / "run")
        (world.home.path / "contents").unlink(missing_ok=True)
        (world.home.path / "state.json").write_text("{}")
        world.home = Home.open(world.home.path)
    found = Tally()
    assert sent(world, found) < CATALOG
    assert found.findings == []
    check_last(world, room / "back")


def test_what_is_put_back_is_not_sent_again(world: World, room: Path) -> None:
    media(world, "large/film", 7)
    sent(world)
    for _ in range(2):
        shutil.move(world.source / "large", room / "large")
        shutil.move(world.source / "many/3", room / "3")
        (world.source / "new").write_text("new")
        assert sent(world) < CATALOG
        shutil.copytree(room / "large", world.source / "other place")
        shutil.copytree(room / "3", world.source / "other place/3")
        assert sent(world) < CATALOG
        shutil.rmtree(world.source / "other place")
        assert sent(world) < CATALOG
        shutil.move(room / "large", world.source / "large")
        shutil.move(room / "3", world.source / "many/3")
        assert sent(world) < CATALOG
    check_last(world, room / "back")


def test_back_and_forth_only_what_is_new_is_sent(world: World, room: Path) -> None:
    states = (1, 2)
    sizes = []
    for turn in range(6):
        media(world, "large/film", states[turn % 2])
        for number in range(0, 40, 2):
            data = trees.incompressible(3000, states[turn % 2] * 1000 + number)
            (world.source / f"many/1/{number}.txt").write_bytes(data)
        sizes.append(sent(world))
    assert min(sizes[:2]) > 4 * MIB
    assert max(sizes[2:]) < CATALOG
    check_last(world, room / "back")


def test_what_expires_within_two_days_is_not_built_upon(world: World, room: Path) -> None:
    world.policy(THREE)
    sent(world)
    media(world, "large/film", 7)
    sent(world)
    (world.source / "large/film").unlink()
    sent(world)
    world.prune()
    media(world, "large/film", 7)
    saved, home = world.saved(), copied(world.home.path, room / "home")
    assert sent(world) < CATALOG
    world.roll_back(saved)
    world.home = put_back(home, world.home.path)
    world.clock.sleep(DAY)
    assert sent(world) > 4 * MIB
    check_last(world, room / "back")


def copied(home: Path, to: Path) -> Path:
    shutil.copytree(home, to, symlinks=True)
    return to


def put_back(copy: Path, home: Path) -> Home:
    shutil.rmtree(home)
    shutil.copytree(copy, home, symlinks=True)
    return Home.open(home)


def test_what_prune_has_rewritten_is_built_upon_by_points_after_it(world: World, room: Path) -> None:
    """Build upon rewritten records even if the point that needs them is not the last one."""
    world.policy(LAST)
    for number in range(8):
        media(world, f"large/film {number}", number)
    sent(world)
    world.prune()
    world.policy(MONTH)
    for number in range(0, 8, 2):
        (world.source / f"large/film {number}").unlink()
    sent(world)
    with away(world.source):
        sent(world)
        world.prune()
        world.clock.sleep(2 * DAY)
        assert world.prune().rewritten > 0
        world.clock.sleep(DAY + HOUR)
        assert world.prune().deleted > 0
    found = Tally()
    assert sent(world, found) < CATALOG
    assert found.findings == []
    check_last(world, room / "back")
    assert sent(world) < CATALOG
    indexes = world.home.path / "cache/indexes"
    assert indexes.is_dir()


@pytest.mark.parametrize("spoilt", ["needs", "indexes"])
def test_a_point_that_cannot_be_read_costs_that_point_only(world: World, room: Path, spoilt: str) -> None:
    """Send only the content of the point that cannot be read.

    Of three points, each with a film of its own, the second is damaged in the vault and in the home.
    """
    sent(world)
    names = []
    for number in range(3):
        before = world.objects(spoilt)
        media(world, "large/film", number)
        sent(world)
        names.append(sorted(world.objects(spoilt) - before))
    (world.source / "large/film").unlink()
    sent(world)
    for name in names[1]:
        world.memory.objects[name] = bytes(len(world.memory.objects[name]))
        (world.home.path / "cache" / name).write_bytes(world.memory.objects[name])
    (world.home.path / "contents").unlink(missing_ok=True)
    for number, least, most in ((0, 0, CATALOG), (2, 0, CATALOG), (1, 0, 5 * MIB)):
        media(world, "large/film", number)
        assert least <= sent(world) < most, number
    check_last(world, room / "back")


def test_an_unreadable_catalog_of_an_older_point_is_a_notice(world: World, room: Path) -> None:
    data = trees.incompressible(3000, 5)
    (world.source / "many/1/comes and goes").write_bytes(data)
    before = world.objects("archives")
    sent(world)
    with away(world.source):
        sent(world)
    for name in world.objects("archives") - before:
        cached = world.home.path / "cache" / name
        if cached.exists():  # the archives of catalogs lie there
            cached.write_bytes(bytes(cached.stat().st_size))
            world.memory.objects[name] = bytes(len(world.memory.objects[name]))
            break
    (world.home.path / "contents").unlink(missing_ok=True)
    (world.source / "many/1/comes and goes").write_bytes(data)
    world.backup(Tally())
    check_last(world, room / "back")


def test_condemned_ground_costs_only_its_part_of_the_run(
    world: World, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Send only the condemned film again.

    The authority condemns a film that only an older point has, right before the last look. Another film is
    new.
    """
    sent(world)
    before = world.objects("archives")
    media(world, "large/film", 7)
    sent(world)
    of_film = world.objects("archives") - before
    (world.source / "large/film").unlink()
    sent(world)
    media(world, "large/film", 7)
    media(world, "large/new", 8)
    looks: list[int] = []
    look = seed_work.Session._look_again

    def meanwhile(*arguments: object) -> object:
        looks.append(archives(world))
        if len(looks) == 1:
            vault = world.vault
            names = tuple(sorted(of_film))
            said = Condemned(number=1, vault=vault.id, role="authority", created=0, names=names)
            vault.sign(layout.CONDEMNED, 1, said)
        return look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(seed_work.Session, "_look_again", meanwhile)
    sent(world)
    first, second = looks
    assert 4 * MIB < second - first < 4 * MIB + CATALOG, "the old film was sent, and the new one not again"
    needed = load_needs(world.memory, world.points()[-1].manifest)
    assert of_film.isdisjoint(layout.archive_name(need.archive.name) for need in needed)
    check_last(world, room / "back")


def three_points(world: World) -> None:
    """Make three points: a tree, the same with a film, and the same without it again.

    The film has archives of its own. Each point is kept for three days.
    """
    world.policy(THREE)
    sent(world)
    media(world, "large/film", 7)
    sent(world)
    (world.source / "large/film").unlink()
    sent(world)
    world.prune()


class Race:
    """A prune at one call of a backup, and another at a later call, when the condemned objects are ripe.

    The second does not run between the last look and the manifest, which are less than an hour apart.
    """

    def __init__(self, world: World, first: int, second: int) -> None:
        self.world = world
        self.at = [first, second]
        self.calls = 0
        self.pruning = False

    def __call__(self, verb: str, name: str, count: int) -> None:
        if self.pruning:
            return
        self.calls += 1
        if self.at and self.calls >= self.at[0] and not (len(self.at) == 1 and name.startswith("manifests/")):
            ripe = len(self.at) == 1
            self.at.pop(0)
            self.world.clock.sleep(DAY + HOUR if ripe else 4 * DAY)
            self.pruning = True
            prune(Vault(self.world.memory, *described(self.world)), lambda _: True, Tally())
            self.pruning = False


def described(world: World):  # type: ignore[no-untyped-def]
    vault = world.vault
    return vault.descriptor, vault.authority


def test_prune_at_any_step_of_a_backup_takes_nothing_that_it_builds_upon(
    world: World, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_points(world)
    media(world, "large/film", 7)
    (world.source / "new").write_text("new")
    monkeypatch.setattr(time, "monotonic", world.clock)
    objects, times, now = world.saved(), dict(world.memory.times), world.clock.now
    home = copied(world.home.path, room / "home")
    began_anew = 0
    changed = ChangedError.__init__

    def counted(*arguments: object) -> None:
        nonlocal began_anew
        began_anew += 1
        changed(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ChangedError, "__init__", counted)

    def race(first: int, second: int, target: Path) -> int:
        world.roll_back(objects)
        world.memory.times = dict(times)
        world.clock.now = now
        world.home = put_back(home, world.home.path)
        racing = Race(world, first, second)
        world.store = FaultyStore(world.memory, racing)
        world.backup(Tally())
        world.store = world.memory
        for _ in range(2):
            world.clock.sleep(DAY + HOUR)
            world.prune()
            assert world.complete(), (first, second)
        check_last(world, target)
        return racing.calls

    calls = race(10**9, 10**9, room / "undisturbed")
    assert began_anew == 0
    chance = seeded()
    firsts = list(range(1, calls + 1))
    draws = firsts if NIGHTLY else [*chance.sample(firsts, RACES - 2), calls - 8, calls]
    for number, first in enumerate(draws):
        race(first, first + chance.randrange(1, calls), room / f"back {number}")
        shutil.rmtree(room / f"back {number}")
    print(f"{calls} steps, {len(draws)} races, {began_anew} runs went on without their ground")
    assert began_anew > 0


def test_a_machine_that_slept_after_its_last_look_looks_again(
    world: World, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look again after the machine slept for days, while prune deleted the ground of its backup.

    The machine's monotonic clock stands still meanwhile.
    """
    three_points(world)
    media(world, "large/film", 7)
    spend = Home.spend
    slept: list[int] = []

    def asleep(*arguments: object) -> None:
        if not slept and len(arguments) == 3 and arguments[1] == 4:
            slept.append(1)
            for days in (4, 1):
                world.clock.sleep(days * DAY + HOUR)
                world.prune()
        spend(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Home, "spend", asleep)
    monitor = Tally()
    world.backup(monitor)
    assert slept
    assert any("given up" in notice for notice in monitor.notices)
    assert world.complete()
    check_last(world, room / "back")


def test_a_manifest_that_was_late_is_given_up_once_what_it_needs_was_deleted(
    world: World, room: Path
) -> None:
    """Give up a late manifest after its archives, and the list that named them, were deleted.

    The machine signed it, and the vault went away before it took the manifest. Before the next run the new
    archives were condemned and deleted.
    """
    sent(world)
    media(world, "large/film", 7)

    def gone(verb: str, name: str, _: int) -> BaseException | None:
        refused = verb == "put_new" and name.startswith("manifests/")
        return OffseedError("store-unreachable", "away") if refused else None

    world.store = FaultyStore(world.memory, gone)
    with pytest.raises(OffseedError):
        world.backup()
    world.store = world.memory
    world.clock.sleep(DAY + HOUR)
    assert world.prune().condemned > 0
    world.clock.sleep(DAY + HOUR)
    assert world.prune().deleted > 0
    assert world.objects(layout.CONDEMNED) == set()
    monitor = Tally()
    world.backup(monitor)
    assert any("given up" in notice for notice in monitor.notices)
    assert len(world.points()) == 2
    check_last(world, room / "back")


def test_a_home_asks_for_each_table_and_list_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for each table and list once.

    A home that has lost its cache asks the vault in the first run, and no more in the next.
    """
    tables: list[bytes] = []
    read = remembered._Catalogs.chunk

    def noted(catalogs: remembered._Catalogs, chunk: ChunkId) -> bytes:
        tables.append(chunk)
        return read(catalogs, chunk)

    monkeypatch.setattr(remembered._Catalogs, "chunk", noted)
    asked: list[str] = []

    def listen(verb: str, name: str, _: int) -> None:
        if verb == "get":
            asked.append(name.partition("/")[0])

    world.store = FaultyStore(world.memory, listen)
    for number in range(7):
        (world.source / f"many/1/{number}").write_bytes(trees.incompressible(3000, number))
        if number == 4:
            assert {"needs", "indexes", "manifests"}.isdisjoint(asked)
            shutil.rmtree(world.home.path / "cache")
        asked.clear()
        world.backup()
        assert ({"needs", "indexes", "manifests"} <= {*asked}) == (number == 4), number
        world.clock.sleep(HOUR)
    assert len(tables) > 7
    assert len(tables) == len({*tables})
