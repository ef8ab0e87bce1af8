"""A machine, its disks and its vault against a perfect model, with steps in random order.

The steps edit, back up, export, lose, damage, import, validate, repair, prune and restore.

    python -m tests.damage.model [--minutes M] [--seed S]

The model keeps a copy of the source for every recovery point. It also keeps the files that a repair has named
as lost. A restore must give each file as it was, or list it as missing. After a full repair, only files that
were named as lost may be missing. A point may expire if it has earned no term and is not the last complete
one. The model then forgets it.

Prints the number of steps of each kind. The exit code is 0 if all checks held.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.journeys import trees
from tests.journeys.stage import Stage, a_day_later, below, keep_firsts, kept

assert sys.platform == "linux"

POINTS_MAX = 12  # then the world begins anew


class World:
    """One machine and one vault, with a model of their content."""

    def __init__(self, room: Path, chance: random.Random) -> None:
        self.room = room
        self.chance = chance
        self.stage = Stage(room / "stage")
        self.stage.open()
        keep_firsts(self.stage, days=5)
        self.source = trees.varied_tree(room / "source")
        self.states: dict[str, Path] = {}
        self.lost: set[str] = set()
        self.expired: set[str] = set()
        self.serial = self.disks = self.made = 0
        self.pending: list[Path] = []  # disks written and not imported
        self.export()

    # Steps

    def edit(self) -> None:
        """Rewrite, make, move or delete some files."""
        for _ in range(self.chance.randrange(1, 12)):
            files = [p for p in self.source.rglob("*") if p.is_file() and not p.is_symlink()]
            path = self.chance.choice(files)
            kind = self.chance.randrange(4)
            self.serial += 1
            if kind == 0:
                data = trees.compressible(self.chance.randrange(1, 9000), self.serial)
                trees.small_file(self.source / f"new/{self.serial % 5}/{self.serial}.txt", data)
            elif kind == 1:
                with open(path, "r+b") as file:
                    file.seek(self.chance.randrange(path.stat().st_size + 1))
                    file.write(os.urandom(self.chance.randrange(1, 3000)))
            elif kind == 2 and len(files) > 50:
                path.unlink()
            else:
                path.rename(path.with_name(f"moved {self.serial}"))

    def backup(self) -> None:
        self._point("seed", "backup")

    def export(self) -> None:
        """Export a set to a disk of its own."""
        self.disks += 1
        disk = self.room / f"disk {self.disks}"
        disk.mkdir()
        before = {p["point"] for p in self._points()}
        words = ["--again"] if self.made else [self.source]
        self.stage.run("seed", "export", *words, "--to", disk, code=None)
        self._keep(before)
        self.pending.append(disk)

    def import_(self) -> None:
        """Import a disk; the same disk may come again."""
        disk = self.chance.choice(sorted(self.room.glob("disk *")))
        self.stage.run("importer", "import", disk, "--vault", self.stage.at, code=None)
        if disk in self.pending:
            self.pending.remove(disk)

    def damage_vault(self) -> None:
        names = ("archives", "indexes", "needs", "manifests", "holdings")
        self._spoil([p for n in names for p in (self.stage.vault / n).rglob("*") if p.is_file()])

    def damage_disk(self) -> None:
        names = ("archives", "indexes", "needs")
        self._spoil(
            [
                p
                for f in self.room.glob("disk */offseed/*")
                for n in names
                for p in (f / n).rglob("*")
                if p.is_file()
            ]
        )

    def validate(self) -> None:
        self.stage.run("importer", "validate", "--vault", self.stage.at, code=None)

    def repair(self) -> None:
        self.stage.run("importer", "points", "--vault", self.stage.at, code=None)
        ended = self.stage.run("seed", "repair", "--json", code=None)
        done = ended.json
        assert "findings" in done, ended
        self.lost |= {f["subject"] for f in done["findings"] if f["code"] == "content-lost"}

    def prune(self) -> None:
        """Prune a day later, so that the condemned objects are deleted."""
        a_day_later(self.stage)
        before = self._vaults()
        known = {p["point"] for p in before}
        complete = [p for p in before if p["complete"]]
        done = self.stage.run("importer", "prune", "--vault", self.stage.at, "--json", code=None).json
        gone = {p["point"] for p in done["points"] if p["state"] == "expired"}
        earned = {p["point"] for p in done["points"] if p["state"] == "admitted" and p["earned"]}
        assert not gone & earned, gone & earned
        assert not complete or complete[-1]["point"] not in gone, "the last complete point"
        assert known - gone <= {p["point"] for p in self._vaults()}, "one is gone that has not expired"
        self.expired |= gone
        for point in gone & self.states.keys():
            shutil.rmtree(self.states.pop(point))

    def restore(self) -> None:
        """Restore any point; each file is right, or listed as missing."""
        points = self._points()
        if points:
            self._restore(self.chance.choice(points)["point"])

    def heal(self) -> None:
        """Import all disks, validate and repair; only files that were named as lost may be missing."""
        for _ in range(4):
            for disk in sorted(self.room.glob("disk *")):
                self.stage.run("importer", "import", disk, "--vault", self.stage.at, code=None)
            self.pending.clear()
            self.validate()
            self.repair()
            vaults = self._vaults()
            if len(vaults) == len(self.states) and all(p["complete"] for p in vaults):
                break
        else:
            raise AssertionError(f"not all points are whole: {vaults}")
        for point in self.states:
            missing = self._restore(point)
            assert missing <= self.lost, (point, missing - self.lost)

    # Helpers

    def _vaults(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.stage.run(
            "importer", "points", "--vault", self.stage.at, "--json", code=None
        ).json
        return found

    def _points(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.stage.run("seed", "points", "--json", code=None).json
        return found

    def _point(self, *words: object) -> None:
        before = {p["point"] for p in self._points()}
        self.stage.run(*map(str, words), code=None)
        self._keep(before)

    def _keep(self, before: set[str]) -> None:
        for point in self._points():
            if point["point"] not in before | self.states.keys() | self.expired:
                self.made += 1
                self.states[point["point"]] = kept(self.source, self.room, f"state {self.made}")

    def _spoil(self, files: list[Path]) -> None:
        for path in self.chance.sample(files, min(len(files), self.chance.randrange(1, 4))):
            size = path.stat().st_size
            kind = self.chance.randrange(4)
            if kind == 0:
                path.unlink()
            elif kind == 1:
                os.truncate(path, self.chance.randrange(size))
            else:
                with open(path, "r+b") as file:
                    at = self.chance.randrange(size) if size else 0
                    file.seek(at)
                    byte = file.read(1) or b"\0"
                    file.seek(at)
                    file.write(bytes([byte[0] ^ 0x55]))

    def _restore(self, point: str) -> set[str]:
        """Restore a point, and return the paths of its missing files."""
        target = self.room / "restored"
        ended = self.stage.run(
            "seed", "restore", point, "--target", target, "--vault", self.stage.at, code=None
        )
        assert ended.code in (0, 1, 3), ended
        state = self.states.get(point)
        missing: set[str] = set()
        if state is not None and below(target, self.source).exists():
            found = trees.differences(state, below(target, self.source))
            wrong = [d for d in found if not d.startswith("missing: ") and ": links: " not in d]
            assert wrong == [], (point, wrong)
            missing = {
                str(self.source / os.fsdecode(eval(d[9:]))) for d in found if d.startswith("missing: ")
            }
            assert not missing or ended.code == 3, ended
        shutil.rmtree(target, ignore_errors=True)
        return missing


STEPS: dict[str, int] = {
    "edit": 6,
    "backup": 6,
    "export": 1,
    "import_": 3,
    "damage_vault": 4,
    "damage_disk": 2,
    "validate": 3,
    "repair": 4,
    "prune": 3,
    "restore": 4,
    "heal": 1,
}


def run(seed: int, seconds: float, scratch: Path, say: Callable[[str], None]) -> Counter[str]:
    """Run random steps for some time, then repair everything; return the number of steps of each kind.

    Raises AssertionError if a check fails.
    """
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    done: Counter[str] = Counter()
    number = 0
    while time.monotonic() < until:
        number += 1
        room = scratch / f"world {number}"
        room.mkdir()
        world = World(room, chance)
        done["worlds"] += 1
        while time.monotonic() < until and world.made < POINTS_MAX:
            (step,) = chance.choices(list(STEPS), list(STEPS.values()))
            say(step)
            getattr(world, step)()
            done[step] += 1
        say("heal")
        world.heal()
        done["heal"] += 1
        shutil.rmtree(room)
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--scratch", type=Path, default=None)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    print("random seed", chosen.seed, flush=True)
    scratch = Path(tempfile.mkdtemp(dir=chosen.scratch))
    print("the world is left, if it fails, in", scratch, flush=True)
    say = (lambda text: print(" ", text, flush=True)) if chosen.verbose else (lambda _: None)
    done = run(chosen.seed, chosen.minutes * 60, scratch, say)
    shutil.rmtree(scratch)
    print(f"{done.total()} steps: {', '.join(f'{n} {name}' for name, n in sorted(done.items()))}; all held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
