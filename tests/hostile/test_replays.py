"""Genuine documents that somebody shows again.

They are inventories of a disk that was erased since, and credentials under a clock that was set back.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.commands import installed
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below

assert sys.platform == "linux"


def reused(stage: Stage, room: Path) -> tuple[Path, Path]:
    """Return a folder with the old content of a reused disk, and the source of its new content.

    The disk was imported, erased and written anew. The old content is read back, which is a later generation.
    """
    stage.run("seed", "verify", stage.disk)
    old = room / "old" / stage.seeded.name
    shutil.copytree(stage.seeded, old)
    assert [d["may_be_erased"] for d in stage.import_()["disks"]] == [True]
    shutil.rmtree(stage.disk / "offseed")
    source = room / "source"
    source.mkdir()
    (source / "new").write_bytes(trees.incompressible(3 << 20, 7))
    stage.run("seed", "export", source, "--once", "--again", "--to", stage.disk, "--offline")
    return old, source


def code_of(told: "dict[str, list[dict[str, str]]]") -> set[str]:
    return {finding["code"] for finding in told["findings"]}


def test_an_inventory_from_before_a_disk_was_erased_closes_nothing(
    copy_of: Copy, exported: Stage, room: Path
) -> None:
    """Close nothing by an inventory from before the disk was erased.

    The same machine signed it, and its generation is higher than that of the disk.
    """
    stage = copy_of(exported)
    old, source = reused(stage, room)
    for path in (old / "inventories").iterdir():
        shutil.copy(path, stage.seeded / "inventories" / path.name)
    told = stage.import_(code=3)
    assert code_of(told) == {"disk-foreign"}
    assert [disk["may_be_erased"] for disk in told["disks"]] == [False], (
        "what was put there is for a person to look at"
    )
    stage.run("seed", "backup", source, "--once", code=None)
    stage.restore(room / "back", "--vault", stage.at)
    assert trees.differences(source, below(room / "back", source)) == []


def test_with_an_archive_taken_away_as_well_the_disk_is_kept(
    copy_of: Copy, exported: Stage, room: Path
) -> None:
    """Keep the disk if an archive is gone as well: the old inventory does not list the new archives."""
    stage = copy_of(exported)
    old, _ = reused(stage, room)
    for path in (old / "inventories").iterdir():
        shutil.copy(path, stage.seeded / "inventories" / path.name)
    max(stage.objects("archives"), key=lambda p: p.stat().st_size).unlink()
    told = stage.import_(code=3)
    assert [disk["may_be_erased"] for disk in told["disks"]] == [False]


def test_the_label_and_inventory_from_before_make_the_new_disk_foreign(
    copy_of: Copy, exported: Stage, room: Path
) -> None:
    stage = copy_of(exported)
    old, _ = reused(stage, room)
    shutil.copy(old / "label", stage.seeded / "label")
    shutil.rmtree(stage.seeded / "inventories")
    shutil.copytree(old / "inventories", stage.seeded / "inventories")
    told = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=1).json
    assert told["error"]["code"] == "disk-foreign"


def test_the_folder_from_before_says_nothing_of_the_new_one(
    copy_of: Copy, exported: Stage, room: Path
) -> None:
    """Judge the new disk by itself, though the old folder lies beside it without its archives.

    The vault has the old archives.
    """
    stage = copy_of(exported)
    old, _ = reused(stage, room)
    new = stage.seeded
    shutil.copytree(old, stage.disk / "offseed" / old.name, ignore=lambda _, names: {"archives"} & set(names))
    max((new / "archives").rglob("*"), key=lambda p: p.stat().st_size).unlink()
    told = stage.import_(code=3)
    assert {d["may_be_erased"] for d in told["disks"] if d["disk"].startswith(new.name[:8])} == {False}


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("files", [True, False], ids=["and the file's time too", "alone"])
def test_a_clock_set_back_makes_no_expired_credential_good(copy_of: Copy, bare: Stage, files: bool) -> None:
    """Let an expired credential wait by the importer's own clock.

    The machine's clock says that it is still valid, and so does its request.
    """
    stage = copy_of(bare)
    stage.register()
    if files:
        for path in (stage.vault / "requests").iterdir():
            os.utime(path, (1, 1))
    stage.command = lambda program: ("faketime", "-f", "+3d", *installed(program))
    told = stage.run("importer", "machines", "list", "--vault", stage.at, "--json")
    (machine,) = told.json
    assert machine["status"] == "waiting"
    stage.run("seed", "status", code=None)
