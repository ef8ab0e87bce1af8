"""Disks damaged or changed on their way: the damage is named, and the rest is imported and restored.

Damage anywhere never shows a fault.
It never makes the importer allow the erasure of a disk while the vault lacks data.
The import of the whole disk repairs everything afterwards.
"""

import base64
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below, flip, in_parallel, refused, snapshot

assert sys.platform == "linux"

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


def lost(source: Path, restored: Path) -> set[str]:
    """Return the files that the restored tree lacks, after a check that all else is equal."""
    found = trees.differences(source, restored)
    assert [d for d in found if not d.startswith("missing: ")] == []
    return {os.fsdecode(eval(d.removeprefix("missing: "))) for d in found}


def check_loss(stage: Stage, source: Path, target: Path) -> set[str]:
    """Restore from the damaged disk: list exactly the missing files, and leave no parts of them."""
    done = stage.restore(target, "--from", stage.disk, code=3)
    missing = lost(source, below(target, source))
    assert {f["subject"] for f in done["findings"]} == {str(source / name).lstrip("/") for name in missing}
    assert done["failed"] == len(missing) == len(done["findings"])
    assert not [p for p in target.rglob("*") if p.name.startswith(".offseed")]
    return missing


def test_a_flipped_byte_costs_one_record_and_the_rest_arrives(
    copy_of: Copy, wide: Stage, long_tree: Path, room: Path
) -> None:
    stage = copy_of(wide)
    flip(stage.objects("archives")[0], 10 << 20)
    imported = stage.run("importer", "import", stage.disk, "--vault", stage.at, code=3)
    assert "KEEP IT" in imported.stdout
    assert "object-damaged" in imported.stderr
    assert "may be erased" not in imported.stdout
    assert imported.stdout.count("records of damaged ones taken") == 1
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert (point["complete"], point["missing"]) == (False, 1)

    missing = check_loss(stage, long_tree, room / "from disk")
    assert len(missing) == 1
    assert missing.pop().endswith(".bin")

    text = stage.run("seed", "restore", "latest", "--from", stage.disk, "--target", room / "told", code=3)
    assert "with warnings: 1 × " in text.stderr

    stage.disk = wide.disk
    (disk,) = stage.import_()["disks"]
    assert (disk["may_be_erased"], disk["copied"]) == (True, 1)


