"""The retention of points: set on the machine, and applied at the datacenter. For Linux."""

import sys
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, a_day_later, backup, below, kept, refused

assert sys.platform == "linux"

NONE = ("--every", "0", "--daily", "0", "--weekly", "0", "--monthly", "0")


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


def prune(stage: Stage, *words: str) -> dict[str, int]:
    found: dict[str, int] = stage.run("importer", "prune", "--vault", stage.at, *words, "--json").json
    return found


def test_a_policy_is_set_shown_and_applied_without_keys(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    usual = stage.run("seed", "retention", "show", "--json").json
    assert (usual["policy"], usual["rules"]["weekly"], usual["points"]) == (0, 104, [])
    stage.run("seed", "retention", "set", *NONE, "--yearly", "3@mar")
    first = str(backup(stage, source)["point"])
    states = {first: kept(source, room, "first")}
    (source / "large/new").write_bytes(trees.incompressible(8 << 20, 1))
    second = backup(stage)["point"]
    (source / "large/new").unlink()
    (source / "changed").write_bytes(b"changed")
    third = str(backup(stage)["point"])
    states[third] = source
    planned = stage.run("seed", "retention", "show", "--json").json["points"]
    assert [(p["point"], p["earned"], p["admitted"], p["last"]) for p in planned] == [
        (first, ["yearly"], False, False),
        (second, [], False, False),
        (third, [], False, True),
    ]
    stage.run("importer", "points", "--vault", stage.at)  # this command accepts the machine
    rehearsed = prune(stage, "--dry-run")
    assert [p["state"] for p in rehearsed["points"]] == ["admitted"] * 3 + ["expired"]  # type: ignore[attr-defined]
    assert len(stage.run("importer", "points", "--vault", stage.at, "--json").json) == 3
    assert prune(stage)["points"] == rehearsed["points"]
    said = stage.run("seed", "retention", "show").stdout
    assert "policy 1" in said
    assert "first of its year" in said
    assert "the last one" in said
    points = stage.run("seed", "points", "--vault", stage.at, "--json").json
    assert [p["point"] for p in points] == [first, third]
    for _ in range(2):
        a_day_later(stage)
        done = prune(stage)
    assert done["deleted"] > 0
    assert done["deleted_bytes"] > 4 << 20, "most of what only the second point had"
    assert stage.run("importer", "validate", "--vault", stage.at, "--json").json["damaged"] == []
    for point, state in states.items():
        target = room / point
        stage.run("seed", "restore", point, "--target", target, "--vault", stage.at)
        assert trees.differences(state, below(target, source)) == []
    assert backup(stage)["findings"] == []
    jobs = stage.run("importer", "jobs", "--vault", stage.at, "--json").json
    assert {(j["kind"], j["finished"] is None) for j in jobs} == {("prune", False), ("validate", False)}
    assert done["deleted"] in [j["objects"] for j in jobs if j["kind"] == "prune"]


def test_an_old_disk_does_not_bring_back_what_has_expired(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    stage.run("seed", "retention", "set", *NONE, "--yearly", "3@mar")
    backup(stage, source)
    stage.run("seed", "export", source, "--to", stage.disk, "--again")
    stage.import_()
    (source / "new").write_bytes(b"new")
    backup(stage)
    assert [p["state"] for p in prune(stage)["points"]].count("expired") == 1  # type: ignore[attr-defined]
    for _ in range(2):
        a_day_later(stage)
        prune(stage)
    before = {p.relative_to(stage.vault) for p in (stage.vault / "archives").rglob("*") if p.is_file()}
    done = stage.run("importer", "import", stage.disk, "--vault", stage.at)
    assert "has expired in this vault, and is not brought back" in done.stderr
    imports = stage.run("importer", "jobs", "--vault", stage.at, "--machine", "web1", "--json").json
    assert [j["kind"] for j in imports] == ["import"] * len(imports)
    assert sorted(j["bytes"] > 0 for j in imports) == [False, True], "both may have begun within one second"
    said = stage.run("importer", "jobs", "--vault", stage.at).stdout
    assert "import   web1" in said
    assert "may be erased" in done.stdout
    after = {p.relative_to(stage.vault) for p in (stage.vault / "archives").rglob("*") if p.is_file()}
    assert after == before
    assert len(stage.run("importer", "points", "--vault", stage.at, "--json").json) == 2


def test_a_policy_travels_with_the_disk(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    vault = stage.vault.rename(stage.folder / "away")
    done = stage.run("seed", "retention", "set", "--daily", "30")
    assert "hears of the policy by the next backup, or the next disk" in done.stderr
    stage.run("seed", "export", source, "--to", stage.disk)
    vault.rename(stage.vault)
    stage.import_()
    assert len([p for p in (stage.vault / "policies").rglob("*") if p.is_file()]) == 1
    done = stage.run("importer", "prune", "--vault", stage.at)
    assert "(every daily weekly monthly yearly)" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--daily", "many"),
        ("--daily", "100000"),
        ("--weekly", "3@someday"),
        ("--monthly", "3@32"),
        ("--monthly", "3@first"),
        ("--yearly", "3@13"),
        (*NONE, "--yearly", "0"),
    ],
    ids=" ".join,
)
def test_what_is_no_rule_is_refused_and_nothing_changes(opened: Stage, words: tuple[str, ...]) -> None:
    done = opened.run("seed", "retention", "set", *words, "--json", code=2)
    refused(done, "retention-unreadable" if words else "usage")
    assert opened.run("seed", "retention", "show", "--json").json["policy"] == 0


def test_prune_is_refused_without_the_authority_and_for_nobody(copy_of: Copy, opened: Stage) -> None:
    stage = copy_of(opened)
    nobody = stage.run("importer", "prune", "--vault", stage.at, "--machine", "nobody", "--json", code=2)
    refused(nobody, "machine-unknown")
    (stage.importer_home).rename(stage.folder / "elsewhere")
    refused(stage.run("importer", "prune", "--vault", stage.at, "--json", code=1), "authority-missing")
    stage.run("importer", "prune", "--vault", stage.at, "--dry-run")
