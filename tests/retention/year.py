"""A year and more: three backups a day of a changing tree, pruned every week, under a clock that runs ahead.

    python -m tests.retention.year [--days N] [--files N] [--seed S]

Checks three things. Exactly those points are there that the policy keeps. Each point restores as its tree
was. The share of bytes that nobody needs stays below its limit. Prints the figures. The exit code is 0 if all
checks held.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from blake3 import blake3

from formats.documents.retention import RetentionRules
from formats.keyed.catalog import FILE
from formats.monitor import Tally
from formats.rules.replacements import index_objects
from formats.rules.retention import DAY, USUAL, day_of, ends, lengths, period
from importer.vault.reachability import effective, needed
from importer.vault.vault import members
from seed.points.layered_store import LayeredStore
from seed.points.machine_keys import own_machines
from seed.points.point_reader import PointReader
from seed.points.points import points as readable
from tests.journeys import trees
from tests.journeys.stage import Stage, below
from tests.retention.world import HOUR, Clock, World

assert sys.platform == "linux"

RULES = RetentionRules.from_json(
    {**USUAL.to_json(), "every": 3, "daily": 60, "weekly": 26, "monthly": 12, "yearly": 10}, ""
)
MORNING = int(datetime(2026, 1, 1, 9, tzinfo=UTC).timestamp())
SMALL = 256 << 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--scratch", type=Path, default=None)
    chosen = parser.parse_args()
    print("random seed", chosen.seed, flush=True)
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        room = Path(scratch)
        stage = Stage(room / "stage")
        stage.open()
        stage.run("importer", "points", "--vault", stage.at)
        clock = Clock(MORNING)
        with clock.shown():
            world = World(stage, room / "source", clock)
            Year(world, random.Random(chosen.seed), chosen.files).live(chosen.days, room)
    return 0


class Year:
    """A tree of small files and a few large ones; a few of them change from backup to backup.

    `states` holds a digest of the tree at each backup.
    """

    def __init__(self, world: World, chance: random.Random, files: int) -> None:
        self.world = world
        self.chance = chance
        self.made: list[tuple[str, int]] = []  # points, and when they were made
        self.states: dict[str, str] = {}
        for number in range(files):
            self._write(f"small/{number % 37}/{number}.txt")
        for number in range(4):
            trees.small_file(world.source / f"large/{number}.bin", trees.incompressible(3 << 20, number))

    def live(self, days: int, room: Path) -> None:
        world, clock = self.world, self.world.clock
        world.policy(RULES)
        began, swept = time.monotonic(), 0
        for day in range(days):
            for hour in (9, 13, 21):
                clock.now = MORNING + day * DAY + (hour - 9) * HOUR
                self._change()
                done = world.backup()
                self.made.append((done.manifest.point, done.manifest.created))
                self.states[done.manifest.point] = state_of(world.source)
            if day % 7 == 6:
                clock.sleep(HOUR)
                pruned = world.prune()
                swept += pruned.deleted
                garbage = self._garbage()
                if day % 28 == 27:
                    print(
                        f"  day {day + 1}: {len(world.points())} points, {len(world.memory.objects):,} objects, {garbage}, "
                        f"{self._small_files()}; {time.monotonic() - began:.0f} s",
                        flush=True,
                    )
        clock.sleep(HOUR)
        world.prune()
        there = {p.manifest.point for p in world.points()}
        expected = self._expected(int(clock.now))
        assert there == expected, (len(there), len(expected), len(there ^ expected))
        assert world.complete()
        for number, point in enumerate(sorted(there)):
            target = room / f"back {number}"
            assert state_of(below(world.restored(point, target), world.source)) == self.states[point], point
            shutil.rmtree(target)
        print(
            f"{len(self.made)} backups in {days} days; {len(there)} points are there, which are those that the policy keeps; "
            f"all restored as they were; {swept:,} objects deleted; {self._garbage()}, {self._small_files()}"
        )

    def _expected(self, now: int) -> set[str]:
        """Return the points that the policy keeps by its words.

        They are the first of each period, for the length of its rule, and the last point.
        """
        found = {self.made[-1][0]}
        for rule, length in lengths(RULES).items():
            seen = set()
            for point, made in self.made:
                key = made if rule == "every" else period(rule, RULES, day_of(made, self._zone))
                if length and key not in seen:
                    seen.add(key)
                    if ends(rule, RULES, made, self._zone) > now:
                        found.add(point)
        return found

    @property
    def _zone(self) -> int:
        return time.localtime(MORNING).tm_gmtoff // 60

    def _change(self) -> None:
        files = sorted((self.world.source / "small").rglob("*.txt"))
        for path in self.chance.sample(files, max(3, len(files) // 200)):
            action = self.chance.random()
            if action < 0.7:
                self._write(str(path.relative_to(self.world.source)))
            elif action < 0.85:
                path.unlink()
            else:
                self._write(f"small/{self.chance.randrange(37)}/new {self.chance.randrange(1 << 30)}.txt")
        if self.chance.random() < 0.2:
            large = self.world.source / f"large/{self.chance.randrange(4)}.bin"
            with open(large, "r+b") as file:
                file.seek(self.chance.randrange(2 << 20))
                file.write(self.chance.randbytes(200_000))

    def _write(self, name: str) -> None:
        size = int(self.chance.lognormvariate(8.5, 1.2)) + 1
        trees.small_file(self.world.source / name, self.chance.randbytes(min(size, SMALL)))

    def _garbage(self) -> str:
        """Return the share of the bytes of records that nobody needs, without condemned archives.

        Raises AssertionError above the limit.
        """
        vault = self.world.vault
        found = needed(vault, members(vault, Tally()), {}, self.world.clock.now, Tally())
        live = {
            archive: bits for needs in effective(vault, found).values() for archive, bits in needs.items()
        }
        total = dead = 0
        for _, listed in index_objects(vault.store):
            for section in listed:
                if (bits := live.pop(section.archive, None)) is not None:
                    for number, row in enumerate(section.rows("here")):
                        total += row.length
                        dead += row.length * (not bits >> number & 1)
        assert not live, "every archive that stays has its index"
        assert dead <= 0.10 * total, f"{dead / total:.1%} of the records are garbage"
        return f"{dead / total:.1%} of the records are garbage"

    def _small_files(self) -> str:
        """Return the bytes of the bundles that points refer to, relative to the needed small files in them.

        Raises AssertionError above the limit.
        """
        world, found = self.world, Tally()
        union = LayeredStore([world.store])
        bundles: dict[bytes, int] = {}
        files: dict[bytes, tuple[bytes, int]] = {}
        kept = {point.manifest.point for point in world.points()}
        for point in readable(union, own_machines(world.home.identity, [world.store], found), found):
            if point.manifest.point not in kept:
                continue
            for entry in PointReader(union, point, found).entries():
                if entry.type == FILE and entry.content and entry.chunks:
                    files[entry.content] = (entry.chunks[:32], entry.size)
                    bundles.setdefault(entry.chunks[:32], 0)
        sizes = self._raw_sizes(union, bundles.keys())
        needed_bytes = Counter[bytes]()
        for bundle, size in files.values():
            needed_bytes[bundle] += size
        held, wanted = sum(sizes.values()), sum(needed_bytes.values())
        assert held <= 1.75 * wanted, (
            f"{held / wanted:.2f} × the bytes of small files that are needed are held"
        )
        return f"of small files {held / wanted:.2f} × what is needed is held"

    def _raw_sizes(self, union: LayeredStore, wanted: object) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for _, listed in index_objects(self.world.store):
            for section in listed:
                for row in section.rows("here"):
                    if row.chunk in wanted:  # type: ignore[operator]
                        found[row.chunk] = row.length
        return found


def state_of(tree: Path) -> str:
    """Return one digest of the names and contents below a folder."""
    state = blake3()
    for path in sorted(p for p in tree.rglob("*") if p.is_file()):
        state.update(str(path.relative_to(tree)).encode() + b"\0" + blake3(path.read_bytes()).digest())
    return state.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
