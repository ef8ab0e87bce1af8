"""The memory of the real command, which stays under 300 MiB for any number of disks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage

assert sys.platform == "linux"

MIB = 1 << 20
PEAK_MAX = 300 * MIB + max((os.cpu_count() or 2) - 2, 0) * 8 * MIB  # each processor has its own compressor
# A separate process, because the memory before a fork counts for the peak, and the test process is large.
MEASURE = """import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))"""


@pytest.fixture(scope="module")
def heavy_tree(ground: Path, real_tree: Path) -> Path:
    """Return thousands of real files, and enough incompressible data to fill every buffer."""
    root = ground / "heavy tree"
    root.mkdir()
    subprocess.run(["cp", "-al", str(real_tree), str(root / "real")], check=True)
    for number in range(3):
        (root / f"{number}.bin").write_bytes(trees.incompressible(96 * MIB, number))
    return root


@pytest.mark.parametrize("count", [1, 3, 8])
def test_peak_memory(copy_of: Copy, opened: Stage, heavy_tree: Path, count: int) -> None:
    stage = copy_of(opened)
    paths = [stage.folder / f"disk {number}" for number in range(count)]
    for path in paths:
        path.mkdir()
    words = (*stage.command("seed"), "export", str(heavy_tree), *(w for p in paths for w in ("--to", str(p))))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words],
        env=stage.environment({}),
        capture_output=True,
        text=True,
        check=True,
    )
    peak = int(done.stdout.splitlines()[-1]) * 1024
    print(f"{count} disks: {peak / MIB:.0f} MiB")
    assert all(any((p / "offseed").glob("*/archives/*/*")) for p in paths)
    assert peak < PEAK_MAX
