"""No damage deletes: any object of a vault is flipped, cut or gone, and what could be restored before can be afterwards. For Linux."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats import layout
from formats.errors import OffseedError
from formats.monitor import Tally
from formats.retention import DAY
from importer.validate import Extent, validate
from tests import effort
from tests.retention.world import HOUR, LAST, World, media

assert sys.platform == "linux"

HOW = ("flipped", "cut", "gone")


@pytest.fixture
def grown(world: World) -> World:
    """Three points of which the first has expired, and archives that only it needs; all is registered."""
    world.policy(LAST)
    for number in (1, 2, 3):
        media(world, "large/changing", number)
        world.backup()
        world.prune()
        world.clock.sleep(2 * DAY)
    return world


def damaged(data: bytes, how: str) -> bytes | None:
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return {"flipped": flipped, "cut": data[:middle], "gone": None}[how]


def cells(world: World) -> Iterator[tuple[str, str]]:
    for name in sorted(world.memory.objects):
        for how in HOW:
            yield name, how


def restorable(world: World) -> set[str]:
    """The archives of all points that the master key alone opens, and that are whole: nothing of the authority is asked."""
    return {name for name in world.memory.objects if name.startswith("archives/")}


def test_no_damage_deletes(grown: World) -> None:
    world = grown
    saved, began = world.saved(), world.clock.now
    found = list(cells(world))
    chosen = found if effort.NIGHTLY else found[:: max(1, len(found) // 24)]
    world.sweep()
    swept = set(world.memory.objects)
    needless = {name for name in saved if name.startswith("archives/") and name not in swept}
    assert needless, "something is deleted where nothing is damaged"
    for name, how in chosen:
        world.roll_back(saved)
        world.clock.now = began
        data = damaged(saved[name], how)
        if data is None:
            del world.memory.objects[name]
        else:
            world.memory.objects[name] = data
        before = restorable(world) - {name} - needless
        try:
            validate(world.vault, Extent(), Tally())
            for _ in range(3):
                world.prune()
                world.clock.sleep(DAY + HOUR)
        except OffseedError as error:
            assert error.code == "vault-damaged", f"{name} {how}: {error}"
        lost = before - set(world.memory.objects)
        assert not lost, f"{name} was {how}, and {len(lost)} archives are gone: {sorted(lost)[:3]}"
        if layout.is_copied(name) and name in saved:
            assert world.memory.objects.get(name) == saved[name] or name.startswith("manifests/"), (
                f"{name} was {how}, and not healed"
            )


def test_a_vault_without_members_is_not_taken_for_one_that_needs_nothing(grown: World, room: Path) -> None:
    world = grown
    for name in list(world.memory.objects):
        if name.startswith(("machines/", "copies/machines/", "registers/", "copies/registers/")):
            del world.memory.objects[name]
    before = restorable(world)
    world.sweep()
    assert restorable(world) == before
