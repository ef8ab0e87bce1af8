"""Disks side by side: `python -m tests.benchmarks.disks [RATE,RATE… …] [--seconds N]`.

It exports data that does not compress, first to each disk alone, then to sets of disks. The sets are equal disks, a
slow one beside a fast one, and disks without a limit. A disk is an ext4 file system on a loop device with its image in
memory. The kernel's cgroups hold back the writes of the export. Each export is as large as its disks can take in the
wanted seconds, so that beginning and ending weigh alike in all.

`plain` is the rate of the same disks, one after the other, for 32 MiB at a time, flushed at the end.
The last column divides the rate of all disks together by the sum of their rates in exports of their own. It is 1.00 if
none holds up another, and less if the processors are the limit. `processors` tells how many of them were at work.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.benchmarks.measure import SHARED_MEMORY, StepFailedError, run, scratch_folder, totals, words
from tests.benchmarks.programs import Offseed, environment
from tests.facilities import LoopDisk

assert sys.platform != "win32"

MB = 1_000_000
FILE = 50 * MB
PROBE = 32 << 20  # the size of an archive with two or three disks
UNLIMITED = 0
UNLIMITED_SIZE = 2500 * MB
SPARE = 400 * MB  # of a disk, beside all exported data
SETS = ("30,30", "30,30,30", "10,60", "0,0", "0,0,0")
V1, V2 = Path("/sys/fs/cgroup/blkio"), Path("/sys/fs/cgroup")
JOIN = 'echo $$ > "$0" && exec "$@"'


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.disks", description=__doc__)
    parser.add_argument(
        "sets", nargs="*", default=SETS, metavar="RATES", help="MB/s, as in 10,60; 0: no limit"
    )
    parser.add_argument("--seconds", type=int, default=20, metavar="N", help="an export takes; default: 20")
    parser.add_argument(
        "--scratch", type=Path, default=SHARED_MEMORY, metavar="DIR", help="default: /dev/shm"
    )
    wanted = parser.parse_args()
    sets = [tuple(map(int, rates.split(","))) for rates in wanted.sets]
    print(
        "| disks, MB/s | stored MB | s | processors | MB/s of each | together | plain | ÷ plain | ÷ each alone |"
    )
    print("|---|--:|--:|--:|---|--:|--:|--:|--:|", flush=True)
    single = {
        rate: measure((rate,), wanted.seconds, wanted.scratch, 0.0)
        for rate in sorted({rate for rates in sets for rate in rates})
    }
    for rates in sets:
        if len(rates) > 1:
            measure(rates, wanted.seconds, wanted.scratch, sum(single[rate] for rate in rates))
    return 0


def measure(rates: Sequence[int], seconds: int, scratch: Path, singles: float) -> float:
    """Export for so many seconds to disks of these rates, print a row, and return the common rate in MB/s."""
    size = sum(rates) * seconds * MB if all(rates) else UNLIMITED_SIZE
    with scratch_folder(scratch, "offseed-disks-") as folder, ExitStack() as stack:
        source = folder / "source"
        _fill(source, size)
        program = Offseed(level=1)
        for command in program.preparation(folder):
            subprocess.run(words(command), env=environment(program, folder), check=True, capture_output=True)
        disks = [stack.enter_context(_disk(folder / f"disk-{n}", size + SPARE)) for n in range(len(rates))]
        group = stack.enter_context(_held_back(dict(zip(disks, rates, strict=True))))
        plain = sum(_plain(disk, group) for disk in disks)
        export = _in_group(group, [*program.export(source), *_to(disks)])
        usage = run(export, environment(program, folder), folder, folder / "log")
        each = [totals(disk.path / "offseed").file_bytes / MB / usage.seconds for disk in disks]
    total = sum(each)
    names, shares = (
        " + ".join(str(rate or "∞") for rate in rates),
        ", ".join(f"{share:.1f}" for share in each),
    )
    print(
        f"| {names} | {total * usage.seconds:,.0f} | {usage.seconds:.1f} | {usage.cpu_seconds / usage.seconds:.2f} "
        f"| {shares} | {total:.1f} | {plain:.1f} | {total / plain:.2f} | {f'{total / singles:.2f}' if singles else ''} |",
        flush=True,
    )
    return total


def _to(disks: Sequence[LoopDisk]) -> list[str]:
    return [word for disk in disks for word in ("--to", str(disk.path))]


def _fill(folder: Path, size: int) -> None:
    folder.mkdir()
    noise = random.Random(size)
    for number in range(max(1, size // FILE)):
        (folder / f"{number}.mkv").write_bytes(noise.randbytes(FILE))


@contextmanager
def _disk(folder: Path, size: int) -> Iterator[LoopDisk]:
    folder.mkdir()
    disk = LoopDisk(folder, size, "ext4")
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


@contextmanager
def _held_back(rates: dict[LoopDisk, int]) -> Iterator[Path]:
    """Yield a group that limits the writes of its processes to these disks. The kernel forgets it with the group."""
    modern = (V2 / "cgroup.controllers").exists()
    group = (V2 if modern else V1) / f"offseed-disks-{os.getpid()}"
    if modern:
        (V2 / "cgroup.subtree_control").write_text("+io")
    group.mkdir()
    try:
        for disk, rate in rates.items():
            if rate == UNLIMITED:
                continue
            status = os.stat(disk.device)
            device = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
            if modern:
                (group / "io.max").write_text(f"{device} wbps={rate * MB}")
            else:
                (group / "blkio.throttle.write_bps_device").write_text(f"{device} {rate * MB}")
        yield group
    finally:
        group.rmdir()


def _in_group(group: Path, command: Sequence[str]) -> list[str]:
    return ["sh", "-c", JOIN, str(group / "cgroup.procs"), *command]


def _plain(disk: LoopDisk, group: Path) -> float:
    """Return the MB/s of plain files, each flushed at its end."""
    took = 0.0
    for _ in range(3):
        path = disk.path / "probe"
        probe = ["dd", "if=/dev/zero", f"of={path}", f"bs={PROBE}", "count=1", "conv=fsync", "status=none"]
        began = time.perf_counter()
        subprocess.run(_in_group(group, probe), check=True)
        took += time.perf_counter() - began
        path.unlink()
    return 3 * PROBE / MB / took


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError, StepFailedError) as problem:
        raise SystemExit(f"benchmarks: {problem}") from problem
