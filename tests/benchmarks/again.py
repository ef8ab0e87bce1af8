"""The bytes that cross the network again: `python -m tests.benchmarks.again [--checkout DIR] [--points N]`.

It makes backups of a folder to a vault on this machine. After each story it tells how many bytes of the source were
new, and how many bytes came into the vault. It may mount folders, so run it as root, best by `unshare -m`. With
`--points` it makes so many points between which files come and go, and measures time and memory of further backups.
`--checkout` names the code to measure, and `--builder` the code that makes those points, if another.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parents[2]
KIB = 1 << 10
LARGE, SMALL = 24, 2000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.again", description=__doc__)
    parser.add_argument("--checkout", type=Path, default=HERE, help="the code to measure")
    parser.add_argument("--builder", type=Path, help="the code that makes the points, if another")
    parser.add_argument("--points", type=int, default=0, metavar="N", help="measure one backup over N points")
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp"), metavar="DIR")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wanted.scratch) as folder:
        if wanted.points:
            over_many(Stand(Path(folder), wanted.builder or wanted.checkout), wanted.points, wanted.checkout)
        else:
            print("| story | new bytes | sent bytes |\n|---|--:|--:|", flush=True)
            for story in (emptied, put_back, back_and_forth):
                with tempfile.TemporaryDirectory(dir=folder) as inner:
                    story(Stand(Path(inner), wanted.checkout))
    return 0


class Stand:
    """A registered server with a source, and its vault in a folder."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder, self.checkout = folder, checkout
        self.vault, self.source = folder / "vault", folder / "source"
        self.source.mkdir()
        made = folder / "web1.credential"
        self.run("importer", "vault", "create", "Backups", "--at", self.vault, "--region", "here")
        self.run("importer", "credentials", "issue", "--out", made)
        slip = folder / "web1.passphrase"
        self.run("seed", "register", "--credential", made, "--name", "web1", "--generate-passphrase", slip)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": str(self.checkout),
            "SEED_HOME": str(self.folder / "server"),
            "IMPORTER_HOME": str(self.folder / "datacenter"),
        }

    def run(self, *words: object) -> str:
        program, *rest = map(str, words)
        done = subprocess.run(
            [sys.executable, "-m", program, *rest],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 3):
            raise SystemExit(f"{words}: {done.stderr}")
        return done.stdout

    def backup(self) -> int:
        """Make a backup; return how many bytes came into the vault."""
        before = size_of(self.vault)
        self.run("seed", "backup", self.source, "--json")
        return size_of(self.vault) - before

    def large(self, name: str, seed: int) -> int:
        return written(self.source / name, random.Random(seed).randbytes(1536 * KIB))

    def small(self, name: str, seed: int) -> int:
        chance = random.Random(seed)
        return written(self.source / name, chance.randbytes(chance.randint(2 * KIB, 12 * KIB)))

    def tree(self) -> int:
        large = sum(self.large(f"large/{n}", n) for n in range(LARGE))
        return large + sum(self.small(f"small/{n % 40}/{n}", n + 1000) for n in range(SMALL))


def written(path: Path, data: bytes) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(data)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def told(story: str, new: int, sent: int) -> None:
    print(f"| {story} | {new:,} | {sent:,} |", flush=True)


def emptied(stand: Stand) -> None:
    """Measure a source that is a mount, and is away during one backup."""
    aside = stand.folder / "aside"
    stand.source.rename(aside)
    stand.source.mkdir()
    with mounted(aside, stand.source):
        new = stand.tree()
        told("first backup", new, stand.backup())
    told("empty mount", 0, stand.backup())
    with mounted(aside, stand.source):
        told("mounted again", 0, stand.backup())


@contextmanager
def mounted(what: Path, where: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", what, where], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", where], check=True)


