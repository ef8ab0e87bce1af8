"""Disks in the post: an attacker that can only add to a vault makes neither them nor their archives arrive.

Only a receipt of the authority says that a disk came (SEEN-4), and a point earns its term by content
(SEEN-5).
"""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from formats.ids import HexDigest
from formats.layout import disk_folder, numbered
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, a_day_later, backup, below, keep_firsts

assert sys.platform == "linux"


@pytest.fixture
def posted(copy_of: Copy, opened: Stage, source: Path, room: Path) -> Stage:
    """Return a stage with a point in the vault, and a later one on a disk that travels.

    The vault knows the set of the disk.
    """
    stage = copy_of(opened)
    keep_firsts(stage, days=1)
    backup(stage, source)
    (source / "film").write_bytes(trees.incompressible(5 << 20, 7))
    stage.run("seed", "export", "--again", "--to", stage.disk)
    return stage


def test_an_unsigned_object_below_disks_is_no_disk_that_came(posted: Stage, source: Path, room: Path) -> None:
    stage = posted
    (standing,) = status(stage)
    machine, disk_set = standing["machine"], standing["sets"][0]["set"]
    folder = stage.vault / "disks" / machine / disk_folder(disk_set, 1)
    (genuine,) = (stage.disk / "offseed" / disk_folder(disk_set, 1) / "inventories").iterdir()
    folder.mkdir(parents=True)
    for junk in (b"", b"x"):
        (stage.vault / numbered(f"disks/{machine}/{folder.name}", 9, HexDigest("ab" * 32))).write_bytes(junk)
    (folder / genuine.name).write_bytes(genuine.read_bytes())  # a replay: somebody has read the disk
    stage.run("importer", "prune", "--vault", stage.at, code=None)
    awaits_its_disk(stage)
    result: dict[str, Any] = backup(stage, code=None)
    assert [f for f in result["findings"] if f["code"] == "content-lost"] == []
    comes(stage, source, room)


def test_junk_under_the_names_of_archives_in_the_post_is_not_there(
    posted: Stage, source: Path, room: Path
) -> None:
    stage = posted
    first = str(points(stage)[0]["point"])
    squat(stage, lambda data: random.Random(1).randbytes(len(data)))
    awaits_its_disk(stage)
    for _ in range(3):
        a_day_later(stage)
        stage.run("importer", "prune", "--vault", stage.at, code=None)
    awaits_its_disk(stage)
    assert first in [point["point"] for point in points(stage)], "no point that is not there pushes one out"
    comes(stage, source, room)


def test_a_disk_that_is_given_up_is_missed_whatever_lies_under_its_names(
    posted: Stage, source: Path, room: Path
) -> None:
    """Send the content of a given-up disk again, though junk lies under its names.

    The junk has the right head, so only its content tells.
    """
    stage = posted
    squat(stage, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    (standing,) = status(stage)
    name = f"{standing['sets'][0]['set'][:8]}/1"
    assert stage.run("seed", "resend", name, "--json").json["lost_files"] == 0
    target = room / "back"
    stage.run("seed", "restore", "latest", "--target", target, "--vault", stage.at)
    assert trees.differences(source, below(target, source)) == []


def test_what_is_not_what_its_name_says_earns_no_term(copy_of: Copy, opened: Stage, source: Path) -> None:
    """Give no term to a point with an archive that does not fit its name.

    A cable broke: the second point is there by its names. The first one, which is whole, stays.
    """
    stage = copy_of(opened)
    keep_firsts(stage, days=1)
    first = str(backup(stage, source)["point"])
    stage.run("importer", "prune", "--vault", stage.at)
    a_day_later(stage)
    before = set(archives(stage.vault))
    (source / "film").write_bytes(trees.incompressible(5 << 20, 7))
    second = str(backup(stage)["point"])
    largest = max(set(archives(stage.vault)) - before, key=lambda path: path.stat().st_size)
    largest.write_bytes(bytes(largest.stat().st_size))
    for _ in range(2):
        a_day_later(stage)
        found = stage.run("importer", "prune", "--vault", stage.at, "--json", code=3).json
        assert "object-damaged" in {finding["code"] for finding in found["findings"]}
        assert second not in {point["point"] for point in found["points"]}
    assert first in [point["point"] for point in points(stage)]
    stage.run("importer", "validate", "--vault", stage.at, code=None)
    stage.run("seed", "repair", code=None)
    stage.run("importer", "validate", "--vault", stage.at, code=None)
    found = stage.run("importer", "prune", "--vault", stage.at, "--json", code=None).json
    assert second in {point["point"] for point in found["points"]}, "once it is whole"


@pytest.mark.parametrize("flip", [True, False], ids=["flipped", "gone"])
def test_a_disk_of_which_the_receipt_is_lost_has_come(copy_of: Copy, exported: Stage, flip: bool) -> None:
    """Count a disk as arrived though its receipt is lost: a register lists its inventory.

    Its point waits for nothing, and prune waits for no import.
    """
    stage = copy_of(exported)
    stage.run("importer", "points", "--vault", stage.at)  # this accepts the machine
    stage.import_()
    before = points(stage)
    (receipt,) = stage.vault.glob("jobs/*/0000000002-*")
    data = bytearray(receipt.read_bytes())
    data[len(data) // 2] ^= 1
    if flip:
        receipt.write_bytes(data)
    else:
        receipt.unlink()
    assert points(stage) == before
    assert all(point["complete"] for point in before)
    pruned = stage.run("importer", "prune", "--vault", stage.at, "--json", code=None)
    assert pruned.json["importing"] == []


def archives(folder: Path) -> list[Path]:
    return sorted((folder / "archives").glob("*/*"))


def squat(stage: Stage, junk: Callable[[bytes], bytes]) -> None:
    """Put an object of the right size under each name of an archive that only the disk has."""
    squatted = 0
    for path in archives(next((stage.disk / "offseed").iterdir())):
        place = stage.vault / "archives" / path.parent.name / path.name
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(junk(path.read_bytes()))
            os.utime(place, (0, 0))
            squatted += 1
    assert squatted


def awaits_its_disk(stage: Stage) -> None:
    for program in ("importer", "seed"):
        last = points(stage, program)[-1]
        assert not last["complete"], program
        assert [disk["number"] for disk in last["awaited_disks"]] == [1], program
    (standing,) = status(stage)
    (disk,) = standing["sets"][0]["disks"]
    assert disk["received"] is None
    assert not disk["may_be_erased"]
    shown = stage.run("seed", "set", "show", "--json", "--vault", stage.at).json
    assert "arrived" not in str(shown)


def comes(stage: Stage, source: Path, room: Path) -> None:
    """Import the disk after all, and check that everything is there."""
    stage.run("importer", "import", stage.disk, "--vault", stage.at, code=None)
    assert all(point["complete"] for point in points(stage))
    (standing,) = status(stage)
    assert standing["sets"][0]["disks"][0]["may_be_erased"]
    target = room / "back"
    stage.run("seed", "restore", "latest", "--target", target, "--vault", stage.at)
    assert trees.differences(source, below(target, source)) == []


def points(stage: Stage, program: str = "importer") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.run(program, "points", "--vault", stage.at, "--json").json
    return found


def status(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.run("importer", "status", "--vault", stage.at, "--json").json
    return found
