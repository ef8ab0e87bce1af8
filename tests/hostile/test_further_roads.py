"""Roads of a seventh attack: names that the importer will need, false indexes, strangers' replacements, clocks.

The roles: a stranger with the right to create objects in a vault, a registered machine with its keys, and a clock
that is wrong. For Linux.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.damage import ArchiveRow, Replaced, Replacement
from formats.documents.vault import Slots
from formats.ids import ArchiveName, Digest, HexDigest, digest, fingerprint, hex_digest
from formats.monitor import Tally
from formats.rules.retention import DAY
from formats.store.access import Address
from formats.store.clock import SystemClock
from formats.store.contract import Octets
from formats.tables import needs
from formats.tables.archive import parse
from formats.tables.holdings import Holding
from formats.tables.needs import bitmap, of_bits
from formats.tables.sections import Section, encode_objects
from importer.upkeep.validate import ValidationScope, validate
from importer.vault.points import points
from importer.vault.vault import recreate
from importer.vault.want_lists import mend
from seed.home.home import Home
from tests.crash import test_in_memory
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, backup, below
from tests.memory_store import MemoryStore
from tests.retention.world import HOUR, World, media, three_of_four_go

assert sys.platform == "linux"

from tests.retention.conftest import world  # noqa: E402, F401  a fixture

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NO_ROWS = b"\x01" * 120  # two rows that no index can have


def put_signed(
    store: MemoryStore, prefix: str, number: int, document: Document, key: Ed25519PrivateKey
) -> None:
    data = envelope.sign(document, key)
    store.put_new(layout.numbered(prefix, number, hex_digest(data)), data)


# A registered machine names an archive with an index that cannot be.


def name_an_archive_without_rows(world: World, bits: int, *, there: bool) -> None:  # noqa: F811
    """Sign a revision of the only point that needs such an archive; `there`: put junk under its name, too."""
    data = b"\x07" * 4096
    holding = Holding(ArchiveName(digest(data)), Digest(digest(NO_ROWS)), len(data), 2, 1)
    for part in encode_objects([Section(holding, NO_ROWS)]):
        world.memory.put_new(layout.index_name(digest(part)), part)
    if there:
        world.memory.put_new(layout.archive_name(holding.name), data)
    root, buckets = needs.encode([of_bits(holding, bits)])
    for part in (root, *buckets.values()):
        world.memory.put_new(layout.need_name(digest(part)), part)
    (point,) = world.points()
    lie = replace(point.manifest, revision=point.manifest.revision + 1, needs=HexDigest(hex_digest(root)))
    put_signed(
        world.memory,
        layout.manifest_prefix(lie.machine),
        lie.sequence,
        lie,
        world.home.identity.signing_key,
    )


@pytest.mark.parametrize(("bits", "there"), [(3, False), (1, True)], ids=["lacking", "mostly dead"])
def test_an_index_that_cannot_be_stops_no_command(world: World, bits: int, there: bool) -> None:  # noqa: F811
    """Role: machine. `importer points`, `import`, `validate` and `prune` end with IDX-2 for everybody."""
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    name_an_archive_without_rows(world, bits, there=there)
    for _ in range(3):
        world.clock.sleep(DAY + HOUR)
        mend(world.vault, Tally())
        world.prune()


# Anybody takes names that the importer will need.


def foreseen(world: World, work: Callable[[], object]) -> dict[str, bytes]:  # noqa: F811
    """Return the archives and indexes that the importer is about to put, as a reader of the vault computes them."""
    saved, times, now = world.saved(), dict(world.memory.times), world.clock.now
    assert world._vault.authority is not None
    seen = world._vault.authority.home / "seen"
    shutil.copytree(seen, seen.with_name("seen-kept"), dirs_exist_ok=True)
    work()
    made = {
        name: data
        for name, data in world.memory.objects.items()
        if name not in saved and name.startswith(("archives/", "indexes/"))
    }
    world.memory.objects, world.memory.times, world.clock.now = saved, times, now
    shutil.rmtree(seen)
    shutil.copytree(seen.with_name("seen-kept"), seen)
    return made


@pytest.mark.parametrize("prefix", ["archives/", "indexes/"])
def test_junk_under_the_names_of_compacted_archives_does_not_stop_prune(world: World, prefix: str) -> None:  # noqa: F811
    """Role: anybody. Every later prune ends with name-held, before it condemns anything of anybody."""
    three_of_four_go(world)
    for _ in range(6):
        world.clock.sleep(DAY + HOUR)
        made = foreseen(world, world.prune)
        if any(name.startswith("archives/") for name in made):
            break
        world.prune()
    for name in (name for name in made if name.startswith(prefix)):
        world.memory.put_new(name, b"junk")
    assert world.prune().rewritten > 0


@pytest.mark.parametrize("prefix", ["archives/", "indexes/"])
def test_junk_under_the_names_of_saved_records_does_not_stop_validate(world: World, prefix: str) -> None:  # noqa: F811
    """Role: anybody, beside one flipped bit. Every later validate ends with name-held at that archive."""
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    name = max(world.objects("archives"), key=lambda name: len(world.memory.objects[name]))
    data = bytearray(world.memory.objects[name])
    data[100] ^= 1
    world.memory.objects[name] = bytes(data)
    made = foreseen(world, lambda: validate(world.vault, ValidationScope(), Tally()))
    for name in (name for name in made if name.startswith(prefix)):
        world.memory.put_new(name, b"junk")
    assert validate(world.vault, ValidationScope(), Tally()).records_saved > 0


def test_junk_under_the_name_of_a_table_does_not_stop_a_shipment(lived: Stage, room: Path) -> None:
    """Role: anybody. `importer export` ends with name-held until a validate."""
    lived.run("importer", "points", "--vault", lived.at)
    (room / "twin").mkdir()
    twin = lived.copy(room / "twin")
    twin.run("importer", "export", "latest", "--to", twin.disk, "--vault", twin.at)
    for path in (twin.vault / "holdings").rglob("*"):
        if path.is_file():
            place = lived.vault / path.relative_to(twin.vault)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"junk")
    lived.run("importer", "export", "latest", "--to", lived.disk, "--vault", lived.at)


class Raced(MemoryStore):
    """A store in which somebody is quicker once: junk takes a name below `prefix` before its writer."""

    def __init__(self, store: MemoryStore, prefix: str) -> None:
        super().__init__(store.address)
        self.objects, self.times = store.objects, store.times
        self.prefix, self.left = prefix, 1

    def put_new(self, name: str, data: Octets) -> bool:
        if self.left and name.startswith(self.prefix) and not self.objects.get(name):
            self.left -= 1
            super().put_new(name, b"junk")
        return super().put_new(name, data)


def test_junk_that_comes_during_an_import_does_not_stop_it(copy_of: Copy, exported: Stage) -> None:
    """Role: a stranger that sees the job. The names in the post are known; each run of the import ends at the next one."""
    stage = copy_of(exported)
    vault, before = test_in_memory.in_memory(stage)
    store = Raced(test_in_memory.anew(vault, before), "archives/")
    test_in_memory.importing(stage.disk)(test_in_memory.over(vault, store))
    assert store.left == 0
    found = points(test_in_memory.over(vault, store), Tally())
    assert [point.standing.complete for point in found] == [True]


def test_a_squatted_copy_does_not_fail_the_backup(world: World) -> None:  # noqa: F811
    """Role: a stranger that sees the manifest come. The point is there, and its backup ends with name-held."""
    world.backup()
    world.clock.sleep(HOUR)
    world.memory = Raced(world.memory, "copies/manifests")
    world.store = world.memory
    world.backup()
    assert world.memory.left == 0


# A restore follows replacements that anybody signed.


class Replacing:
    """A stranger that signs replacements for the archives of a vault."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.real: list[Holding] = []
        for path in (path for path in (stage.vault / "archives").rglob("*") if path.is_file()):
            data = path.read_bytes()
            found = parse(data, path.name)
            self.key_id = found.key_id.hex()
            name = ArchiveName(bytes.fromhex(path.name))
            self.real.append(
                Holding(name, found.index_digest, len(data), len(found.rows), found.archive_class)
            )

    def put(self, name: str, data: bytes) -> None:
        path = self.stage.vault / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def stand_in(self, rows: bytes, size: int) -> None:
        """Put junk with an index of these rows, and say that it stands in for everything."""
        data = os.urandom(16) + bytes(size - 16)
        by = Holding(ArchiveName(digest(data)), Digest(digest(rows)), size, len(rows) // 60, 1)
        self.put(layout.archive_name(by.name), data)
        for part in encode_objects([Section(by, rows)]):
            self.put(layout.index_name(digest(part)), part)
        entries = [
            Replaced(
                archive=ArchiveRow.of(old), by=ArchiveRow.of(by), held=bitmap(old.records, range(old.records))
            )
            for old in self.real
        ]
        self.say(entries)

    def say(self, entries: list[Replaced]) -> None:
        document = Replacement(
            vault=Home.open(self.stage.home).identity.vault,
            key_id=self.key_id,
            role="authority",
            created=0,
            copied=True,
            replaced=tuple(entries),
        )
        data = envelope.sign(document, STRANGER)
        self.put(layout.numbered(layout.REPLACEMENTS, 1, hex_digest(data)), data)


@pytest.fixture
def backed_up(copy_of: Copy, opened: Stage, small_tree: Path) -> Stage:
    stage = copy_of(opened)
    backup(stage, small_tree)
    return stage


def without_home(stage: Stage, room: Path) -> tuple[tuple[object, ...], dict[str, Any]]:
    return ("--vault", stage.at, "--passphrase-file", stage.secret), {"SEED_HOME": room / "none"}


@pytest.mark.parametrize("home", [False, True], ids=["passphrase", "home"])
def test_a_strangers_replacement_does_not_stop_a_restore(
    backed_up: Stage, small_tree: Path, room: Path, home: bool
) -> None:
    """Role: anybody. Three small objects, and each restore of each machine ends with IDX-2; validate sees nothing."""
    Replacing(backed_up).stand_in(NO_ROWS, 4096)
    words, environment = without_home(backed_up, room) if not home else (("--vault", backed_up.at), {})
    backed_up.run("seed", "restore", "latest", "--target", room / "back", *words, **environment)
    assert trees.differences(small_tree, below(room / "back", small_tree)) == []


def timed(stage: Stage, *words: object, **environment: str | Path | None) -> float:
    began = time.monotonic()
    stage.run("seed", "ls", "latest", *words, code=None, **environment)
    return time.monotonic() - began


@pytest.mark.parametrize("what", ["indexes", "documents"])
def test_strangers_replacements_cost_a_restore_nothing(backed_up: Stage, room: Path, what: str) -> None:
    """Role: anybody. 0.4 s each in place of nothing; those with indexes cost that for every archive of the point."""
    words, environment = without_home(backed_up, room)
    before = min(timed(backed_up, *words, **environment) for _ in range(3))
    stranger = Replacing(backed_up)
    for number in range(10 if what == "indexes" else 40):
        if what == "indexes":
            count = 65_535
            rows = b"".join(
                os.urandom(48) + (48 + i).to_bytes(4, "little") + b"\x01\0\0\0\x01\0\0\0"
                for i in range(count)
            )
            stranger.stand_in(rows, 96 + 61 * count)
        else:
            row = ArchiveRow.of(Holding(ArchiveName(bytes([number]) * 32), Digest(b"\2" * 32), 4096, 2, 1))
            stranger.say([Replaced(archive=row, by=row, held=bytes(100))] * 1000)
    assert timed(backed_up, *words, **environment) < 1.2 * before + 1


# A registered machine.


def test_no_machine_asks_for_the_removal_of_its_newest_slots(backed_up: Stage, room: Path) -> None:
    """Role: machine. `importer machines drop-keys` removes all slots, and nothing opens the points without the home."""
    stage = backed_up
    stage.run("importer", "points", "--vault", stage.at)
    identity = Home.open(stage.home).identity
    (path,) = (stage.vault / layout.slot_prefix(identity.machine)).iterdir()
    slots = envelope.read(path.read_bytes(), "slots").peek(Slots)
    lie = envelope.sign(replace(slots, number=2, keep_from=5000), identity.signing_key)
    name = layout.numbered(layout.slot_prefix(identity.machine), 2, hex_digest(lie))
    (stage.vault / name).write_bytes(lie)
    stage.run(
        "importer", "machines", "drop-keys", fingerprint(identity.machine), "--vault", stage.at, code=None
    )
    words, environment = without_home(stage, room)
    stage.run("seed", "restore", "latest", "--target", room / "back", *words, **environment)


# The sender of a disk.


# A clock that is wrong.


class Moved(SystemClock):
    """The system's clock, moved by so many seconds."""

    def __init__(self, by: float) -> None:
        self.by = by

    def now(self) -> float:
        return time.time() + self.by


def made_again(stage: Stage, by: float) -> None:
    shutil.rmtree(stage.vault)
    recreate(stage.importer_home, "Backups", Address(stage.at), "here", None, Moved(by))


def test_a_vault_that_was_made_again_under_a_clock_ahead_can_be_pruned(backed_up: Stage) -> None:
    """Role: a clock two hours ahead, set right since. All that the authority signs is a stranger's; prune: internal."""
    backed_up.run("importer", "points", "--vault", backed_up.at)
    made_again(backed_up, 2 * HOUR)
    backed_up.run("importer", "prune", "--vault", backed_up.at)


def test_a_point_that_was_admitted_under_a_clock_behind_keeps_its_term(world: World, room: Path) -> None:  # noqa: F811
    """Role: a clock eleven years behind, set right since. The term has ended before it began (RET-2, RET-3)."""
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    world.clock.sleep(DAY)
    media(world, "large/one", 2)
    second = world.backup().manifest.point
    now = world.clock.now
    world.clock.now -= 11 * 366 * DAY
    world.prune()  # the point is admitted
    world.clock.now = now + DAY
    media(world, "large/one", 3)
    world.backup()
    world.prune()
    assert second in [point.manifest.point for point in world.points()]
    world.restored(second, room / "back")