def test_a_damaged_bundle_costs_its_files_and_all_their_names_are_told(
    copy_of: Copy, exported: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(exported)
    flip(stage.objects("archives")[0], 100)
    missing = check_loss(stage, small_tree, room / "restored")
    assert 0 < len(missing) < 45
    assert not missing & {"media", "docs", "latest"}


def test_a_hole_in_the_disk_is_made_good_by_the_vault(
    copy_of: Copy, imported: Stage, small_tree: Path, room: Path
) -> None:
    """Take each record from the place where it is whole, if both disk and vault are at hand."""
    stage = copy_of(imported)
    for path in stage.objects("archives"):
        flip(path, path.stat().st_size // 2)
    stage.restore(room / "restored", "--from", stage.disk, "--vault", stage.at)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def remove(path: Path) -> None:
    path.unlink()


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip_middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_damage_to_any_object_is_found_and_made_good(exported: Stage, prefix: str, room: Path) -> None:
    """Find each kind of object missing, flipped or cut short, and repair it from the whole disk."""

    def attempt(damage: Callable[[Path], None]) -> None:
        stage = exported.copy(room / damage.__name__)
        damage(stage.seeded / "label" if prefix == "label" else stage.objects(prefix)[0])
        result = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=None)
        if prefix == "label":
            refused(result, result.json["error"]["code"])
        elif (prefix, damage) == ("sets", remove):  # no document names it, and the set only seems unfinished
            assert result.code == 0
        else:
            assert result.code == 3, result
            assert [d["may_be_erased"] for d in result.json["disks"]] == [False]
            assert result.json["findings"], result
        if damage is flip_middle:
            listed = stage.run("seed", "ls", "--from", stage.disk, "--json", code=None)
            assert listed.code in (0, 1, 2, 3), listed
        stage.disk = exported.disk
        assert stage.import_()["disks"][0]["may_be_erased"]

    cut = (halve,) if prefix in ("archives", "holdings") else ()
    in_parallel(attempt, (remove, flip_middle, *cut))


@pytest.mark.parametrize("prefix", ["slots", "disks", "holdings", "needs", "indexes", "manifests", "sets"])
@pytest.mark.parametrize("first", ["import", "validate"])
def test_whatever_small_object_rots_in_the_vault_comes_again_from_the_disk(
    copy_of: Copy, imported: Stage, prefix: str, first: str
) -> None:
    """Restore each small object from the disk after any damage: flipped, halved, emptied or removed.

    The name of an object proves its bytes.
    """
    stage = copy_of(imported)
    paths = [p for p in (stage.vault / prefix).rglob("*") if p.is_file()]
    for damage in (flip_middle, halve, empty, remove):
        kept = {path: path.read_bytes() for path in paths}
        for path in paths:
            damage(path)
        if first == "validate" and damage in (flip_middle, halve):
            stage.run("importer", "validate", "--vault", stage.at, code=3)
        told = stage.import_(code=None)
        assert [d["may_be_erased"] for d in told["disks"]] == [True], told
        assert {path: path.read_bytes() for path in paths} == kept
        assert stage.import_()["disks"][0]["unchanged"]
        stage.run("importer", "validate", "--vault", stage.at)


def test_damaged_slots_are_set_aside_and_their_machine_puts_them_again(
    copy_of: Copy, imported: Stage
) -> None:
    """Move damaged slots to the importer's home, where a person may still read them.

    No other copy may be left, and their machine puts them again.
    """
    stage = copy_of(imported)
    (slots,) = (p for p in (stage.vault / "slots").rglob("*") if p.is_file())
    whole = slots.read_bytes()
    flip_middle(slots)
    flip_middle(stage.vault / "copies" / slots.relative_to(stage.vault))
    damaged = slots.read_bytes()
    assert "object-damaged" in stage.run("seed", "verify", code=3).stderr
    stage.run("importer", "validate", "--vault", stage.at, code=3)
    assert not slots.exists()
    (kept,) = (p for p in (stage.importer_home / "set-aside").rglob("*") if p.is_file())
    assert kept.read_bytes() == damaged
    assert "object-missing" in stage.run("seed", "verify", code=3).stderr
    stage.run("seed", "backup")
    assert slots.read_bytes() == whole
    stage.run("seed", "verify")


def test_what_nobody_listed_is_named_and_left_alone(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    extra = stage.seeded / "archives/ab" / ("ab" * 32)
    extra.parent.mkdir(exist_ok=True)
    extra.write_bytes(b"what is this?")
    (stage.seeded / "NOTES.txt").write_bytes(b"not ours")
    (stage.disk / "holiday.jpg").write_bytes(b"somebody else's")
    done = stage.import_(code=3)
    assert [f["code"] for f in done["findings"]] == ["object-unlisted"]
    assert extra.read_bytes() == b"what is this?"
    assert not list(stage.vault.glob("archives/ab/" + "ab" * 32))


def edit(path: Path, **changes: object) -> None:
    """Change the content of a signed document and leave its signature."""
    document: dict[str, Any] = json.loads(path.read_bytes())
    payload = json.loads(base64.b64decode(document["payload"]))
    assert changes.keys() <= payload.keys()
    document["payload"] = base64.b64encode(
        json.dumps(payload | changes, sort_keys=True, separators=(",", ":")).encode()
    ).decode()
    path.write_bytes(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def test_an_edited_label_is_refused(copy_of: Copy, imported: Stage) -> None:
    stage = copy_of(imported)
    edit(stage.seeded / "label", machine_name="web2")
    before = snapshot(stage.vault)
    for words in (("inspect", stage.disk), ("import", stage.disk, "--vault", stage.at)):
        refused(stage.run("importer", *words, "--json", code=1), "signature-wrong")
    assert snapshot(stage.vault) == before


@pytest.mark.parametrize(
    ("prefix", "change"), [("inventories", {"archives": 0}), ("manifests", {"sequence": 9})]
)
def test_an_edited_document_is_not_believed(
    copy_of: Copy, exported: Stage, prefix: str, change: dict[str, object], room: Path
) -> None:
    stage = copy_of(exported)
    edit(stage.objects(prefix)[0], **change)
    done = stage.import_(code=3)
    assert "signature-wrong" in {f["code"] for f in done["findings"]}
    assert not done["disks"][0]["may_be_erased"]
    if prefix == "manifests":
        points = stage.run("importer", "points", "--vault", stage.at, "--json").json
        assert [p["sequence"] for p in points] == [1], "only the one that was announced"
        told = stage.run("seed", "points", "--from", stage.disk, code=3)
        assert "no recovery points: here is disk 1 of set" in told.stdout
        assert "object-damaged" in told.stderr


def test_a_disk_that_pretends_to_be_another_is_refused(copy_of: Copy, imported: Stage) -> None:
    stage = copy_of(imported)
    folder = stage.seeded
    folder.rename(folder.with_name("0" * 32 + "-1"))
    words = ("import", stage.disk, "--vault", stage.at, "--json")
    refused(stage.run("importer", *words, code=1), "disk-foreign")


def test_two_folders_of_which_one_is_rubbish(copy_of: Copy, imported: Stage) -> None:
    """Import the folder that can be trusted, name the other, and end with code 3."""
    stage = copy_of(imported)
    rubbish = stage.disk / "offseed" / ("f" * 32 + "-1")
    rubbish.mkdir()
    (rubbish / "label").write_bytes(b"\xff" * 1000)
    done = stage.import_(code=3)
    assert len(done["disks"]) == 1
    assert len(done["findings"]) == 1


def test_a_link_on_a_disk_leads_nowhere(copy_of: Copy, imported: Stage, room: Path) -> None:
    """Follow no link on a disk: it may lead to files of the station that imports the disk."""
    stage = copy_of(imported)
    secret = room / "secret"
    secret.write_bytes(b"of the datacenter")
    path = stage.objects("indexes")[0]
    path.unlink()
    path.symlink_to(secret)
    shutil.rmtree(stage.seeded / "needs")
    (stage.seeded / "needs").symlink_to(room)
    before = snapshot(stage.vault)
    stage.import_(code=None)
    kept = snapshot(stage.vault)
    assert all(before[name] == kept[name] for name in before)
    assert not any(value == b"of the datacenter" for value in kept.values())
