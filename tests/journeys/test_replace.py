"""A rebuilt server in the place of the one before it: only the vault and the passphrase are left."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from formats.documents.credential_file import CredentialFile
from formats.ids import MachineId
from formats.store.access import Address
from formats.store.address import open_store
from seed.identity.join_request import put_request
from seed.identity.registration import NewKeys, make_identity
from tests.journeys import trees
from tests.journeys.stage import (
    PASSPHRASE,
    Copy,
    Result,
    Stage,
    backup,
    below,
    disks,
    prepared,
    refused,
    snapshot,
    to,
)

assert sys.platform == "linux"

SOME = 128 << 10  # bytes of catalog: every inode and ctime of some hundred rows
Rows = list[dict[str, object]]


@pytest.fixture
def lived(lived: Stage) -> Stage:
    """Return the same stage with its machine accepted; `lose_home` later keeps its home as `old`."""
    machines(lived)
    return lived


def old(stage: Stage) -> Path:
    return stage.folder / "old-home"


def lose_home(stage: Stage) -> None:
    stage.home.rename(old(stage))


def rebuild(source: Path) -> None:
    """Give the tree new inodes and ctimes."""
    subprocess.run(["cp", "-a", "--sparse=always", source, source.with_name("new")], check=True)
    shutil.rmtree(source)
    source.with_name("new").rename(source)


def replace(stage: Stage, *words: object, code: int = 0, secret: Path | None = None) -> Result:
    return stage.run(
        "seed", "register", "--replace", "--credential", stage.credential, "--name", "web1", "--vault", stage.at,
        "--passphrase-file", secret or stage.secret, "--json", *words, code=code,
    )  # fmt: skip


def machines(stage: Stage) -> Rows:
    found: Rows = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
    return found


def points(stage: Stage, *words: object, code: int = 0) -> Rows:
    found: Rows = stage.run("seed", "points", *words, "--json", code=code).json
    return found


def vault_points(stage: Stage, code: int = 0) -> Rows:
    found: Rows = stage.run("importer", "points", "--vault", stage.at, "--json", code=code).json
    return found


def restored(stage: Stage, point: object, room: Path, source: Path, *words: object) -> Path:
    target = room / f"of {str(point)[:8]}"
    stage.run("seed", "restore", str(point)[:8], "--vault", stage.at, "--target", target, *words)
    return below(target, source)


def test_a_rebuilt_server_goes_on_where_the_one_before_ended(lived: Stage, source: Path, room: Path) -> None:
    stage = lived
    before = points(stage)
    lose_home(stage)
    rebuild(source)
    registered = replace(stage).json
    assert registered["replaces"] == before[0]["machine"] != registered["machine"]
    (active, replaced) = sorted(machines(stage), key=lambda m: str(m["status"]))
    assert (active["status"], active["machine"], active["name"]) == ("active", registered["machine"], "web1")
    assert active["replaces"] == replaced["machine"] == before[0]["machine"]
    assert (replaced["status"], replaced["name"]) == ("replaced", "web1")

    assert [p["point"] for p in points(stage)] == [p["point"] for p in before], "its own history"
    done = backup(stage, source)
    assert int(str(done["read_bytes"])) > 20 << 20, "every file has another inode"
    assert int(str(done["archive_bytes"])) < SOME
    assert done["sequence"] == 3
    again = backup(stage)
    assert again["read_bytes"] == 0, "from here on by its own rows"
    assert int(str(again["archive_bytes"])) < SOME

    listed = points(stage)
    assert [p["sequence"] for p in listed] == [1, 2, 3, 4]
    assert all(p["complete"] for p in [*listed, *vault_points(stage)])
    assert len(vault_points(stage)) == 4
    first, second = (restored(stage, p["point"], room, source) for p in before)
    assert trees.differences(second, restored(stage, "latest", room, source)) == []
    assert trees.differences(second, source) == []
    assert trees.differences(first, second) != []
    third = stage.run("seed", "diff", str(before[1]["point"])[:8], "latest", "--json").lines
    assert not [c for c in third if c["change"] in ("content", "added", "removed")]
    assert stage.run("seed", "find", "new.txt").stdout.count("new.txt") == 1
    opened = ("--passphrase-file", stage.secret)
    shutil.rmtree(stage.home)
    stage.run("seed", "restore", "latest", "--vault", stage.at, "--target", room / "by passphrase", *opened)
    assert trees.differences(source, below(room / "by passphrase", source)) == []


def test_what_machines_before_the_one_before_have_is_not_sent_again(
    lived: Stage, source: Path, room: Path
) -> None:
    """Send no data again that earlier machines sent.

    Two machines replaced the one before them, and both met an empty source.
    The third machine finds the source as it was.
    """
    stage = lived
    (source / "film").write_bytes(trees.incompressible(6 << 20, 9))
    backup(stage, source)
    aside = room / "aside"
    source.rename(aside)
    source.mkdir()
    for number in range(2):
        stage.home.rename(stage.folder / f"home {number}")
        replace(stage)
        machines(stage)
        backup(stage, source, code=3)
    source.rmdir()
    aside.rename(source)
    done = backup(stage)
    assert int(str(done["archive_bytes"])) < SOME
    assert trees.differences(source, restored(stage, done["point"], room, source)) == []


def test_the_manifests_of_both_are_one_chain(lived: Stage, source: Path) -> None:
    stage = lived
    last = points(stage)[-1]["digest"]
    lose_home(stage)
    replace(stage)
    state = json.loads((stage.home / "state.json").read_text())
    assert (state["sequence"], state["manifest"]) == (2, last)
    exported = stage.export(source)
    assert exported["sequence"] == 3


def test_the_home_before_is_refused_before_it_sends_anything(lived: Stage, source: Path) -> None:
    stage = lived
    lose_home(stage)
    replace(stage)
    machines(stage)
    before = snapshot(stage.vault)
    result = stage.run("seed", "backup", "--json", code=1, SEED_HOME=old(stage))
    refused(result, "machine-replaced")
    words = ("seed", "export", source, "--to", stage.disk, "--json")
    refused(stage.run(*words, code=1, SEED_HOME=old(stage)), "machine-replaced")
    assert not list(stage.disk.iterdir())
    assert snapshot(stage.vault) == before
    assert "REPLACED" in stage.run("seed", "status", SEED_HOME=old(stage)).stdout
    assert "in place of" in stage.run("seed", "status").stdout
    status = stage.run("importer", "status", "--vault", stage.at).stdout
    assert "in place of the machine before" in status
    assert ": replaced " in status
    assert len(stage.run("seed", "points", "--json", SEED_HOME=old(stage)).json) == 2, "it may be read"


def test_what_the_machine_before_signs_later_does_not_count(lived: Stage, source: Path, room: Path) -> None:
    """Ignore points that the replaced machine signs later, with a home that does not ask, like a thief's."""
    stage = lived
    lose_home(stage)
    replace(stage)
    machines(stage)
    plain = stage.command
    stage.command = prepared(
        "import seed.points.machine_keys; seed.points.machine_keys.check_active = lambda *_: None; import seed.backup.announce, seed.backup.backup"
    )
    (source / "docs/forged").write_text("forged")
    stage.run("seed", "backup", "--json", SEED_HOME=old(stage))
    stage.command = plain
    assert "machine-replaced" in stage.run("importer", "points", "--vault", stage.at, code=3).stderr
    assert [p["sequence"] for p in vault_points(stage, code=3)] == [1, 2]
    assert [p["sequence"] for p in points(stage, code=3)] == [1, 2]
    done = backup(stage, source, code=3)
    assert done["sequence"] == 3
    assert "machine-replaced" in {f["code"] for f in done["findings"]}  # type: ignore[attr-defined]


