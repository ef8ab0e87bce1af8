"""The long version of `test_faults`, which takes a minute: kills, faults and failing system calls, repeated.

    python -m tests.journeys.soak [--kills N] [--gib G] [--calls N] [--seed S]

A tree of G GiB goes to two disks. The export is killed N times at random points of its way, then the import.
Then the power of the whole machine is cut N times. At last a small tree goes to two disks, under strace.
In each of these runs, one random write, flush, rename or creation of a file fails: N calls of each kind.
After each story the same command completes, and the story compares the restored tree.
The exit code is 0 if all stories passed.
For root. Disks, homes and vaults lie in memory where there is room.
"""

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.commands import installed
from tests.facilities import lacking
from tests.journeys import devices, trees
from tests.journeys.stage import Stage, await_, ended

assert sys.platform == "linux"

ARCHIVE, MIB = devices.ARCHIVE, devices.MIB

CALLS = {
    "openat": "ENOSPC",
    "write": "ENOSPC",
    "fsync": "EIO",
    "renameat2": "EROFS",
    "mkdirat": "ENOSPC",
    "getdents64": "EIO",
}
ALLOWED = (0, 1, 3, 4)
INCOMPLETE = 3
WORKING_FOLDER = re.compile("(?<=AT_FDCWD)<[^>]*>")  # strace's note of it, for any path beside it


@dataclass
class Soak:
    """The shared state of all stories of a run."""

    folder: Path
    moments: random.Random
    kills: int
    failures: int = 0

    def large(self, source: Path) -> None:
        print(f"kill -9, {self.kills} times each, {tree_bytes(source) >> 20} MiB to two disks", flush=True)
        self.export_killed(source)
        print(f"power cuts, {self.kills}", flush=True)
        self.power_cut(source)

    def stage(self, rack: devices.Rack) -> Stage:
        folder = rack.memory / "stage"
        stage = Stage(folder)
        stage.open()
        return stage

    def export_killed(self, source: Path) -> None:
        with self.rack() as rack:
            size = tree_bytes(source)
            disks = [rack.disk(size + 512 * MIB), rack.disk(size + 512 * MIB, "xfs")]
            fleet = devices.Fleet(self.stage(rack), source, disks)
            killed, read = self._kill(fleet, size)
            before = fleet.held()
            finished = fleet.export()
            twice = fleet.held() - finished["archive_bytes"]
            print(
                f"  {killed} kills; at the last one {before >> 20} MiB of {finished['archive_bytes'] >> 20} lay on the "
                f"disks; the last run read {finished['read_bytes'] >> 20} MiB, passed over "
                f"{finished['kept_bytes'] >> 20}, wrote {finished['written_bytes'] >> 20}; "
                f"written and needed no more: {twice >> 10} KiB, {read}"
            )
            self.judge(killed == self.kills, "each kill met a running export")
            self.judge(
                twice <= killed * 2 * ARCHIVE, "no more than an archive a disk and kill is written twice"
            )
            missing = finished["archive_bytes"] - before
            self.judge(
                finished["read_bytes"] <= max(missing, 0) + 4 * ARCHIVE,
                "what is on the disks is not read again",
            )
            self._import_killed(fleet)
            fleet.check_restore(rack.memory / "restored", *fleet.named("--from"))
            fleet.check_restore(rack.memory / "restored", "--vault", fleet.stage.at)

    def power_cut(self, source: Path) -> None:
        """Cut the power of the whole machine, with its home, as many times as the machine is killed."""
        with self.rack() as rack:
            size = tree_bytes(source)
            disks = [rack.disk(size + 512 * MIB), rack.disk(size + 512 * MIB, "xfs")]
            home, stage = rack.disk(512 * MIB), self.stage(rack)
            stage.home = shutil.copytree(stage.home, home.path / "home")
            os.sync()
            fleet = devices.Fleet(stage, source, disks)
            lost = cuts = 0
            for number in range(self.kills):
                running, goal = fleet.start(), size * self._part(number)
                await_(lambda goal=goal: fleet.held() >= goal, running)  # type: ignore[misc]
                before = fleet.held()
                devices.cut_power(home.path, *(disk.path for disk in disks))
                cuts += ended(running, signal.SIGKILL).code == -signal.SIGKILL
                for disk in (home, *disks):
                    devices.mend(disk)
                lost += max(before - fleet.held(), 0)
            finished = fleet.export()
            fleet.deliver()
            fleet.check_restore(rack.memory / "restored", "--vault", stage.at)
            twice = fleet.held() - finished["archive_bytes"]
            print(
                f"  {cuts} cuts; had a name and was lost: {lost >> 20} MiB; needed no more: {twice >> 10} KiB"
            )
            self.judge(cuts == self.kills, "each cut met a running export")
            self.judge(lost <= cuts * 2 * ARCHIVE, "what is durable outlives the power")

    def _part(self, number: int) -> float:
        """Return the part of a run after which it ends for the `number`th time, before its last quarter."""
        return (number + self.moments.random()) / max(self.kills + 1, 4)

    def _kill(self, fleet: devices.Fleet, size: int) -> tuple[int, str]:
        killed, strays = 0, 0
        for number in range(self.kills):
            running, goal = fleet.start(), size * self._part(number)
            await_(lambda goal=goal: fleet.held() >= goal, running)  # type: ignore[misc]
            killed += ended(running, signal.SIGKILL).code == -signal.SIGKILL
            strays += sum(len(devices.temporaries(disk.path)) for disk in fleet.disks)
        return killed, f"temporaries swept: {strays}"

    def _import_killed(self, fleet: devices.Fleet) -> None:
        vault, killed = fleet.stage.vault, 0
        words = ("import", *(d.path for d in fleet.disks[::-1]), "--vault", vault)
        total = sum(len(devices.archives(d)) for d in fleet.disks)
        for number in range(self.kills):
            running, goal = fleet.stage.start("importer", *words), total * self._part(number)
            await_(lambda goal=goal: len(devices.archives(vault)) >= goal, running)  # type: ignore[misc]
            killed += ended(running, signal.SIGKILL).code == -signal.SIGKILL
        left = devices.temporaries(vault)
        print(f"  import: {killed} kills, {len(left)} temporaries left in the vault, to be swept a day later")
        for temporary in left:
            os.utime(temporary, (0, 0))
        fleet.deliver()
        self.judge(killed == self.kills, "each kill met a running import")

    def calls_fail(self, source: Path, each: int) -> None:
        """Let each kind of system call fail, the n-th of its kind; the same command resumes the export."""
        with self.rack() as rack:
            opened = self.stage(rack)
            for call, error in CALLS.items():
                ours = self._ours(rack, opened, source, call)
                chosen = self.moments.sample(ours, min(each, len(ours)))
                ends: dict[str, int] = {}
                for number in chosen:
                    how = self._call_fails(rack, opened, source, f"{call}:error={error}:when={number}")
                    ends[how] = ends.get(how, 0) + 1
                print(f"  {call} → {error}: {len(chosen)} of {len(ours)}: {ends}", flush=True)

    def _fleet(self, rack: devices.Rack, opened: Stage, source: Path) -> devices.Fleet:
        folder = rack.memory / "trial"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        stage = opened.copy(folder)
        return devices.Fleet(stage, source, [rack.disk(64 * MIB), rack.disk(64 * MIB)])

    def _ours(self, rack: devices.Rack, opened: Stage, source: Path, call: str) -> list[int]:
        """Return the numbers of such calls for the disks or the home; each thread counts from 1."""
        fleet, log = self._fleet(rack, opened, source), rack.memory / "log"
        fleet.stage.command = devices.traced("-y", "-e", f"trace={call}", "-o", str(log))
        fleet.run()
        counts: dict[str, int] = {}
        found: set[int] = set()
        for line in log.open(errors="replace"):
            thread, _, rest = WORKING_FOLDER.sub("", line).partition(" ")
            if rest.lstrip().startswith(f"{call}("):
                counts[thread] = counts.get(thread, 0) + 1
                # Python also reads its own modules with these calls, in the first thread.
                beside = call in ("openat", "getdents64") and thread != next(iter(counts))
                if ("/mnt" in rest or str(rack.memory) in rest) and not beside:
                    found.add(counts[thread])
        return sorted(found)

    def _call_fails(self, rack: devices.Rack, opened: Stage, source: Path, injected: str) -> str:
        fleet = self._fleet(rack, opened, source)
        fleet.stage.command = devices.traced("-e", f"inject={injected}", "-o", "/dev/null")
        how = "?"
        try:
            result = fleet.run(code=None)
            code = (
                result.stderr.rpartition("[")[2].partition("]")[0]
                if result.code not in (0, INCOMPLETE)
                else ""
            )
            how = f"{result.code} {code}".strip()
            self.judge(result.code in ALLOWED, f"{injected}: {result}")
            fleet.stage.command = installed
            # The set is finished without unreadable files, which were reported: the next set holds them.
            fleet.export(*(["--again"] if result.code == INCOMPLETE else []))
            fleet.check_restore(rack.memory / "restored", *fleet.named("--from"))
        except AssertionError as error:
            if "importlib._bootstrap" in str(error):
                return "(an import of Python's own)"
            self.judge(False, f"{injected} ended in {how}: {error}")
        finally:
            for disk in fleet.disks:
                disk.unmount()
                disk.image.unlink(missing_ok=True)
        return how

    def rack(self) -> "_Cleared":
        return _Cleared(devices.Rack(Path(tempfile.mkdtemp(dir=self.folder))))

    def judge(self, holds: bool, what: str) -> None:
        if not holds:
            self.failures += 1
            print(f"  FAILED: {what}", flush=True)


