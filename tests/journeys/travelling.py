"""Backups over a whole system tree while disks travel: lost files are listed, and all come in the end.

    python -m tests.journeys.travelling [SOURCE] [--scratch DIR]

A copy of SOURCE (/usr by default) goes to two disks, and one of them is imported.
Then one file of a hundred is edited, appended to, moved, given another mode, deleted or added.
Two backups go over the network.
The newest point is restored: the listed files must be exactly the missing ones.
Then the other disk comes. All three points are restored and compared by rsync.
For root, with room in DIR for the tree four times. The exit code is 0 if all comparisons passed.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.facilities import LoopDisk
from tests.journeys import trees, usr
from tests.journeys.stage import PASSPHRASE, below

assert sys.platform == "linux"

SHARE = 100  # one file of so many changes


def change(root: Path, chance: random.Random) -> int:
    """Change one file of a hundred, each in one of six ways, and return their number."""
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and not p.is_symlink()]
    chosen = chance.sample(files, len(files) // SHARE)
    for number, path in enumerate(chosen):
        WAYS[number % len(WAYS)](path)
    return len(chosen)


def edit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"edited")


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"appended\n")


def move(path: Path) -> None:
    path.rename(path.with_name(f"moved {path.name}"))


def add(path: Path) -> None:
    path.with_name(f"added beside {path.name}").write_bytes(os.urandom(2000))


WAYS: Sequence[Callable[[Path], None]] = (edit, append, move, lambda p: p.chmod(0o600), Path.unlink, add)


class Travelling(usr.Journey):
    """The journey; `states` are the trees as they were at each point."""

    states: dict[str, Path]

    def travel(self, disks: list[LoopDisk]) -> None:
        vault, credential, secret = (self.scratch / name for name in ("vault", "credential", "passphrase"))
        secret.write_text(PASSPHRASE + "\n")
        self.run("importer", "vault", "create", "Big", "--at", vault, "--region", "here")
        self.run("importer", "credentials", "issue", "--vault", vault, "--out", credential)
        self.run("seed", "register", "--credential", credential, "--name", "big", "--passphrase-file", secret)
        to = [word for disk in disks for word in ("--to", disk.path)]
        self.run("seed", "export", self.source, *to)
        for disk in disks:
            disk.unmount()
            disk.mount("ro")
        self.run("importer", "import", disks[0].path, "--vault", vault)
        self.states = {self.newest(vault): self.keep("exported")}
        print(f"\n{change(self.source, random.Random(1)):,} files changed")
        self.run("seed", "backup")
        changed = self.keep("changed")
        self.states[self.newest(vault)] = changed
        self.run("seed", "backup")
        self.states[self.newest(vault)] = changed
        self.run("seed", "status")
        self.run("importer", "status", "--vault", vault)
        self.partly(vault)
        self.run("importer", "import", disks[1].path, "--vault", vault)
        self.run("importer", "points", "--vault", vault)
        for point, state in self.states.items():
            target = self.scratch / "restored"
            self.run("seed", "restore", point[:8], "--target", target, "--vault", vault)
            self.judge(f"point {point[:8]}", trees.rsync(state, below(target, self.source)))
            shutil.rmtree(target)

    def partly(self, vault: Path) -> None:
        """Restore the newest point while a disk is on its way: exactly the missing files are listed."""
        target = self.scratch / "restored"
        listed = self.told("seed", "restore", "latest", "--target", target, "--vault", vault, codes=(3,))
        named = {f["subject"] for f in listed["findings"]}
        here = below(target, self.source)
        missing = {
            str(path).lstrip("/")
            for path in self.source.rglob("*")
            if path.is_file()
            and not path.is_symlink()
            and not os.path.lexists(here / path.relative_to(self.source))
        }
        print(f"  {listed['files']:,} files are there, {len(missing):,} missing, {len(named):,} listed")
        self.judge("listed exactly", "\n".join(sorted(missing ^ named)))
        shutil.rmtree(target)

    def newest(self, vault: Path) -> str:
        point: str = self.told("importer", "points", "--vault", vault)[-1]["point"]
        return point

    def keep(self, name: str) -> Path:
        """Copy the present tree, and return the copy; the folders above the tree do not change by this."""
        state = self.scratch / "states" / name
        subprocess.run(["cp", "-a", "--", self.source, state], check=True)
        return state

    def judge(self, title: str, left: str) -> None:
        print(f"  {title}: {'nothing to do' if not left else left[:2000]}", flush=True)
        if left:
            self.failures.append(title)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, nargs="?", default=Path("/usr"))
    parser.add_argument(
        "--scratch", type=Path, help="a folder with room; else the system's for temporary files"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="offseed-travelling-", dir=options.scratch))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        source = scratch / "source"
        (scratch / "states").mkdir()
        subprocess.run(["cp", "-a", "--", options.source.resolve(), source], check=True)
        size = usr.allocated(source)
        print(f"{options.source}: {size / usr.MIB:,.0f} MiB allocated")
        disks = usr.mounted(stack, scratch, ("ext4", "xfs"), size // 2 + 512 * usr.MIB)
        journey = Travelling(scratch, source, source)
        journey.travel(disks)
    print(f"Differences: {', '.join(journey.failures)}" if journey.failures else "All held.")
    return 1 if journey.failures else 0


if __name__ == "__main__":
    sys.exit(main())
