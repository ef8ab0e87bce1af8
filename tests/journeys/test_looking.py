"""Questions about a backup: its items, the place of its data, and its changes: items, status, find, diff."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, backup, disks, refused, to

assert sys.platform == "linux"


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


@pytest.fixture
def changed(copy_of: Copy, opened: Stage, source: Path) -> Stage:
    """Return a stage with two points, and one change of each kind between them."""
    stage = copy_of(opened)
    backup(stage, source)
    trees.change(source)
    backup(stage)
    return stage


def test_diff_names_each_change_once(changed: Stage, source: Path) -> None:
    first, second = (p["point"] for p in changed.run("seed", "points", "--json").json)
    rows = changed.run("seed", "diff", first[:8], second[:8], "--json").lines
    # A point has the times of the folders above the source, and other processes may write there.
    rows = [row for row in rows if f"{row['path']}/".startswith(f"{source}/")]
    found = {row["path"].removeprefix(f"{source}/"): row["change"] for row in rows}
    moved = [p.name for p in (source / "a moved folder").iterdir()]
    expected = {f"a moved folder/{name}": "added" for name in moved}
    expected |= {f"many/3/{name}": "removed" for name in moved}
    expected |= {"a moved folder": "added", "many/3": "removed", "added": "added", "added/new.txt": "added"}
    expected |= {"large/1.bin": "content", "many/0/0.txt": "content", "many/6/6.txt": "content"}
    expected |= {"many/4/4.txt": "attributes", "many/5/5.txt": "removed"}
    expected |= {"many": "attributes", "many/5": "attributes", str(source): "attributes"}  # times of folders
    assert found == expected
    assert changed.run("seed", "diff", second[:8], "--json").lines == []
    shown = changed.run("seed", "diff", first[:8]).stdout.splitlines()
    assert f"M {source}/large/1.bin" in shown
    assert len([line for line in shown[:-1] if str(source) in line]) == len(expected)
    assert shown[-1].startswith(f"{len(shown) - 1} changes: ")


def test_find_tells_each_version_and_where_it_was_gone(changed: Stage, source: Path) -> None:
    first, second = (p["point"] for p in changed.run("seed", "points", "--json").json)
    rows = changed.run("seed", "find", "0.txt", "5.txt", "new.txt", "--json").lines
    found = [(r["point"], r["path"].removeprefix(f"{source}/"), r["type"]) for r in rows]
    assert found == [
        (first, "many/0/0.txt", "file"),
        (first, "many/5/5.txt", "file"),
        (second, "added/new.txt", "file"),
        (second, "many/0/0.txt", "file"),
        (second, "many/5/5.txt", None),
    ]
    refused(changed.run("seed", "find", "nowhere", "--json", code=2), "path-not-found")


def test_items_are_shown_and_set(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    assert stage.run("seed", "items", "show", "--json").json["items"] == []
    words = ("seed", "items", "set", source / "many", source / "large", "--exclude", "*.tmp")
    stage.run(*words)
    shown = stage.run("seed", "items", "show", "--json").json
    assert shown["items"] == [str(source / "large"), str(source / "many")]
    assert shown["excludes"] == ["*.tmp"]
    trees.small_file(source / "many/1.tmp", b"left out")
    count = sum(1 for top in ("many", "large") for p in (source / top).rglob("*") if p.is_file())
    assert backup(stage)["files"] == count - 1
    stage.run("seed", "items", "set", source / "many")
    assert stage.run("seed", "items", "show", "--json").json["excludes"] == []
    refused(stage.run("seed", "items", "set", source / "none", "--json", code=2), "path-not-found")


def test_both_sides_tell_where_each_disk_is(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 3)
    words = ("seed", "export", source, "--use-at-most", "14MiB")
    stage.run(*words, *to(paths[0]), code=4)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    stage.run("importer", "import", paths[0], "--vault", stage.at)
    assert datacenter(stage) == (False, ["received; its export goes on: keep it"])
    assert server(stage) == ("open", ["closed"])
    stage.run(*words, *to(*paths[1:]))
    assert datacenter(stage) == (True, ["received, may be erased", "awaited", "awaited"])
    assert server(stage) == ("finished", ["arrived in the vault", *["awaited by the vault"] * 2])
    stage.run("importer", "import", *paths[1:], "--vault", stage.at)
    assert datacenter(stage) == (True, ["received, may be erased"] * 3)
    assert server(stage) == ("finished", ["arrived in the vault"] * 3)


def datacenter(stage: Stage) -> tuple[bool, list[str]]:
    (machine,) = stage.run("importer", "status", "--vault", stage.at, "--json").json
    (found,) = machine["sets"]
    lines = stage.run("importer", "status", "--vault", stage.at).stdout.splitlines()
    shown = [line for line in lines if line.startswith("    disk ")]
    assert [d["number"] for d in found["disks"]] == list(range(1, len(shown) + 1))
    return found["finished"], [line.split(maxsplit=2)[2] for line in shown]


def server(stage: Stage) -> tuple[str, list[str]]:
    (found,) = stage.run("seed", "status", "--json").json["sets"]
    return found["status"], [d["state"] for d in found["disks"]]


def test_a_set_is_shown_disk_by_disk(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    refused(stage.run("seed", "set", "show", "--json", code=2), "set-unknown")
    paths = disks(stage, 3)
    words = ("seed", "export", source, "--use-at-most", "14MiB")
    stage.run(*words, *to(paths[0]), code=4)
    (opening,) = shown(stage)["disks"]
    assert (opening["state"], opening["closed"], opening["verified"]) == ("closed", True, False)
    stage.run(*words, *to(*paths[1:]))
    stage.run("seed", "verify", paths[1])
    found = shown(stage)
    assert found == stage.run("seed", "status", "--json").json["sets"][0]
    assert [d["number"] for d in found["disks"]] == [1, 2, 3]
    assert [d["generation"] for d in found["disks"]] == [1, 2, 1]
    assert [d["verified"] for d in found["disks"]] == [False, True, False]
    for disk, path in zip(found["disks"], paths, strict=True):
        files = [p for p in path.glob("offseed/*/archives/**/*") if p.is_file()]
        assert disk["archives"] <= len(files)
        assert 0 < disk["archive_bytes"] <= sum(p.stat().st_size for p in files)
        assert not disk["mounted"]
    lines = stage.run("seed", "set", "show").stdout.splitlines()
    assert lines[0] == f"Set {found['set'][:8]}: finished"
    told = [line for line in lines if line.startswith("  disk ")]
    assert told[1].endswith("generation 2, verified, in a folder: awaited by the vault")
    assert lines == stage.run("seed", "status").stdout.splitlines()[-len(lines) :]


def test_a_set_is_named_by_the_beginning_of_its_id(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    first = stage.run("seed", "export", source, "--to", stage.disk, "--json").json["set"]
    again = stage.run("seed", "export", "--again", *to(*disks(stage, 1)), "--json").json["set"]
    stage.run("seed", "verify", stage.disk)
    assert shown(stage)["set"] == again, "not the one that changed last"
    for which in (first, again):
        assert shown(stage, which[:12].upper())["set"] == which
    stage.import_()
    stage.run("seed", "backup")
    stage.vault.rename(stage.folder / "away")
    assert [d["state"] for d in shown(stage, first[:12])["disks"]] == ["arrived in the vault"]
    for which in ("", "x"):
        refused(stage.run("seed", "set", "show", which, "--json", code=2), "set-unknown")


def shown(stage: Stage, *which: str) -> Any:
    return stage.run("seed", "set", "show", *which, "--json").json