def put_back(stand: Stand) -> None:
    """Measure some files that are deleted, and put back after a backup."""
    stand.tree()
    stand.backup()
    aside = stand.folder / "aside"
    shutil.copytree(stand.source, aside)
    for number in range(6):
        (stand.source / f"large/{number}").unlink()
        shutil.rmtree(stand.source / f"small/{number}")
    told("files deleted", 0, stand.backup())
    stand.small("new", 1)
    stand.backup()
    shutil.copytree(aside, stand.source, dirs_exist_ok=True)
    told("files put back", 0, stand.backup())


def back_and_forth(stand: Stand) -> None:
    """Measure folders that change between two states, while one new file comes each time."""
    new, sent = stand.tree(), stand.backup()
    told("first backup", new, sent)
    new = sent = 0
    for turn in range(1, 21):
        seeds = turn % 2 * 10_000
        changed = sum(stand.large(f"large/{n}", n + seeds) for n in range(0, LARGE, 3))
        changed += sum(stand.small(f"small/{n % 40}/{n}", n + 1000 + seeds) for n in range(0, SMALL, 5))
        new += (changed if turn == 1 else 0) + stand.large(f"new/{turn}", 50_000 + turn)
        sent += stand.backup()
    told("20 backups, back and forth", new, sent)


def over_many(stand: Stand, points: int, checkout: Path) -> None:
    """Make many points, between which files come and go; then some more backups, each in a separate process."""
    stand.tree()
    for number in range(points):
        stand.small(f"small/{number % 40}/{number % SMALL}", 100_000 + number)
        stand.large(f"large/{number % LARGE}", 200_000 + number)
        stand.backup()
    stand.checkout = checkout
    print("| backup | wall s | CPU s | peak MiB | sent bytes |\n|---|--:|--:|--:|--:|")
    for number in range(3):
        stand.small("one more", random.randrange(1 << 30))
        before = size_of(stand.vault)
        done = subprocess.run(
            [sys.executable, "-c", MEASURED],
            cwd=checkout,
            env=stand.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        wall, cpu, peak = json.loads(done.stderr.splitlines()[-1])
        sent = size_of(stand.vault) - before
        print(f"| {number + 1} | {wall:.2f} | {cpu:.2f} | {peak / 1024:.0f} | {sent:,} |", flush=True)
    print(
        subprocess.run(
            [sys.executable, "-c", TABLES],
            cwd=checkout,
            env=stand.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


MEASURED = """
import json, resource, runpy, sys, time
began = time.perf_counter()
sys.argv = ["seed", "backup", "--json"]
try:
    runpy.run_module("seed", run_name="__main__")
finally:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    print(json.dumps([time.perf_counter() - began, cpu, used[0].ru_maxrss]), file=sys.stderr)
"""

# The tables in memory that tell a run its reusable data, in the measured code. That may lack further archives.
TABLES = """
import gc, os, tracemalloc
from pathlib import Path
from formats.monitor import Tally
from formats.store.address import open_store
from seed.home.home import Home
from seed.pipeline.known_chunks import KnownChunks
from seed.session.previous_points import PreviousPoints
from seed.session.session import Session

home = Home.open(Path(os.environ["SEED_HOME"]))
with Session.open(home, open_store(home.identity.address), Tally()) as session:
    session.settle()
    gc.collect()
    tracemalloc.start()
    before, known = PreviousPoints.of(session), KnownChunks()
    counts = []
    read = getattr(before.reuse, "all_sections", lambda: before.reuse.sections)
    for section in read():
        counts.append(section.archive.records)
        known.add_all(section.chunks())
    if hasattr(known, "add_sections"):
        known = KnownChunks()
        known.add_sections(read())
    gc.collect()
    now, peak = tracemalloc.get_traced_memory()
    records = sum(counts)
    print(f"{len(counts):,} archives, {records:,} chunks: {now:,} bytes, {now / records:.1f} a chunk; at most {peak / records:.1f}")
"""


if __name__ == "__main__":
    sys.exit(main())
