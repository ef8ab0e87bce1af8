"""Failures that must never end in a quiet exit code 0: each once did, or would have."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.journeys.stage import Copy, Stage, below, refused


def write(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def fresh(copy_of: Copy, opened: Stage) -> Stage:
    """Return a registered machine that a story may change."""
    return copy_of(opened)


def restored(stage: Stage, source: Path, target: Path) -> Path:
    stage.restore(target, "--from", stage.disk)
    return below(target, source)


def test_a_source_may_hold_what_a_killed_restore_leaves(fresh: Stage, room: Path) -> None:
    tree = room / "tree"
    write(tree / "foo", os.urandom(900_000))
    write(tree / ".offseed-restoring-0123456789abcdef" / "1", b"left over")
    write(tree / ".offseed-7403aea39baf52fb.part", os.urandom(900_001))
    fresh.export(tree)
    back = restored(fresh, tree, room / "back")
    assert subprocess.run(["diff", "-r", str(tree), str(back)], check=False).returncode == 0


def test_what_a_killed_restore_left_is_gone_after_the_next(fresh: Stage, room: Path) -> None:
    tree = room / "tree"
    write(tree / "foo")
    fresh.export(tree)
    target = room / "back"
    write(target / ".offseed-restoring-0123456789abcdef" / "1", b"half a file")
    restored(fresh, tree, target)
    assert [p.name for p in target.iterdir()] == [room.parts[1]]


def test_other_paths_are_never_called_finished(fresh: Stage, room: Path) -> None:
    one, two = write(room / "a" / "x").parent, write(room / "b" / "y").parent
    assert not fresh.export(one)["already"]
    assert fresh.export(one)["already"]
    assert not fresh.export(two, "--once")["already"]
    assert not fresh.export(one)["already"]


def test_double_slashes_and_links_on_the_way_are_one_path(fresh: Stage, room: Path) -> None:
    folder = write(room / "real" / "x" / "file").parent
    (room / "link").symlink_to("real")
    fresh.export(f"/{folder}", str(folder), room / "link" / "x")
    assert (restored(fresh, folder, room / "back") / "file").read_bytes() == b"content"


def test_too_many_paths_are_refused_and_the_home_lives_on(fresh: Stage, room: Path) -> None:
    files = [write(room / "many" / str(n)) for n in range(1001)]
    refused(fresh.run("seed", "export", *files, "--to", fresh.disk, "--json", code=2), "usage")
    fresh.export(room / "many")


def test_very_many_tiny_files_lie_in_one_bundle(fresh: Stage, room: Path) -> None:
    tree = room / "tree"
    tree.mkdir()
    for n in range(25_000):
        (tree / f"{n}").write_bytes(b"%d" % n)
    fresh.export(tree)
    back = restored(fresh, tree, room / "back")
    assert sorted(os.listdir(back)) == sorted(os.listdir(tree))
    assert (back / "24999").read_bytes() == b"24999"


def test_the_folder_that_holds_the_disk_keeps_its_own_data(fresh: Stage, room: Path) -> None:
    tree = room / "tree"
    write(tree / "home" / "x")
    fresh.disk = tree / "home"
    fresh.export(tree)
    assert (restored(fresh, tree, room / "back") / "home" / "x").exists()


def test_a_vault_that_lost_bytes_is_told_of_and_gets_them_from_the_disk(
    copy_of: Copy, imported: Stage
) -> None:
    stage = copy_of(imported)
    archive = next((stage.vault / "archives").rglob("??/*"))
    os.truncate(archive, 100)
    done = stage.import_(code=3)
    assert {f["code"] for f in done["findings"]} == {"object-damaged"}
    assert done["disks"][0]["may_be_erased"]
    assert all(p["complete"] for p in stage.run("importer", "points", "--vault", stage.at, "--json").json)
    stage.run("importer", "validate", "--vault", stage.at)


@pytest.mark.parametrize("prefix", ["manifests", "sets", "needs", "indexes", "archives"])
def test_what_a_vault_lost_comes_again_from_the_disk(copy_of: Copy, imported: Stage, prefix: str) -> None:
    stage = copy_of(imported)
    shutil.rmtree(stage.vault / prefix)
    assert stage.import_()["disks"][0]["may_be_erased"]
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert point["complete"]


def test_a_disk_that_lost_an_archive_before_the_end_is_written_again(fresh: Stage, room: Path) -> None:
    tree = write(room / "tree" / "x", os.urandom(3_000_000)).parent
    fresh.export(tree)
    for path in (*fresh.objects("sets"), *fresh.objects("inventories"), *fresh.objects("manifests")):
        path.unlink()  # as if the run had been killed before it put them
    (state,) = fresh.home.glob("sets/*/set.json")
    state.write_text(json.dumps({**json.loads(state.read_text()), "status": "open"}))
    os.truncate(fresh.objects("archives")[0], 1000)
    assert not fresh.export(tree)["already"]
    assert (restored(fresh, tree, room / "back") / "x").read_bytes() == (tree / "x").read_bytes()


def test_a_sequence_number_is_used_once(fresh: Stage, room: Path) -> None:
    tree = write(room / "tree" / "x").parent
    first = fresh.export(tree)["sequence"]
    state = fresh.home / "state.json"
    kept = {**json.loads(state.read_text()), "sequence": first - 1}
    state.write_text(json.dumps({k: v for k, v in kept.items() if k != "manifest"}))  # as if killed before it
    assert fresh.export(tree, "--again")["sequence"] == first + 1


def test_the_same_disk_copy_of_a_damaged_manifest_does_not_hide_the_good_one(
    copy_of: Copy, imported: Stage
) -> None:
    stage = copy_of(imported)
    os.truncate(stage.objects("manifests")[0], 100)
    both = ("--from", stage.disk, "--vault", stage.at)
    assert len(stage.run("seed", "points", *both, "--json").json) == 1


def test_what_no_signed_document_names_stays_on_the_disk(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    planted = ("indexes/zz/planted", f"indexes/aa/{'aa' * 32}", f"manifests/{'a' * 32}/0000000001-{'a' * 64}")
    for name in planted:
        write(stage.seeded / name, b"x" * 1000)
    stage.import_(code=3)
    assert not any((stage.vault / name).exists() for name in planted)


def test_a_folder_restored_into_one_that_was_there_leaves_its_mode_alone(fresh: Stage, room: Path) -> None:
    tree = write(room / "tree" / "x").parent
    tree.chmod(0o711)
    fresh.export(tree)
    target = room / "there"
    target.mkdir(mode=0o755)
    target.chmod(0o1777)
    fresh.run("seed", "restore", f"latest:{tree}", "--target", target, "--from", fresh.disk)
    assert target.stat().st_mode & 0o7777 == 0o1777
    assert (target / "x").exists()


def test_a_tree_of_a_thousand_levels_comes_back(fresh: Stage, room: Path) -> None:
    tree = room / "tree"
    tree.mkdir()
    handle = os.open(tree, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=handle)
        deeper = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = deeper
    os.close(handle)
    fresh.export(tree)
    done = fresh.restore(room / "back", "--from", fresh.disk)
    subprocess.run(["rm", "-rf", str(tree), str(room / "back")], check=True)  # too deep for the usual removal
    assert done["failed"] == 0
    assert done["folders"] >= 1100
