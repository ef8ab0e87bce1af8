"""Commands at the same time: two machines and two imports on one vault, and two commands on one home.

No command waits for another, and none loses data.
"""

import sys
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Result, Stage, backup, below, ended, refused

assert sys.platform == "linux"

ROUNDS = 3


@pytest.fixture
def first(copy_of: Copy, bare: Stage) -> Stage:
    stage = copy_of(bare)
    stage.register()
    return stage


@pytest.fixture
def second(first: Stage, room: Path) -> Stage:
    """Return another machine of the same vault, with its own passphrase and disk."""
    stage = type(first)(room / "second")
    stage.join(first)
    stage.secret.write_text("a brown bear 77 walks to Trondheim\n")
    stage.register("web2")
    return stage


def tree_of(stage: Stage, seed: int) -> Path:
    """Make a tree that is mostly alike on both machines."""
    root = trees.varied_tree(stage.folder / "source")
    trees.small_file(root / "own", trees.incompressible(3 << 20, seed))
    return root


def change(source: Path, number: int) -> None:
    trees.small_file(source / f"added/{number}", trees.incompressible(2 << 20, number))
    (source / f"many/1/{8 * number + 1}.txt").write_bytes(b"changed %d" % number)


def together(*commands: tuple[Stage, tuple[object, ...]]) -> list[Result]:
    """Run all commands at once, each in its own process."""
    running = [stage.start(*map(str, words)) for stage, words in commands]
    return [ended(process) for process in running]


def done(results: list[Result]) -> None:
    for result in results:
        assert result.code == 0, result


def importing(stage: Stage) -> tuple[Stage, tuple[object, ...]]:
    return stage, ("importer", "import", stage.disk, "--vault", stage.at, "--json")


def points(stage: Stage, *words: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = stage.run("seed", "points", *words, "--json").json
    return found


def test_two_machines_use_one_vault_at_once(first: Stage, second: Stage, room: Path) -> None:
    both = (first, second)
    sources = [tree_of(stage, number) for number, stage in enumerate(both)]
    for stage, source in zip(both, sources, strict=True):
        stage.export(source)
    listing = (first, ("importer", "machines", "list", "--vault", first.at, "--json"))
    for number in range(1, ROUNDS + 1):
        for source in sources:
            change(source, number)
        backups = [(stage, ("seed", "backup", "--json")) for stage in both]
        # Import both disks twice, at stations that do not know of each other, while both machines back up.
        done(together(*backups, *map(importing, both), *map(importing, both), listing))
    members = first.run(*listing[1]).json
    assert sorted((m["name"], m["status"]) for m in members) == [("web1", "active"), ("web2", "active")]
    seen = first.run("importer", "points", "--vault", first.at, "--json").json
    assert sorted((p["name"], p["sequence"]) for p in seen) == [
        (name, number) for name in ("web1", "web2") for number in range(1, ROUNDS + 2)
    ]
    assert all(p["complete"] for p in seen)
    for stage, source in zip(both, sources, strict=True):
        stage.restore(room / stage.folder.name, "--vault", stage.at)
        assert trees.differences(source, below(room / stage.folder.name, source)) == []
        assert stage.import_()["disks"][0]["unchanged"]


def test_neither_machine_sees_what_the_other_has(first: Stage, second: Stage) -> None:
    for number, stage in enumerate((first, second)):
        backup(stage, tree_of(stage, number))
    for stage, other, name in ((first, second, "web1"), (second, first, "web2")):
        opened = ("--vault", stage.at, "--passphrase-file", stage.secret)
        (mine,) = points(stage)
        assert mine["name"] == name
        assert points(stage, *opened) == [mine]
        (theirs,) = points(other)
        words = ("seed", "ls", str(theirs["point"])[:8], "--json")
        refused(stage.run(*words, code=2), "point-unknown")
        refused(stage.run(*words, *opened, code=2), "point-unknown")
        wrong = ("--machine", str(theirs["name"]), *opened)
        refused(stage.run("seed", "points", *wrong, "--json", code=1), "passphrase-wrong")


def test_equal_files_of_two_machines_are_stored_under_either_key(first: Stage, second: Stage) -> None:
    """Store equal files of two machines under both keys: one machine's data tell nothing of the other's."""
    source = tree_of(first, 1)
    sent = [int(str(backup(stage, source)["archive_bytes"])) for stage in (first, second)]
    assert abs(sent[0] - sent[1]) < sent[0] // 20, "each cuts at places of its own"


def test_two_backups_of_one_home_at_once_lose_nothing(first: Stage, room: Path) -> None:
    source = tree_of(first, 1)
    ran = 0
    for number in range(1, ROUNDS + 1):
        change(source, number)
        results = together(*[(first, ("seed", "backup", source, "--json"))] * 2)
        codes = [result.code for result in results]
        assert 0 in codes
        for result in results:
            if result.code:
                refused(result, "home-busy")
        ran += codes.count(0)
    found = points(first)
    assert [p["sequence"] for p in found] == list(range(1, ran + 1)), "each of them once"
    assert all(p["complete"] for p in found)
    first.restore(room / "restored", "--vault", first.at)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_a_backup_and_an_export_of_one_home_at_once_lose_nothing(first: Stage, room: Path) -> None:
    source = tree_of(first, 1)
    backup(first, source)
    change(source, 1)
    words = ("seed", "export", source, "--to", first.disk, "--json")
    results = together((first, ("seed", "backup", "--json")), (first, words))
    assert 0 in [result.code for result in results]
    for result in results:
        if result.code:
            refused(result, "home-busy")
    first.export(source)
    backup(first)
    first.import_()
    found = points(first)
    assert [p["sequence"] for p in found] == list(range(1, len(found) + 1))
    assert all(p["complete"] for p in found)
    first.restore(room / "restored", "--vault", first.at)
    assert trees.differences(source, below(room / "restored", source)) == []