class _Cleared(ExitStack):
    def __init__(self, rack: devices.Rack) -> None:
        super().__init__()
        self._rack = rack
        self.callback(rack.clear)

    def __enter__(self) -> devices.Rack:  # type: ignore[override]
        super().__enter__()
        return self._rack


def tree_bytes(root: Path) -> int:
    return sum(p.stat().st_size for p in root.rglob("*") if p.is_file())


def mixed_tree(root: Path, mib: int) -> Path:
    """Make files of all sizes that do not compress, with small ones everywhere."""
    sizes = random.Random(7)
    made = number = 0
    while made < mib * MIB:
        size = int(2 ** sizes.uniform(8, 27))
        path = root / f"{number % 23:02}/{number % 7}/{number:06}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        made += size
        number += 1
    return root


def _missing() -> Iterator[str]:
    for facility in ("root", "loop", "xfs", "strace"):
        if why := lacking(facility):
            yield f"{facility}: {why}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--only-calls", action="store_true", help="leave out the kills and power cuts")
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    options = parser.parse_args()
    if missing := list(_missing()):
        print(f"NOT TESTED, needs {'; '.join(missing)}")
        return 2
    print(f"--seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="offseed-soak-") as name:
        folder = Path(name)
        soak = Soak(folder, random.Random(options.seed), options.kills)
        if not options.only_calls:
            soak.large(mixed_tree(folder / "source", int(options.gib * 1024)))
        print("system calls that fail once", flush=True)
        soak.calls_fail(trees.small_tree(folder / "small"), options.calls)
    print(f"{soak.failures} failures" if soak.failures else "All held.")
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
