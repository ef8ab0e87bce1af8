"""The big journey: a whole system tree and an odd one onto three disks, into a vault, and back by three ways.

    python -m tests.journeys.usr [SOURCE] [--scratch DIR]

SOURCE is /usr by default. The disks are ext4, exFAT and xfs on loop devices.
They are imported read-only in reverse order, so this is for root.
DIR needs room for the tree itself once, and for its stored form three times.
Every command is printed with its exit code, its seconds and its peak memory.
The exit code is 0 if rsync finds nothing to do after any of the three restores.
The odd tree must also be equal to the nanosecond and the hole; else the exit code is 1.
Mounts are always removed.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.commands import installed
from tests.facilities import LoopDisk, lacking
from tests.journeys import trees
from tests.journeys.stage import PASSPHRASE, below

assert sys.platform == "linux"

MIB = 1 << 20
SHOWN = 20
KINDS = ("ext4", "exfat", "xfs")


@dataclass
class Journey:
    """A runner that prints its commands, and remembers the restores that differ."""

    scratch: Path
    source: Path
    odd: Path
    failures: list[str] = field(default_factory=list)

    def run(
        self, program: str, *arguments: object, codes: tuple[int, ...] = (0,), home: str = "home"
    ) -> None:
        """Print a command, run it, and print its time and memory. Any other exit code ends the journey."""
        self._measured(program, arguments, codes, home, None)

    def told(self, program: str, *arguments: object, codes: tuple[int, ...] = (0,)) -> Any:
        """Run a command with --json, and return its document."""
        with tempfile.TemporaryFile(dir=self.scratch) as answer:
            self._measured(program, (*arguments, "--json"), codes, "home", answer)
            answer.seek(0)
            return json.load(answer)

    def _measured(
        self, program: str, arguments: Sequence[object], codes: tuple[int, ...], home: str, answer: Any
    ) -> None:
        words = [*installed(program), *map(str, arguments)]
        print(f"\n$ {program} {' '.join(map(str, arguments))}", flush=True)
        homes = {"SEED_HOME": self.scratch / home, "IMPORTER_HOME": self.scratch / "importer-home"}
        environment = os.environ | {name: str(path) for name, path in homes.items()}
        began = time.monotonic()
        process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=answer)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = code = os.waitstatus_to_exitcode(status)
        print(
            f"  [exit {code}, {seconds:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of processors, "
            f"{usage.ru_maxrss >> 10} MiB]",
            flush=True,
        )
        if code not in codes:
            raise SystemExit(f"{program} ended with exit code {code}")

    def restore(self, title: str, *where: object, home: str = "home") -> None:
        """Restore the trees, compare them, and remove the copy."""
        target = self.scratch / "restored"
        self.run("seed", "restore", "latest", "--target", target, *where, home=home)
        began = time.monotonic()
        left = "".join(trees.rsync(source, below(target, source)) for source in (self.source, self.odd))
        left += "\n".join(trees.differences(self.odd, below(target, self.odd)))
        print(f"  compared in {time.monotonic() - began:.1f} s: {_verdict(left)}", flush=True)
        if left:
            self.failures.append(title)
        shutil.rmtree(target)

    def go(self, disks: list[LoopDisk]) -> None:
        vault, credential = self.scratch / "vault", self.scratch / "credential"
        secret = self.scratch / "passphrase"
        secret.write_text(PASSPHRASE + "\n")
        self.run("importer", "vault", "create", "Big", "--at", vault, "--region", "here")
        self.run("importer", "credentials", "issue", "--vault", vault, "--out", credential)
        self.run("seed", "register", "--credential", credential, "--name", "big", "--passphrase-file", secret)
        to = [word for disk in disks for word in ("--to", disk.path)]
        self.run("seed", "export", self.source, self.odd, *to, "--one-file-system", codes=(0, 3))
        for disk in disks:
            print(f"  the {disk.fstype} holds {used(disk.path) / MIB:,.0f} MiB")
        self.run("seed", "export", *to)
        self.run("seed", "verify", *(disk.path for disk in disks))
        for disk in disks:
            disk.unmount()
            disk.mount("ro")
        for disk in reversed(disks):
            self.run("importer", "inspect", disk.path)
            self.run("importer", "import", disk.path, "--vault", vault)
        print(f"  the vault holds {used(vault) / MIB:,.0f} MiB")
        self.run("importer", "import", *(disk.path for disk in disks), "--vault", vault)
        self.restore("from the vault", "--vault", vault)
        places = [word for disk in disks for word in ("--from", disk.path)]
        self.restore("from the disks", *places)
        self.restore("with an empty home", *places, "--passphrase-file", secret, home="none")


def used(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def allocated(source: Path) -> int:
    """Return the bytes that a tree takes on its own file system, an upper bound of its stored size."""
    done = subprocess.run(["du", "-sxB1", str(source)], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0])


def mounted(stack: ExitStack, scratch: Path, kinds: Sequence[str], size: int) -> list[LoopDisk]:
    """Mount a disk of each kind, and unmount them when the stack closes."""
    disks = []
    for kind in kinds:
        folder = scratch / kind
        folder.mkdir()
        disks.append(LoopDisk(folder, size, kind))
        stack.callback(disks[-1].unmount)
        disks[-1].mount()
    return disks


def _verdict(left: str) -> str:
    lines = left.splitlines()
    return "nothing to do" if not lines else "\n".join([f"{len(lines)} differences", *lines[:SHOWN]])


def _missing() -> Iterator[str]:
    for facility in ("root", "loop", "rsync", "exfat", "xfs"):
        if why := lacking(facility):
            yield f"{facility}: {why}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, nargs="?", default=Path("/usr"))
    parser.add_argument(
        "--scratch", type=Path, help="a folder with room; else the system's for temporary files"
    )
    options = parser.parse_args()
    if missing := list(_missing()):
        print(f"NOT TESTED, needs {'; '.join(missing)}")
        return 2
    source: Path = options.source.resolve()
    size = allocated(source)
    print(f"{source}: {size / MIB:,.0f} MiB allocated")
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="offseed-journey-", dir=options.scratch))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        disks = mounted(stack, scratch, KINDS, size // 2 + 512 * MIB)
        journey = Journey(scratch, source, trees.odd_tree(scratch / "odd"))
        journey.go(disks)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(f"\nThe highest peak of memory of any command was {peak} MiB.")
    print(f"Differences: {', '.join(journey.failures)}" if journey.failures else "All three came back equal.")
    return 1 if journey.failures else 0


if __name__ == "__main__":
    sys.exit(main())
