"""A disk that may hold lost files: it is never called erasable, even if the files change later."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from formats.tables.archive import CONTENT_CLASS, parse
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, disks, kept, restored, to

assert sys.platform == "linux"


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


@pytest.fixture
def spoilt(copy_of: Copy, opened: Stage, source: Path) -> Stage:
    """Return a stage with two erasable disks; vault and source then lost the content of the first."""
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB")
    for path in paths:
        stage.run("importer", "import", path, "--vault", stage.at)
    assert erasable(stage) == {1: True, 2: True}
    kept(source, stage.folder, "before")
    for archive in paths[0].glob("offseed/*/archives/*/*"):
        if parse(archive.read_bytes(), "archive").archive_class == CONTENT_CLASS:
            (stage.vault / "archives" / archive.parent.name / archive.name).unlink()
    subprocess.run(["rm", "-rf", "--", str(source)], check=True)
    stage.run("importer", "validate", "--vault", stage.at)
    assert stage.run("seed", "repair", "--json", code=3).json["lost_files"] > 0
    return stage


def status(stage: Stage, code: int = 0) -> list[Any]:
    (disk_set,) = stage.run("importer", "status", "--vault", stage.at, "--json", code=code).json[0]["sets"]
    found: list[Any] = disk_set["disks"]
    return found


def erasable(stage: Stage) -> dict[int, bool]:
    return {disk["number"]: disk["may_be_erased"] for disk in status(stage)}


def test_it_is_kept_until_the_vault_has_again_what_lies_on_it(
    spoilt: Stage, source: Path, room: Path
) -> None:
    (first, second) = status(spoilt)
    assert first["state"] == "received: what points have lost may lie on it: keep it"
    assert (first["may_be_erased"], second["may_be_erased"]) == (False, True), (
        "the vault has all of the other"
    )
    done = spoilt.run("importer", "import", spoilt.folder / "disk 1", "--vault", spoilt.at, "--json").json
    assert done["disks"][0]["may_be_erased"]
    assert erasable(spoilt) == {1: True, 2: True}
    (point,) = spoilt.run("importer", "points", "--vault", spoilt.at, "--json").json
    assert point["lost_files"] > 0, "its machine has yet to take them back"
    taken = spoilt.run("seed", "repair", "--json").json["taken_back"]
    assert taken == [{"point": point["point"], "files": point["lost_files"]}]
    back = restored(spoilt, point["point"], room, source)
    assert trees.differences(spoilt.folder / "before", back) == []


def test_what_a_disk_held_and_nobody_can_read_is_taken_for_lost(spoilt: Stage) -> None:
    """Assume lost files on a disk with unreadable holdings: readable ones must prove the opposite."""
    for table in spoilt.vault.glob("holdings/**/*"):
        if table.is_file():
            table.write_bytes(b"?")
    assert [disk["may_be_erased"] for disk in status(spoilt)] == [False, False]


def test_a_disk_with_nothing_that_is_lost_comes_again_and_may_be_erased(spoilt: Stage) -> None:
    shutil.rmtree(spoilt.folder / "disk 1")
    words = ("importer", "import", spoilt.folder / "disk 2", "--vault", spoilt.at, "--json")
    assert [disk["may_be_erased"] for disk in spoilt.run(*words).json["disks"]] == [True]
