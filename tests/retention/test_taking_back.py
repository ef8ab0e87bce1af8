"""Lost files that are taken back, with the real code of both sides over a vault in memory.

Archives vanish from the vault and come back.
"""

import copy
import shutil
import sys
from pathlib import Path

import pytest

from formats.layout import need_name
from formats.monitor import Tally
from formats.store.local import LocalStore
from formats.tables.archive import CONTENT_CLASS, parse
from importer.vault.points import manifests
from importer.vault.vault import members
from importer.vault.want_lists import mend
from seed.backup.backup import BackupResult
from seed.home.home import Home
from seed.repair.repair import RepairResult, repair
from seed.repair.want_list import newest_wants
from seed.revision.recovered_files import take_back
from seed.session.session import Session
from tests.journeys import trees
from tests.journeys.stage import below, kept
from tests.memory_store import MemoryStore
from tests.retention.world import World, media
from tests.store.faulty import Died, FaultyStore, dies_at

assert sys.platform == "linux"


class Losing:
    """Three points; the second and the third have one more film each.

    `films` holds the archives of these films, and `before` is the source as the third point has it. The films
    are gone from the source.
    """

    def __init__(self, world: World, room: Path) -> None:
        self.world = world
        world.backup()
        self.films: list[dict[str, bytes]] = []
        for number in (1, 2):
            there = world.objects("archives")
            media(world, f"film {number}", number)
            world.backup()
            new = {name: world.memory.objects[name] for name in world.objects("archives") - there}
            self.films.append({n: d for n, d in new.items() if parse(d, n).archive_class == CONTENT_CLASS})
        assert [len(film) for film in self.films] == [1, 1]
        self.before = kept(world.source, room, "before")
        for number in (1, 2):
            (world.source / f"film {number}").unlink()

    def lose(self, number: int) -> None:
        """Let the vault lose a film, and let the machine answer the want list that the film is lost."""
        for name in self.films[number - 1]:
            self.world.memory.delete(name)
        self.repair()

    def repair(self, monitor: Tally | None = None) -> RepairResult:
        world = self.world
        mend(world.vault, Tally())
        with Session.open(world.home, world.store, monitor or Tally()) as session:
            return repair(session, [], 1, newest_wants(world.home, world.store, Tally()))

    def bring_back(self, number: int) -> None:
        self.world.memory.objects |= self.films[number - 1]

    @property
    def lost(self) -> list[int]:
        """The number of lost files of each point."""
        assert self.world.complete()
        return [point.manifest.totals.lost for point in self.world.points()]

    @property
    def revisions(self) -> list[int]:
        return [point.manifest.revision for point in self.world.points()]


@pytest.fixture
def losing(world: World, room: Path) -> Losing:
    return Losing(world, room)


def files_of(backed: BackupResult | RepairResult) -> list[int]:
    return [taken.files for taken in backed.taken_back]


def test_what_comes_back_is_whole_again_also_after_prune(losing: Losing, room: Path) -> None:
    losing.lose(2)
    assert losing.lost == [0, 0, 1]
    losing.bring_back(2)
    losing.world.sweep()
    second = losing.world.points()[2].manifest.point
    told = Tally()
    assert files_of(losing.world.backup(told)) == [1]
    assert f"1 file of point {second[:8]} that counted as lost is back" in told.notices
    assert (losing.lost, losing.revisions) == ([0, 0, 0, 0], [1, 1, 3, 1])
    losing.world.sweep()
    target = losing.world.restored(second, room / "target")
    assert trees.differences(losing.before, below(target, losing.world.source)) == []


def test_the_same_catalog_and_needs_are_taken(losing: Losing) -> None:
    first = losing.world.points()[2].manifest
    losing.lose(2)
    losing.bring_back(2)
    there = losing.world.objects("archives")
    assert files_of(losing.repair()) == [1]
    again = losing.world.points()[2].manifest
    assert (again.needs, again.totals) == (first.needs, first.totals)
    assert losing.world.objects("archives") == there


def test_a_damaged_object_under_one_of_its_names_is_told_and_waits(losing: Losing) -> None:
    """Report a damaged object under the name of a needed one.

    The importer must remove the object first. Until then the repair does all else.
    """
    name = need_name(bytes.fromhex(losing.world.points()[2].manifest.needs))
    losing.lose(2)
    losing.bring_back(2)
    whole = losing.world.memory.objects[name]
    losing.world.memory.objects[name] = whole[:-1]
    told = Tally()
    assert files_of(losing.repair(told)) == []
    assert [(f.code, name in f.detail) for f in told.findings] == [("name-held", True)]
    losing.world.memory.objects[name] = whole
    assert files_of(losing.repair()) == [1]


