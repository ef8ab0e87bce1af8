"""The real command stays under 300 MiB, however many disks it writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage

assert sys.platform == "linux"

MIB = 1 << 20
PEAK_MAX = 300 * MIB


@pytest.fixture(scope="module")
def heavy_tree(ground: Path, real_tree: Path) -> Path:
    """Thousands of real files, and enough that cannot be compressed to fill every buffer."""
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
    with subprocess.Popen(
        words, env=stage.environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    peak = used.ru_maxrss * 1024
    print(f"{count} disks: {peak / MIB:.0f} MiB")
    assert running.returncode == 0
    assert all(any((p / "offseed").glob("*/archives/*/*")) for p in paths)
    assert peak < PEAK_MAX
