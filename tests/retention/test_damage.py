"""Damage that causes no deletion: if any object is flipped, cut or gone, restorable points stay restorable.

Each cell damages one object. It then validates, imports a disk again, and prunes three times, a day apart.
The passphrase alone opens afterwards all points that it opened before, from the vault alone. For Linux.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats import layout
from formats.errors import OffseedError
from formats.ids import HexDigest, hex_digest
from formats.monitor import Tally
from formats.rules.retention import DAY
from formats.tables.index import CATALOG
from importer.upkeep.validate import ValidationScope, validate
from importer.vault.registers import accept_loss, lost_of
from seed.points.layered_store import LayeredStore
from seed.points.machine_keys import unlock
from seed.points.point_reader import PointReader
from seed.points.points import points as readable
from tests import effort
from tests.crash import test_in_memory
from tests.journeys import trees
from tests.journeys.stage import PASSPHRASE, Copy, Stage
from tests.retention.world import HOUR, LAST, Clock, World, media, three_of_four_go

assert sys.platform == "linux"

HOW = ("flipped", "cut", "gone")
SAMPLE = 40  # cells of the fast part


@pytest.fixture
def grown(copy_of: Copy, opened: Stage, room: Path) -> Iterator[tuple[World, Path]]:
    """Yield a world with a seed that came on a disk and three points after it, and the disk.

    The first points have expired, with archives that only they need. A register lists everything. The disk is
    still there.
    """
    stage, source = copy_of(opened), trees.varied_tree(room / "source")
    stage.export(source)
    stage.run("importer", "points", "--vault", stage.at)  # this accepts the machine
    clock = Clock(1_800_000_000)
    with clock.shown():
        world = World(stage, source, clock)
        test_in_memory.importing(stage.disk)(world.vault)
        world.policy(LAST)
        for number in (1, 2, 3):
            media(world, "large/changing", number)
            world.backup()
            world.prune()
            clock.sleep(2 * DAY)
        yield world, stage.disk


def damaged(data: bytes, how: str) -> bytes | None:
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return {"flipped": flipped, "cut": data[:middle], "gone": None}[how]


class Restorable:
    """The points that the passphrase alone opens, with all of their catalog and only whole archives."""

    def __init__(self) -> None:
        self._whole: dict[int, tuple[bytes, bool]] = {}  # by `id` of the bytes, which the entry keeps alive

    def points(self, world: World) -> set[str]:
        union, found = LayeredStore([world.memory]), set[str]()
        try:
            machines = unlock(union, PASSPHRASE, None, Tally())
        except OffseedError:
            return set()
        for point in readable(union, machines, Tally()):
            try:
                reader = PointReader(union, point, Tally())
                for row in reader.page_rows():
                    reader.chunk(row.segment, CATALOG)
                names = [layout.archive_name(need.archive.name) for need in reader.needs]
            except OffseedError:
                continue
            if all(self._is_whole(name, world.memory.objects.get(name)) for name in names):
                found.add(point.manifest.point)
        return found

    def _is_whole(self, name: str, data: bytes | None) -> bool:
        if data is None:
            return False
        if id(data) not in self._whole:
            self._whole[id(data)] = data, layout.is_name_of(name, HexDigest(hex_digest(data)))
        return self._whole[id(data)][1]


def test_no_damage_deletes(grown: tuple[World, Path]) -> None:
    world, disk = grown
    restorable = Restorable()
    saved, times, began = world.saved(), dict(world.memory.times), world.clock.now
    cells = [(name, how) for name in sorted(saved) for how in HOW]
    chosen = cells if effort.NIGHTLY else cells[:: max(1, len(cells) // SAMPLE)]
    world.sweep()
    assert len(saved.keys() - world.memory.objects.keys()) > 3, (
        "something is deleted where nothing is damaged"
    )
    for name, how in chosen:
        world.roll_back(saved)
        world.memory.times, world.clock.now = dict(times), began
        data = damaged(saved[name], how)
        if data is None:
            del world.memory.objects[name]
        else:
            world.memory.objects[name] = data
        before = restorable.points(world)
        try:
            validate(world.vault, ValidationScope(), Tally())
            test_in_memory.importing(disk)(world.vault)
            for _ in range(3):
                world.prune()
                world.clock.sleep(DAY + HOUR)
        except OffseedError as error:
            assert error.code == "vault-damaged", f"{name} {how}: {error}"
        after = restorable.points(world)
        assert before <= after, (
            f"{name} was {how}, and {len(before - after)} of {len(before)} points are gone"
        )
        if layout.is_copied(name) and not name.startswith("manifests/"):
            assert world.memory.objects.get(name) == saved[name], f"{name} was {how}, and not healed"
    print(len(chosen), "cells of", len(cells))


def test_a_vault_without_members_is_not_taken_for_one_that_needs_nothing(grown: tuple[World, Path]) -> None:
    world, _ = grown
    for name in list(world.memory.objects):
        if name.startswith(("machines/", "copies/machines/", "registers/", "copies/registers/")):
            del world.memory.objects[name]
    before = Restorable().points(world)
    archives = world.objects("archives")
    assert before
    world.sweep()
    assert Restorable().points(world) == before
    assert world.objects("archives") == archives


def test_what_is_left_of_a_manifest_in_its_second_place_keeps_what_came_with_it(world: World) -> None:
    """Keep the archives of a point if only a damaged copy of its manifest is left.

    The manifest is gone and its copy is flipped, before an importer has seen either of them. The machine can
    send the point again only if its archives are there.
    """
    world.backup()
    world.prune()
    before = world.objects("manifests")
    world.clock.sleep(DAY)
    media(world, "large/new", 9)
    world.backup()
    (name,) = world.objects("manifests") - before
    copy, there = layout.copy_name(name), world.objects("archives")
    flipped = damaged(world.memory.get(copy), "flipped")
    assert flipped is not None
    world.memory.delete(name)
    world.memory.delete(copy)
    world.memory.put_new(copy, flipped)
    for _ in range(3):
        world.clock.sleep(DAY + HOUR)
        world.prune()
    assert there <= world.objects("archives")


def test_terms_that_rot_right_after_they_were_signed_are_missed(world: World) -> None:
    """Notice the loss of terms that rot in both places right after they were signed.

    Otherwise the point would be admitted anew, under the shorter policy that holds by now.
    """
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    (kept,) = world.points()
    (name,) = world.objects("terms")
    for place in (name, layout.copy_name(name)):
        flipped = damaged(world.memory.get(place), "flipped")
        assert flipped is not None
        world.memory.delete(place)
        world.memory.put_new(place, flipped)
    world.policy(LAST)
    (world.source / "large/one").unlink()
    world.clock.sleep(DAY)
    world.backup()
    there = world.objects("archives")
    for _ in range(5):
        world.clock.sleep(DAY + HOUR)
        world.prune()
    assert kept.manifest.point in [point.manifest.point for point in world.points()]
    assert there <= world.objects("archives")


@pytest.mark.parametrize("index", [None, 0, 1, 2])
@pytest.mark.parametrize("how", HOW)
def test_what_stands_in_stays_though_the_word_that_says_so_is_damaged(
    world: World, how: str, index: int | None
) -> None:
    """Keep an archive that replaces another, even if the document that says so is damaged.

    Prune has copied the live records into a new archive and deleted the old one. One document names the
    records of the new archive. The damage may also hit one of the index objects that lead to the same
    records.
    """
    three_of_four_go(world)
    for _ in range(5):
        world.clock.sleep(DAY + HOUR)
        world.prune()
    (name,) = world.objects(layout.REPLACEMENTS)
    there = world.objects("archives")
    indexes = [] if index is None else sorted(world.objects("indexes"))[index : index + 1]
    for place in (name, *indexes):
        changed = damaged(world.memory.get(place), how)
        world.memory.delete(place)
        if changed:
            world.memory.put_new(place, changed)
    for _ in range(4):
        world.clock.sleep(DAY + HOUR)
        world.prune()
    assert there <= world.objects("archives")
    assert index is not None or world.complete()


@pytest.mark.parametrize("how", HOW)
def test_what_is_accepted_as_lost_holds_nothing_back(world: World, how: str) -> None:
    """Hold nothing back after the operator has accepted a manifest as lost.

    Both places of the manifest of a point with a term are damaged. Prune is blind until the operator's word,
    and no longer.
    """
    world.policy(LAST)
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    machine = world.home.identity.machine
    (name,) = world.objects(layout.manifest_prefix(machine))
    (world.source / "large/one").unlink()
    world.clock.sleep(HOUR)
    world.backup()
    world.prune()
    for place in (name, layout.copy_name(name)):
        changed = damaged(world.memory.get(place), how)
        world.memory.delete(place)
        if changed:
            world.memory.put_new(place, changed)
    world.clock.sleep(3 * DAY)
    assert world.prune().blind == ("web1",)
    assert lost_of(world.vault, machine) == [name]
    accept_loss(world.vault, machine, [name])
    assert world.prune().blind == ()
    world.clock.sleep(DAY + HOUR)
    assert world.prune().deleted > 0
    assert world.complete()