def test_a_part_that_comes_back_is_taken_back_and_then_the_rest(losing: Losing) -> None:
    losing.lose(1)
    losing.lose(2)
    assert (losing.lost, losing.revisions) == ([0, 1, 2], [1, 2, 3])
    losing.bring_back(1)
    assert files_of(losing.world.backup()) == [1, 1]
    assert losing.lost[:3] == [0, 0, 1]
    losing.bring_back(2)
    assert files_of(losing.repair()) == [1]
    assert (losing.lost[:3], losing.revisions[:3]) == ([0, 0, 0], [1, 3, 5])


def test_where_the_first_revision_is_gone_the_one_after_it_gives_what_it_names(losing: Losing) -> None:
    losing.lose(1)
    losing.lose(2)
    world, third = losing.world, losing.world.points()[2].manifest.point
    (member,) = members(world.vault, Tally()).values()
    gone = [
        signed.digest
        for manifest, signed in manifests(world.vault, member, Tally())
        if (manifest.point, manifest.revision) == (third, 1)
    ]
    with LocalStore.open(str(world.home.path / "cache")) as cache:
        for store in (world.memory, cache):
            for name, _ in list(store.list("manifests")):
                if any(name.endswith(digest) for digest in gone):
                    store.delete(name)
    losing.bring_back(1)
    losing.bring_back(2)
    assert files_of(world.backup()) == [1, 1]
    assert losing.lost[:3] == [0, 0, 1], "the second revision names the second film, and no longer the first"


def test_junk_under_the_name_is_not_taken_for_it(losing: Losing) -> None:
    losing.lose(2)
    ((name, whole),) = losing.films[1].items()
    losing.world.memory.objects[name] = bytes(len(whole))
    told = Tally()
    assert files_of(losing.world.backup(told)) == []
    assert any(name in finding.subject for finding in told.findings)
    assert losing.lost[2] == 1
    losing.bring_back(2)
    assert files_of(losing.world.backup()) == [1]


def test_what_was_tried_in_vain_is_tried_again_only_once_something_changes(losing: Losing) -> None:
    """Try again only after a change in the vault.

    The first film was made again. The return of its old archive gives back nothing of the second film.
    """
    world = losing.world
    shutil.copy2(losing.before / "film 1", world.source)
    losing.lose(1)
    losing.lose(2)
    assert losing.lost == [0, 0, 1]
    losing.bring_back(1)
    (first,) = losing.films[0]
    read: list[str] = []

    def noted(verb: str, name: str, count: int) -> None:
        if verb == "get":
            read.append(name)

    def asked() -> int:
        read.clear()
        with Session.open(world.home, FaultyStore(world.memory, noted), Tally()) as session:
            assert take_back(session, session.points(), 1) == ()
        return read.count(first)

    assert asked() > 0
    assert asked() == 0
    losing.bring_back(2)
    assert files_of(world.backup()) == [1]


def test_it_does_not_ask_the_vault_where_no_file_is_lost(losing: Losing) -> None:
    world = losing.world

    def refused(verb: str, name: str, count: int) -> BaseException | None:
        return AssertionError(f"{verb} {name}") if ready else None

    ready = False
    with Session.open(world.home, FaultyStore(world.memory, refused), Tally()) as session:
        found = session.points()
        ready = True
        assert take_back(session, found, 1) == ()


def test_it_writes_nothing_where_nothing_is_back(losing: Losing) -> None:
    losing.lose(2)
    store = FaultyStore(losing.world.memory)
    with Session.open(losing.world.home, store, Tally()) as session:
        assert take_back(session, session.points(), 1) == ()
    assert store.count == 0
    losing.bring_back(2)
    with Session.open(losing.world.home, store, Tally()) as session:
        assert len(take_back(session, session.points(), 1)) == 1
    done = store.count
    with Session.open(losing.world.home, store, Tally()) as session:
        assert take_back(session, session.points(), 1) == ()
    assert store.count == done > 0


def test_where_it_dies_before_any_write_the_same_command_goes_on(losing: Losing, room: Path) -> None:
    losing.lose(1)
    losing.lose(2)
    losing.bring_back(1)
    world, spare = losing.world, room / "spare"
    shutil.copytree(world.home.path, spare)
    before = copy.copy(world.memory.objects)

    def begin_again() -> None:
        shutil.rmtree(world.home.path)
        shutil.copytree(spare, world.home.path)
        world.home = Home.open(world.home.path)
        world.memory = MemoryStore("vault")
        world.memory.objects = copy.copy(before)
        world.store = world.memory

    def run(number: int) -> int:
        begin_again()
        store = FaultyStore(world.memory, dies_at(number) if number else None)
        world.store = store
        try:
            world.backup()
        except Died:
            world.store = world.memory
            world.home = Home.open(world.home.path)
            world.backup()
        world.store = world.memory
        assert losing.lost[:3] == [0, 0, 1], number
        assert losing.revisions[:3] == [1, 3, 4], number
        return store.count

    for number in range(1, run(0) + 1):
        run(number)
