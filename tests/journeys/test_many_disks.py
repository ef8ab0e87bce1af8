"""A seed on several disks: at once, one after the other, in any order, early, or after a long stop."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below, disks, refused, snapshot, to

assert sys.platform == "linux"

MIB = 1 << 20
LINKED = 1000  # bytes of a file with several names: counted for each name, and read once


@pytest.fixture(scope="module")
def source(ground: Path) -> Path:
    """Return 40 MiB of incompressible files: 14 of 2 MiB, one of 12 MiB, and small ones beside them."""
    root = trees.small_tree(ground / "many disks source")
    for number in range(14):
        (root / f"{number:02}.bin").write_bytes(trees.incompressible(2 * MIB, 100 + number))
    (root / "long.bin").write_bytes(trees.incompressible(12 * MIB, 99))
    return root


def test_three_disks_at_once_come_in_reverse_order(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 3)
    done = stage.run("seed", "export", source, *to(*paths), "--use-at-most", "22MiB", "--json").json
    assert done["disks"] == [1, 2, 3]
    assert 0 <= done["file_bytes"] - done["read_bytes"] < LINKED
    states = []
    for path in reversed(paths):
        imported = stage.run("importer", "import", path, "--vault", stage.at, "--json").json
        assert imported["disks"][0]["may_be_erased"]
        states.append(stage.run("importer", "points", "--vault", stage.at, "--json").json[0])
    assert [[d["number"] for d in s["awaited_disks"]] for s in states] == [[1, 2], [1], []]
    assert [s["complete"] for s in states] == [False, False, True]
    assert stage.run("seed", "points", "--vault", stage.at).stdout.endswith(": complete\n")
    stage.restore(room / "vault", "--vault", stage.at)
    assert trees.differences(source, below(room / "vault", source)) == []
    access = ("--passphrase-file", stage.secret)
    stage.restore(room / "disks", *(w for p in paths for w in ("--from", p)), *access, home=room / "none")
    assert trees.differences(source, below(room / "disks", source)) == []


def test_what_one_disk_of_several_holds_can_be_restored_and_the_rest_is_listed(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "36MiB")
    (point,) = stage.run("seed", "points", "--from", paths[0], "--json").json
    assert (point["complete"], [d["number"] for d in point["awaited_disks"]]) == (False, [2])
    words = ("seed", "restore", "latest", "--from", paths[0], "--target", room / "told")
    planned = stage.run(*words, "--dry-run", "--json", code=3).json
    assert not (room / "told").exists()
    told = stage.run(*words, code=3).stderr
    assert "waits for disk 2 of 2" in told
    really = stage.run(*words[:-1], room / "really", "--json", code=3).json
    counts = ("files", "file_bytes", "folders", "others", "failed")
    assert {n: planned[n] for n in counts} == {n: really[n] for n in counts}
    both = [stage.restore(room / p.name, "--from", p, code=3) for p in paths]
    assert all(part["files"] > 0 and part["failed"] > 0 for part in both)
    assert {f["code"] for part in both for f in part["findings"]} == {"chunk-missing"}
    assert trees.differences(source, below(room / paths[0].name, source)) != []
    done = stage.restore(room / paths[0].name, "--from", paths[0], "--from", paths[1])
    assert done["same"] >= both[0]["files"], "what the first disk gave is there"
    assert trees.differences(source, below(room / paths[0].name, source)) == []


def test_without_a_terminal_full_disks_end_it_and_the_next_disk_goes_on(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    first, second, third = disks(stage, 3)
    words = ("export", source, "--use-at-most", "24MiB")
    stopped = stage.run("seed", *words, "--to", first, "--json", code=4)
    refused(stopped, "disk-full")
    assert "disk 1 at" in stopped.stderr
    assert "safe to remove" in stopped.stderr

    early = stage.run("importer", "import", first, "--vault", stage.at)
    assert "KEEP IT for now: all of it is in the vault, but its export goes on" in early.stdout

    shutil.move(first, room / "in the post")
    refused(stage.run("seed", *words, "--to", second, "--json", code=4), "disk-full")
    done = stage.run("seed", *words, "--to", third, "--json").json
    assert done["disks"] == [1, 2, 3]
    assert done["resumed"]
    assert done["read_bytes"] < 0.6 * done["file_bytes"]
    assert 0 <= done["file_bytes"] - done["read_bytes"] - done["kept_bytes"] < LINKED

    early = stage.run(
        "seed", "restore", "latest", "--from", room / "in the post", "--target", room / "x", code=2
    )
    assert "here is disk 1 of set" in early.stderr, "its catalog lies on the disks that came last"
    assert "the catalog lies on the disks that were attached when the export ended" in early.stderr
    rest = stage.run("importer", "import", second, third, "--vault", stage.at, "--json").json
    assert all(d["may_be_erased"] for d in rest["disks"])
    again = stage.run("importer", "import", second, "--vault", stage.at)
    assert "Disks 1 and 3 of set" in again.stdout, "that came before, and may be erased by now"
    last = stage.run("importer", "import", room / "in the post", "--vault", stage.at, "--json").json
    assert last["disks"][0]["may_be_erased"], "the set document that came with disk 3 speaks for disk 1 too"
    assert last["disks"][0]["copied"] == 0
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_no_point_waits_for_a_disk_that_was_only_verified_or_named_again_since(
    copy_of: Copy, opened: Stage, source: Path
) -> None:
    stage = copy_of(opened)
    first, second = disks(stage, 2)
    words = ("seed", "export", source, "--use-at-most", "26MiB")
    stage.run(*words, "--to", first, code=4)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    stage.run("importer", "import", first, "--vault", stage.at)
    stage.run(*words, "--to", first, code=4)
    stage.run("seed", "verify", first)
    stage.run(*words, "--to", second)
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert [d["number"] for d in point["awaited_disks"]] == [2]
    assert stage.run("importer", "import", first, "--vault", stage.at, "--json").json["disks"][0][
        "may_be_erased"
    ]


def test_an_export_that_is_given_up_begins_anew(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    first, second = disks(stage, 2)
    words = ("seed", "export", source)
    stage.run(*words, "--to", first, "--use-at-most", "20MiB", "--again", code=4)
    going_on = stage.run(*words, "--to", first, "--use-at-most", "20MiB", "--again", code=4)
    assert "seed set abandon" in going_on.stderr
    assert stage.run("seed", "set", "abandon").stdout.endswith("may be erased, on disk 1.\n")
    assert "given up, may be erased" in stage.run("seed", "status").stdout
    refused(stage.run("seed", "set", "abandon", "--json", code=2), "usage")
    done = stage.run(*words, "--to", second, "--json").json
    assert (done["disks"], done["resumed"]) == ([1], False)
    stage.restore(room / "restored", "--from", second)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_one_wrong_path_keeps_no_disk_from_being_imported(copy_of: Copy, exported: Stage, room: Path) -> None:
    stage = copy_of(exported)
    (room / "empty").mkdir()
    words = (
        "importer",
        "import",
        room / "none",
        stage.disk,
        room / "empty",
        "--vault",
        stage.vault,
        "--json",
    )
    result = stage.run(*words, code=1)
    assert [d["may_be_erased"] for d in result.json["disks"]] == [True]
    assert "[disk-missing]" in result.stderr
    assert "[disk-empty]" in result.stderr
    looked = stage.run("importer", "inspect", room / "none", stage.disk, "--json", code=1)
    assert len(looked.json["disks"]) == 1


def test_a_vault_that_was_lost_is_made_again_and_filled_from_the_disks(
    copy_of: Copy, imported: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(imported)
    shutil.rmtree(stage.vault)
    refused(stage.run("seed", "points", "--json", code=1), "store-missing")
    stage.vault.mkdir()
    refused(stage.run("seed", "points", "--json", code=1), "vault-missing")
    stage.run("importer", "vault", "recreate", "Backups", "--at", stage.at, "--region", "here")
    words = ("importer", "import", stage.disk, "--vault", stage.at, "--json")
    hint = refused(stage.run(*words, code=1), "machine-unknown").json["error"]["hint"]
    (command,) = [part for part in hint.split("importer ") if part.startswith("machines accept")]
    wanted = command.split()[2]
    stage.run("importer", "machines", "accept", wanted, "--vault", stage.at, "--from", stage.disk)
    assert stage.run(*words).json["disks"][0]["may_be_erased"]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []
    other = ("importer", "vault", "recreate", "Other", "--at", room / "v", "--region", "here", "--json")
    refused(stage.run(*other, code=1), "authority-missing")


def test_at_a_terminal_the_next_disk_is_asked_for(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    first, second = disks(stage, 2)
    words = ("export", source, "--to", first, "--use-at-most", "30MiB")
    answers = [b"/nowhere\r", str(first).encode() + b"\r", str(second).encode() + b"\r"]
    done = stage.type("seed", *words, answers=answers)
    assert "all disks are full" in done.stdout
    assert "there is no disk at this path" in done.stdout
    assert "Export finished" in done.stdout
    assert "1 and 2 of set" in done.stdout
    stage.restore(room / "restored", "--from", first, "--from", second)
    assert trees.differences(source, below(room / "restored", source)) == []


@pytest.mark.parametrize("answer", [b"\r", b"\x03"])
def test_enter_or_control_c_at_that_question_stops(
    copy_of: Copy, opened: Stage, source: Path, answer: bytes
) -> None:
    stage = copy_of(opened)
    (first,) = disks(stage, 1)
    words = ("export", source, "--to", first, "--use-at-most", "20MiB")
    stage.type("seed", *words, answers=[answer], code=4 if answer == b"\r" else None)
    looked = stage.run("importer", "inspect", first, "--json").json["disks"]
    assert [(d["closed"], d["finished"], d["findings"]) for d in looked] == [(True, False, 0)]


def test_the_next_disk_may_come_at_the_same_path(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    words = ("export", source, "--to", stage.disk, "--use-at-most", "30MiB", "--json")
    stage.run("seed", *words, code=4)
    shutil.move(stage.disk, room / "first")
    stage.disk.mkdir()
    assert stage.run("seed", *words).json["disks"] == [1, 2]
    shutil.move(stage.disk, room / "second")
    shutil.copytree(room / "first", stage.disk)
    assert stage.run("seed", *words).json["already"]
    stage.restore(room / "restored", "--from", room / "second", "--from", stage.disk)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_a_disk_that_was_not_closed_must_come_once_more_or_be_given_up(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    first, second = disks(stage, 2)
    words = ("export", source, "--use-at-most", "24MiB", "--json")
    stage.run("seed", *words, "--to", first, code=4)
    (state,) = stage.home.glob("sets/*/set.json")
    text = state.read_text()
    inventory = text.split('"inventory":"')[1][:64]
    state.write_text(text.replace(f'"inventory":"{inventory}",', ""))  # as after a kill

    stopped = stage.run("seed", "export", source, "--json", "--to", second, code=4)
    assert "--without 1" in refused(stopped, "disk-needed").stderr
    done = stage.run("seed", "export", source, "--json", "--to", second, "--without", 1).json
    assert done["disks"] == [2]
    assert 0 < done["read_bytes"] < done["file_bytes"], "what only disk 1 held was read again, and no more"
    stage.restore(room / "restored", "--from", second)
    assert trees.differences(source, below(room / "restored", source)) == []
    again = ("export", source, "--json", "--to", second, "--without", 2)
    refused(stage.run("seed", *again, code=2), "usage")


def test_a_dry_run_counts_as_the_export_does_and_writes_nothing(
    copy_of: Copy, opened: Stage, source: Path
) -> None:
    stage = copy_of(opened)
    before = snapshot(stage.folder)
    words = ("export", source, "--to", stage.disk, "--exclude", "*.txt", "--json")
    counted = stage.run("seed", *words, "--dry-run").json
    without_disk = stage.run("seed", "export", source, "--exclude", "*.txt", "--json", "--dry-run").json
    assert (without_disk["file_bytes"], without_disk["disks"]) == (counted["file_bytes"], [])
    assert snapshot(stage.folder) == before
    done = stage.run("seed", *words).json
    assert (counted["entries"], counted["files"]) == (done["entries"], done["files"])
    assert counted["file_bytes"] == done["read_bytes"]


def test_a_vault_out_of_reach_hears_of_the_set_later(copy_of: Copy, opened: Stage, small_tree: Path) -> None:
    stage = copy_of(opened)
    away = stage.vault.rename(stage.folder / "away")
    done = stage.run("seed", "export", small_tree, "--to", stage.disk)
    assert "offline: the vault at" in done.stderr
    away.rename(stage.vault)
    assert stage.run("importer", "points", "--vault", stage.at, "--json").json == []
    assert len(stage.run("seed", "points", "--json").json) == 1, "the vault is there again"
    assert not (stage.run("seed", "ls", "--json").stderr), "and all of its catalog"
    stage.import_()
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert point["complete"]


def test_offline_tells_the_vault_nothing(copy_of: Copy, opened: Stage, small_tree: Path) -> None:
    stage = copy_of(opened)
    before = snapshot(stage.vault)
    told = stage.run("seed", "export", small_tree, "--to", stage.disk, "--offline").stderr
    assert "announced" not in told
    assert snapshot(stage.vault) == before


def test_while_disks_travel_points_are_listed_and_what_has_come_is_restored(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "36MiB")
    rows = stage.run("seed", "ls", "--vault", stage.at, "--json").lines
    assert len(rows) > 60
    nothing = stage.restore(room / "nothing", "--vault", stage.at, code=3)
    assert (nothing["file_bytes"], nothing["failed"] > 30) == (0, True)
    stage.run("importer", "import", paths[1], "--vault", stage.at)
    some = stage.restore(room / "some", "--vault", stage.at, code=3)
    assert some["files"] > 0
    stage.run("importer", "import", paths[0], "--vault", stage.at)
    stage.restore(room / "some", "--vault", stage.at)
    assert trees.differences(source, below(room / "some", source)) == []
