"""Objects that differ from their names, and disks that went back in time: a size proves nothing."""

import shutil
import sys
from pathlib import Path

import pytest

from formats.errors import HomeError
from seed.points.previous_rows import RowJournal
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below

assert sys.platform == "linux"

MIB = 1 << 20


def zero(path: Path) -> None:
    """Zero a file, like a bridge that kept its length and lost its bytes."""
    path.write_bytes(bytes(path.stat().st_size))


def reopen(stage: Stage) -> None:
    """Put the home in its state after a kill between the last writes to the disk and its own write."""
    (state,) = stage.home.glob("sets/*/set.json")
    state.write_text(state.read_text().replace('"finished"', '"open"'))


@pytest.mark.parametrize(
    "prefix", ["manifests", "needs", "indexes", "slots", "requests", "holdings", "inventories", "sets"]
)
def test_what_is_torn_at_its_right_length_is_put_again(
    copy_of: Copy, exported: Stage, small_tree: Path, room: Path, prefix: str
) -> None:
    stage = copy_of(exported)
    for path in stage.objects(prefix):
        zero(path)
    reopen(stage)
    stage.export(small_tree)
    looked = stage.run("importer", "inspect", stage.disk, "--json", code=None).json["disks"]
    assert [(d["closed"], d["finished"]) for d in looked] == [(True, True)]
    stage.restore(room / "restored", "--from", stage.disk, "--passphrase-file", stage.secret)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []
    if prefix not in ("inventories", "sets"):
        assert stage.import_()["disks"][0]["may_be_erased"]


def test_a_damaged_copy_in_the_home_is_not_announced(
    copy_of: Copy, opened: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(opened)
    stage.run("seed", "export", small_tree, "--to", stage.disk, "--offline")
    for path in stage.home.glob("sets/*/cache/archives/*/*"):
        zero(path)
    told = stage.run("seed", "points", "--vault", stage.at)
    assert "cannot be announced" in told.stderr
    assert stage.run("importer", "points", "--vault", stage.at, "--json").json == []
    assert stage.import_()["disks"][0]["may_be_erased"]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def test_an_announced_catalog_is_compared_with_the_disks(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    for path in stage.vault.glob("archives/*/*"):
        zero(path)
    done = stage.import_(code=3)
    assert {f["code"] for f in done["findings"]} == {"object-damaged"}
    assert done["disks"][0]["may_be_erased"], "the disk's took the place of those"
    stage.run("importer", "validate", "--vault", stage.at)


def test_both_of_two_sets_are_announced_later(copy_of: Copy, opened: Stage, small_tree: Path) -> None:
    stage = copy_of(opened)
    for again in ((), ("--again",)):
        stage.run("seed", "export", small_tree, "--to", stage.disk, "--offline", *again)
    points = stage.run("seed", "points", "--vault", stage.at, "--json").json
    assert [p["sequence"] for p in points] == [1, 2]


def test_a_disk_as_it_was_before_its_last_closing_may_not_be_erased(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    source = room / "source"
    source.mkdir()
    for number in range(12):
        (source / f"{number}.bin").write_bytes(trees.incompressible(2 * MIB, number))
    stage = copy_of(opened)
    (second := room / "second").mkdir()
    stage.run("seed", "export", source, "--to", stage.disk, "--use-at-most", "20MiB", code=4)
    shutil.copytree(stage.disk, room / "old")
    stage.run("seed", "export", source, "--to", stage.disk, "--to", second, "--use-at-most", "20MiB")
    done = stage.run("importer", "import", room / "old", "--vault", stage.at, "--json", code=3).json
    assert {f["code"] for f in done["findings"]} == {"disk-older"}
    assert not done["disks"][0]["may_be_erased"]
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert [d["number"] for d in point["awaited_disks"]] == [1, 2] or point["complete"]
    for disk in (stage.disk, second):
        done = stage.run("importer", "import", disk, "--vault", stage.at, "--json").json
        assert done["disks"][0]["may_be_erased"]


def test_again_said_again_goes_on_with_what_it_began(copy_of: Copy, exported: Stage, room: Path) -> None:
    source = room / "source"
    source.mkdir()
    for number in range(8):
        (source / f"{number}.bin").write_bytes(trees.incompressible(2 * MIB, number))
    stage = copy_of(exported)
    (third := room / "third").mkdir()
    words = ("export", source, "--again", "--once", "--use-at-most", "14MiB", "--json")
    (room / "second").mkdir()
    stage.run("seed", *words, "--to", room / "second", code=4)
    done = stage.run("seed", *words, "--to", third).json
    assert (done["resumed"], done["disks"]) == (True, [1, 2])


def test_rows_that_cannot_be_journalled_end_the_run() -> None:
    """End the run on a full home: it is no unreadable file, and the catalog would lack the lost rows."""
    with pytest.raises(HomeError) as caught:
        RowJournal(Path("/dev/full")).append(b"segment")
    assert caught.value.code == "home-room"
