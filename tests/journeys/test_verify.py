"""`seed verify`: it reads the whole disk past the page cache, and names damage for a later repair.

The disk's next inventory certifies the objects read, and the importer takes it like any other.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.readings import MIB, codes, flip_middle, halve, inventories, remove, verify
from tests.journeys.stage import (
    Copy,
    Stage,
    below,
    flip,
    in_parallel,
    prepared,
    refused,
    snapshot,
)

assert sys.platform == "linux"


def test_each_verification_is_certified_by_the_next_inventory(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    count = len([p for p in stage.seeded.rglob("*") if p.is_file()])
    said = stage.run("seed", "verify", stage.disk)
    assert "generation 2, just written" in said.stdout
    assert f"{count:,} objects" in said.stdout
    (disk,) = verify(stage)["disks"]
    assert (disk["generation"], disk["certified"], disk["damaged"]) == (3, True, 0)
    assert disk["objects"] == count + 1
    assert disk["records"] > 0
    first, second, third = inventories(stage)
    assert "verified" not in first
    assert {n: second["verified"][n] for n in ("objects", "records", "damaged")} == {
        "objects": count,
        "records": disk["records"],
        "damaged": 0,
    }
    changed = {"generation", "previous", "created", "verified"}
    for before, after in ((first, second), (second, third)):
        assert {n: v for n, v in before.items() if n not in changed} == {
            n: v for n, v in after.items() if n not in changed
        }
    seen = stage.run("importer", "inspect", stage.disk, "--json").json
    assert [d["generation"] for d in seen["disks"]] == [3]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_verified_disk_is_imported_like_any_other(copy_of: Copy, exported: Stage, when: str) -> None:
    stage = copy_of(exported)
    if when == "after":
        stage.import_()
    verify(stage)
    for unchanged in (False, True):
        (disk,) = stage.import_()["disks"]
        assert (disk["generation"], disk["may_be_erased"], disk["unchanged"]) == (2, True, unchanged)


def test_what_was_verified_is_restored(copy_of: Copy, exported: Stage, small_tree: Path, room: Path) -> None:
    stage = copy_of(exported)
    verify(stage)
    stage.restore(room / "restored", "--from", stage.disk)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []
    assert stage.export(small_tree)["already"]


def test_the_passphrase_opens_everything_and_signs_nothing(
    copy_of: Copy, exported: Stage, room: Path
) -> None:
    stage = copy_of(exported)
    before = snapshot(stage.disk)
    stage.home = room / "no home"
    done = stage.run("seed", "verify", stage.disk, "--passphrase-file", stage.secret, "--json")
    (disk,) = done.json["disks"]
    assert (disk["certified"], disk["generation"], disk["damaged"]) == (False, 1, 0)
    assert disk["records"] > 0
    assert "cannot sign the result onto" in done.stderr
    assert snapshot(stage.disk) == before
    wrong = room / "wrong"
    wrong.write_text("another passphrase altogether\n")
    words = ("verify", stage.disk, "--passphrase-file", wrong, "--json")
    refused(stage.run("seed", *words, code=1), "passphrase-wrong")
    refused(stage.run("seed", "verify", stage.disk, "--json", code=2), "passphrase-missing")
    flip(stage.objects("archives")[0], 100)
    assert codes(verify(stage, "--passphrase-file", stage.secret, code=3)) == {"object-damaged"}


def test_another_machines_disk_takes_its_passphrase(copy_of: Copy, exported: Stage, room: Path) -> None:
    stage, other = copy_of(exported), type(exported)(room / "other")
    other.open()
    other.disk = stage.disk
    refused(other.run("seed", "verify", other.disk, "--json", code=2), "passphrase-missing")
    (disk,) = verify(other, "--passphrase-file", stage.secret)["disks"]
    assert (disk["certified"], disk["damaged"]) == (False, 0)
    tree = trees.small_tree(room / "other tree")
    other.export(tree)
    done = other.run("seed", "verify", other.disk, "--json")
    (disk,) = done.json["disks"]
    assert (disk["certified"], disk["damaged"]) == (True, 0)
    assert "is of web1, and was not verified" in done.stderr


def test_what_is_not_a_disk_of_ours_is_refused(exported: Stage, room: Path) -> None:
    stage = exported
    for disk, code in ((room / "none", "disk-missing"), (stage.secret, "disk-missing"), (room, "disk-empty")):
        refused(stage.run("seed", "verify", disk, "--json", code=1), code)
    twice = stage.run("seed", "verify", stage.disk, f"{stage.disk}/.", "--json", code=2)
    refused(twice, "usage")


# Damage


PREFIXES = (
    "archives",
    "indexes",
    "needs",
    "holdings",
    "slots",
    "requests",
    "manifests",
    "sets",
    "inventories",
    "label",
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_damage_to_any_object_is_found(exported: Stage, prefix: str, room: Path) -> None:
    def attempt(damage: Callable[[Path], None]) -> None:
        stage = exported.copy(room / damage.__name__)
        path = stage.seeded / "label" if prefix == "label" else stage.objects(prefix)[0]
        damage(path)
        if (prefix, damage) == ("sets", remove):  # no document names it
            assert verify(stage)["disks"][0]["certified"]
            return
        result = stage.run("seed", "verify", stage.disk, "--json", code=3)
        (disk,) = result.json["disks"]
        subjects = {f["subject"] for f in result.json["findings"]}
        name = path.relative_to(stage.seeded).as_posix()
        closed = prefix not in ("label", "inventories")
        if (prefix, damage) != ("inventories", remove):
            assert any(s.endswith(f"/{name}") for s in subjects), result
            assert disk["damaged"] == 1
        assert len(subjects) == (
            2 if (prefix, damage) in (("inventories", flip_middle), ("inventories", halve)) else 1
        )
        assert disk["certified"] == closed
        if closed:
            assert inventories(stage)[-1]["verified"]["damaged"] == 1
        if prefix == "inventories":
            assert "disk-unfinished" in codes(result.json)
        else:
            assert "begin another set" in result.stderr

    in_parallel(attempt, (remove, flip_middle, halve))


def test_damage_says_how_much_is_lost(copy_of: Copy, wide: Stage) -> None:
    stage = copy_of(wide)
    first, second = stage.objects("archives")[:2]
    flip(first, 10 * MIB)
    flip(second, -1)
    details = {f["detail"] for f in verify(stage, code=3)["findings"]}
    assert len(details) == 2
    assert any(d.startswith("1 of ") for d in details)
    assert "its head or its index is damaged" in details


def test_damage_that_was_certified_is_found_at_import_too(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    flip_middle(stage.objects("archives")[0])
    assert verify(stage, code=3)["disks"][0]["generation"] == 2
    (disk,) = stage.import_(code=3)["disks"]
    assert (disk["generation"], disk["may_be_erased"]) == (2, False)


def test_what_nobody_listed_is_named(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    extra = stage.seeded / "archives/ab" / ("ab" * 32)
    extra.parent.mkdir(exist_ok=True)
    extra.write_bytes(b"what is this?")
    (stage.seeded / "NOTES.txt").write_bytes(b"not ours")
    done = verify(stage, code=3)
    assert codes(done) == {"object-unlisted"}
    assert done["disks"][0]["certified"]
    assert done["disks"][0]["damaged"] == 0


def test_a_disk_of_a_home_that_was_copied_is_refused(copy_of: Copy, exported: Stage, room: Path) -> None:
    """Refuse a disk of a copied home: both copies closed it anew, and one must not pass for the other."""
    stage = copy_of(exported)
    shutil.copytree(stage.disk, room / "clone")
    shutil.copytree(stage.home, room / "cloned home")
    verify(stage)
    other = Stage(room / "elsewhere")
    other.home, other.disk = room / "cloned home", room / "clone"
    other.command = prepared("import time; now = time.time; time.time = lambda: now() + 2")
    verify(other)  # the times of the two certificates differ
    stage.disk = other.disk
    refused(stage.run("seed", "verify", stage.disk, "--json", code=1), "disk-forked")
