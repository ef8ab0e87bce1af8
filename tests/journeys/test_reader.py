"""The small reader, `docs/reader.py`, restores every kind of point with nothing but the rules of SPEC."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.journeys import devices, trees
from tests.journeys.stage import Copy, Stage, backup, below
from tests.test_import_graph import ROOT

assert sys.platform == "linux"

READER = ROOT / "docs/reader.py"
LINES_MAX = 300  # without empty ones
COLUMNS_MAX = 110
# In a folder of its own, with modules of ours hidden: the reader stands alone.
ALONE = "import sys, runpy; sys.path[:] = [p for p in sys.path if 'offseed' not in p and p != {root!r}]; " \
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"  # fmt: skip


def read(
    stores: Sequence[object], secret: Path, target: Path, *point: str, code: int = 0
) -> "subprocess.CompletedProcess[str]":
    words = [*map(str, stores), "--passphrase-file", str(secret), "--target", str(target), *point]
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(root=str(ROOT)), str(READER), *words],
        cwd="/", env=plain, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    return done


def same(source: Path, target: Path) -> bool:
    return trees.differences(source, below(target, source)) == []


def test_it_is_small_and_imports_nothing_of_ours() -> None:
    lines = READER.read_text("utf-8").splitlines()
    assert sum(1 for line in lines if line) <= LINES_MAX
    assert max(map(len, lines)) <= COLUMNS_MAX
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert not imported & {"formats", "seed", "importer", "tests"}


def test_a_seed_from_its_disk(exported: Stage, small_tree: Path, room: Path) -> None:
    read([exported.disk], exported.secret, room / "back")
    assert same(small_tree, room / "back")


def test_a_seed_from_the_vault(imported: Stage, small_tree: Path, room: Path) -> None:
    read([imported.vault], imported.secret, room / "back")
    assert same(small_tree, room / "back")


@pytest.mark.needs("root")
def test_every_odd_kind_of_entry(copy_of: Copy, opened: Stage, odd_tree: Path, room: Path) -> None:
    stage = copy_of(opened)
    stage.run("seed", "export", odd_tree, "--to", stage.disk, code=None)
    read([stage.disk], stage.secret, room / "back")
    stage.run("seed", "restore", "latest", "--from", stage.disk, "--target", room / "by seed")
    assert [d for d in trees.differences(room / "by seed", room / "back") if not d.startswith("b'':")] == []


def test_an_incremental_and_the_point_before_it(lived: Stage, source: Path, room: Path) -> None:
    older = lived.run("seed", "points", "--json").json
    before = room / "before"
    subprocess.run(["cp", "-a", source, before], check=True)
    (source / "new").write_bytes(trees.incompressible(3 << 20, 5))
    backup(lived)
    read([lived.vault], lived.secret, room / "back")
    assert same(source, room / "back")
    newest = max(older, key=lambda point: point["sequence"])["point"]
    read([lived.vault], lived.secret, room / "older", str(newest))
    assert trees.differences(before, below(room / "older", source)) == []


def test_a_set_of_several_disks(
    copy_of: Copy, opened: Stage, small_tree: Path, rack: devices.Rack, room: Path
) -> None:
    stage = copy_of(opened)
    disks = [rack.disk(64 << 20).path for _ in range(2)]
    stage.run("seed", "export", small_tree, *(word for disk in disks for word in ("--to", disk)))
    read(disks, stage.secret, room / "back")
    assert same(small_tree, room / "back")


def test_a_second_passphrase(copy_of: Copy, imported: Stage, small_tree: Path, room: Path) -> None:
    stage = copy_of(imported)
    second = room / "second"
    second.write_text("quite another passphrase than the first\n")
    stage.run("seed", "key", "add", "--new-passphrase-file", second)
    stage.run("seed", "backup", code=None)
    read([stage.vault], second, room / "back")
    assert same(small_tree, room / "back")


def test_a_shipment_from_the_vault(copy_of: Copy, imported: Stage, small_tree: Path, room: Path) -> None:
    stage = copy_of(imported)
    disk = room / "sent"
    disk.mkdir()
    stage.run("importer", "export", "latest", "--machine", "web1", "--to", disk, "--vault", stage.at)
    read([disk], stage.secret, room / "back")
    assert same(small_tree, room / "back")


def test_a_wrong_passphrase_opens_nothing(imported: Stage, room: Path) -> None:
    wrong = room / "wrong"
    wrong.write_text("not the passphrase of this vault\n")
    assert "no key slot" in read([imported.vault], wrong, room / "back", code=1).stderr


def test_what_is_damaged_is_named_and_the_rest_restored(
    copy_of: Copy, imported: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(imported)
    archives = sorted(stage.vault.glob("archives/*/*"), key=lambda path: path.stat().st_size)
    data = bytearray(archives[-1].read_bytes())
    data[len(data) // 3] ^= 1
    archives[-1].write_bytes(bytes(data))
    done = read([stage.vault], stage.secret, room / "back", code=1)
    named = [line for line in done.stderr.splitlines() if "was lost, or no store has it whole" in line]
    assert named
    missing = {line.split(":")[0].rpartition("/")[2] for line in named}
    assert all(any(name in line for name in missing) for line in trees.differences(small_tree, below(room / "back", small_tree)))  # fmt: skip