def test_a_disk_in_the_post_is_imported_after_its_machine_was_replaced(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    seed = stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB", "--json").json
    stage.run("importer", "import", paths[0], "--vault", stage.at)
    lose_home(stage)
    rebuild(source)
    replace(stage)
    machines(stage)
    done = backup(stage, source)
    assert done["promised"], "on disk 2 of the machine before"
    assert int(str(done["archive_bytes"])) < SOME
    for found in (points(stage), vault_points(stage)):
        assert [[d["number"] for d in p["awaited_disks"]] for p in found] == [[2], [2]]  # type: ignore[attr-defined]
    (imported,) = stage.run("importer", "import", paths[1], "--vault", stage.at, "--json").json["disks"]
    assert imported["may_be_erased"]
    assert [p["complete"] for p in vault_points(stage)] == [True, True]
    for point in (seed["point"], done["point"]):
        assert trees.differences(source, restored(stage, point, room, source)) == []
    assert backup(stage)["promised"] == 0


def test_a_set_that_nobody_announced_is_the_operators_to_accept(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    stage.run("seed", "export", source, "--to", stage.disk, "--offline")
    lose_home(stage)
    replace(stage)
    before = machines(stage)
    words = ("importer", "import", stage.disk, "--vault", stage.at, "--json")
    result = refused(stage.run(*words, code=1), "machine-replaced")
    wanted = str(result.json["error"]["hint"]).rpartition(" ")[2]
    assert vault_points(stage) == []
    refused(
        stage.run(*words, "--accept-replaced", wanted.replace(wanted[:4], "0000"), code=1), "machine-unknown"
    )
    assert stage.run(*words, "--accept-replaced", wanted).json["disks"][0]["may_be_erased"]
    assert stage.run(*words).json["disks"][0]["unchanged"], "from here on it counts"
    (point,) = vault_points(stage)
    assert point["complete"]
    assert [m["machine"] for m in machines(stage)] == [m["machine"] for m in before]
    assert trees.differences(source, restored(stage, "latest", room, source)) == []
    done = backup(stage, source)
    assert (done["sequence"], done["read_bytes"]) == (2, 0), "it is the basis like any other"


def test_nothing_is_made_where_the_place_cannot_be_taken(lived: Stage, room: Path) -> None:
    stage = lived
    lose_home(stage)
    before = snapshot(stage.vault)
    (room / "wrong").write_text("another passphrase than that one\n")
    refused(replace(stage, secret=room / "wrong", code=1), "passphrase-wrong")
    refused(replace(stage, "--name", "web2", code=1), "machine-unknown")
    refused(replace(stage, "--generate-passphrase", room / "p", code=2), "usage")
    refused(replace(stage, "--vault", room / "nowhere", code=1), "store-missing")
    refused(replace(stage, "--vault", room, code=1), "vault-foreign")
    stage.vault.rename(room / "away")
    refused(replace(stage, code=1), "store-missing")
    (room / "away").rename(stage.vault)
    stage.issue(room / "newer")
    newer = {n: d for n, d in snapshot(stage.vault).items() if n not in before}
    refused(replace(stage, code=1), "credential-replaced")
    assert not stage.home.exists()
    assert snapshot(stage.vault) == before | newer


def test_the_passphrase_is_asked_for_at_a_terminal(lived: Stage) -> None:
    stage = lived
    lose_home(stage)
    words = (
        "register",
        "--replace",
        "--credential",
        stage.credential,
        "--name",
        "web1",
        "--vault",
        stage.vault,
    )
    wrong, right = b"not that one at all, no\n", PASSPHRASE.encode() + b"\n"
    shown = stage.type("seed", *words, answers=[wrong] * 3, code=1).stdout
    assert shown.count("opens none of the key slots") == 3
    assert not stage.home.exists()
    assert "in place of" in stage.type("seed", *words, answers=[wrong, right]).stdout


def test_the_operator_accepts_what_came_after_a_newer_credential(
    lived: Stage, source: Path, room: Path
) -> None:
    stage = lived
    lose_home(stage)
    fingerprint = replace(stage).json["fingerprint"]
    stage.issue()
    assert sorted(str(m["status"]) for m in machines(stage)) == ["active", "waiting"]
    done = backup(stage, source)
    assert len(vault_points(stage)) == 2, "nobody knows it yet"
    said = stage.run("importer", "machines", "accept", fingerprint, "--vault", stage.at).stdout
    assert "takes the place of" in said
    assert sorted(str(m["status"]) for m in machines(stage)) == ["active", "replaced"]
    assert vault_points(stage)[-1]["point"] == done["point"]


def test_an_acceptance_that_was_killed_is_completed_by_the_next_command(lived: Stage, source: Path) -> None:
    """Complete an interrupted acceptance at the next command: in between both machines are active."""
    stage = lived
    lose_home(stage)
    replace(stage)
    plain = stage.command
    stage.command = prepared(
        "import os, importer.vault.machines as m; m._revise = lambda *_, **__: os._exit(9)"
    )
    stage.run("importer", "machines", "list", "--vault", stage.at, code=9)
    stage.command = plain
    stage.issue()  # in case the credential was lost
    assert sorted(str(m["status"]) for m in machines(stage)) == ["active", "replaced"]
    backup(stage, source)
    assert [p["sequence"] for p in vault_points(stage)] == [1, 2, 3]


def test_of_two_that_take_one_place_the_second_is_refused(lived: Stage, room: Path) -> None:
    stage = lived
    lose_home(stage)
    replace(stage)
    stage.home.rename(room / "another")
    replace(stage)
    stated = {str(m["status"]) for m in machines(stage)}
    assert stated == {"active", "replaced", "waiting"}
    listed = stage.run("importer", "machines", "list", "--vault", stage.at).stdout.splitlines()
    (waiting,) = [line for line in listed if "waiting" in line]
    assert "was replaced already" in waiting
    words = ("importer", "machines", "accept", waiting.split()[0], "--vault", stage.at, "--json")
    refused(stage.run(*words, code=1), "replacement-refused")
    stage.home.rename(room / "a third")
    replace(stage)
    assert sorted(str(m["status"]) for m in machines(stage)) == ["active", "replaced", "replaced", "waiting"]


def test_a_vault_made_again_takes_the_machine_before_as_replaced(
    copy_of: Copy, exported: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(exported)
    lose_home(stage)
    stage.run("importer", "import", stage.disk, "--vault", stage.at)
    first = machines(stage)[0]["machine"]
    replaced = replace(stage).json
    backup(stage, small_tree)
    shutil.rmtree(stage.vault)
    stage.run("importer", "vault", "recreate", "Backups", "--at", stage.at, "--region", "here")
    backup(stage, code=3)
    accept = ("importer", "machines", "accept")
    stage.run(*accept, replaced["fingerprint"], "--vault", stage.at)
    stage.run(*accept, first, "--vault", stage.at, "--from", stage.disk)
    assert sorted(str(m["status"]) for m in machines(stage)) == ["active", "replaced"]
    stage.run("importer", "import", stage.disk, "--vault", stage.at, "--accept-replaced", first)
    assert all(p["complete"] for p in vault_points(stage))
    assert trees.differences(small_tree, restored(stage, "latest", room, small_tree)) == []


def test_who_has_another_key_takes_nobodys_place(lived: Stage) -> None:
    """Refuse a replacement by credential alone: the new machine must have opened the one before."""
    stage = lived
    file = CredentialFile.read(stage.credential.read_bytes(), "credential")
    (before,) = machines(stage)
    replaced = (MachineId(str(before["machine"])),)
    identity = make_identity(
        file, "web1", NewKeys.generate(PASSPHRASE), Address(str(stage.vault)), replaced=replaced
    )
    put_request(open_store(str(stage.vault)), identity)
    listed = stage.run("importer", "machines", "list", "--vault", stage.at).stdout
    assert "waiting  web1" in listed
    assert "another master key" in listed
    words = ("importer", "machines", "accept", identity.machine, "--vault", stage.at, "--json")
    refused(stage.run(*words, code=1), "replacement-refused")
    assert sorted(str(m["status"]) for m in machines(stage)) == ["active", "waiting"]


def test_a_rebuilt_server_cuts_its_content_as_the_one_before(lived: Stage) -> None:
    """Take the sizes of chunks from the newest point: by other sizes all would be sent again."""
    stage = lived
    chosen = json.loads((stage.home / "state.json").read_text())["chunking"]
    lose_home(stage)
    replace(stage)
    assert json.loads((stage.home / "state.json").read_text())["chunking"] == chosen
