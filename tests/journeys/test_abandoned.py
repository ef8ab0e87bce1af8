"""Abandoned exports: the datacenter learns of them, and keeps the imported data for 30 days only."""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.disk import Abandonment, Inventory, SetDisk, SetDocument
from formats.documents.manifest import Manifest, Totals
from formats.ids import HexDigest, MachineId, PointId, SetId, digest, fingerprint, hex_digest
from formats.tables import needs
from seed.home.home import Home
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, backup, below, disks, refused, to

assert sys.platform == "linux"

WORDS = ("--use-at-most", "14MiB")
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


@pytest.fixture
def stage(copy_of: Copy, opened: Stage, source: Path) -> Stage:
    """Return a stage with the first disk of an export in the vault; the export waits for further disks."""
    stage = copy_of(opened)
    stage.disk = disks(stage, 1)[0]
    stage.run("seed", "export", source, *WORDS, *to(stage.disk), code=4)
    stage.run("importer", "import", stage.disk, "--vault", stage.at)
    assert state(stage)["disks"][0]["state"] == "received; its export goes on: keep it"
    return stage


def state(stage: Stage) -> Any:
    """Return the only set, as the datacenter sees it."""
    (machine,) = stage.run("importer", "status", "--vault", stage.at, "--json").json
    return machine["sets"][0]


def days_later(stage: Stage, days: float) -> None:
    """Make all files in the vault `days` days older."""
    for path in stage.vault.rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - days * 86_400
            os.utime(path, (then, then))


def prune(stage: Stage) -> Any:
    return stage.run("importer", "prune", "--vault", stage.at, "--json").json


def objects(stage: Stage, prefix: str) -> list[Path]:
    """Return the files in the vault below `prefix`."""
    return [path for path in (stage.vault / prefix).rglob("*") if path.is_file()]


def archives(stage: Stage) -> int:
    return len(objects(stage, "archives"))


def test_what_it_brought_is_kept_for_thirty_days_and_then_condemned(stage: Stage, source: Path) -> None:
    said = stage.run("seed", "set", "abandon")
    assert f"is given up; the vault at {stage.at} knows." in said.stdout
    found = state(stage)
    assert found["disks"][0]["may_be_erased"]
    assert found["disks"][0]["state"] == "received; its export was given up by its machine: may be erased"
    assert found["given_up_until"] == pytest.approx(time.time() + 30 * 86_400, abs=3600)
    assert "may take that back until" in stage.run("importer", "status", "--vault", stage.at).stdout
    held = archives(stage)
    days_later(stage, 29)
    assert [prune(stage)["condemned"], archives(stage)] == [0, held]
    days_later(stage, 1.1)
    assert prune(stage)["condemned"] >= held
    assert archives(stage) == held, "as with all that is condemned, a day passes"
    days_later(stage, 1.1)
    prune(stage)
    assert archives(stage) == 0
    assert state(stage)["disks"][0]["may_be_erased"]
    assert "may take that back" not in stage.run("importer", "status", "--vault", stage.at).stdout
    backup(stage)
    stage.run("seed", "restore", "latest", "--target", stage.folder / "back")
    assert trees.differences(source, below(stage.folder / "back", source)) == []


def test_it_is_taken_back_and_the_export_goes_on(stage: Stage, source: Path, room: Path) -> None:
    stage.run("seed", "set", "abandon")
    days_later(stage, 20)
    said = stage.run("seed", "set", "resume")
    assert "is not given up any more; the vault at" in said.stdout
    assert state(stage)["disks"][0]["state"] == "received; its export goes on: keep it"
    days_later(stage, 20)
    assert prune(stage)["condemned"] == 0
    second = stage.folder / "second"
    second.mkdir()
    stage.run("seed", "export", source, *to(second))
    for disk in (stage.disk, second):
        stage.run("importer", "import", disk, "--vault", stage.at)
    assert [d["may_be_erased"] for d in state(stage)["disks"]] == [True, True]
    stage.run("seed", "restore", "latest", "--target", room / "back")
    assert trees.differences(source, below(room / "back", source)) == []
    refused(stage.run("seed", "set", "resume", "--json", code=2), "usage")


def test_a_vault_that_is_away_hears_of_it_later(stage: Stage) -> None:
    away = stage.vault.with_name("away")
    stage.vault.rename(away)
    said = stage.run("seed", "set", "abandon").stdout
    assert "the vault is told by the next command that reaches it" in said
    away.rename(stage.vault)
    assert not state(stage)["disks"][0]["may_be_erased"]
    stage.run("seed", "status")
    assert state(stage)["disks"][0]["may_be_erased"]
    assert len(objects(stage, "abandonments")) == 1
    stage.run("seed", "status")
    assert len(objects(stage, "abandonments")) == 1


def test_a_set_that_another_took_the_place_of_is_given_up_too(stage: Stage, source: Path) -> None:
    (source / "other").mkdir()
    third = stage.folder / "third"
    third.mkdir()
    stage.run("seed", "export", source / "other", "--once", "--again", *to(third))
    (machine,) = stage.run("importer", "status", "--vault", stage.at, "--json").json
    assert [s["disks"][0]["may_be_erased"] for s in machine["sets"] if not s["finished"]] == [True]
    states = {s["status"] for s in stage.run("seed", "status", "--json").json["sets"]}
    assert states == {"abandoned", "finished"}


def test_a_rebuilt_machine_gives_up_what_its_lost_home_had_begun(stage: Stage) -> None:
    found = state(stage)["set"]
    shutil.rmtree(stage.home)
    stage.issue()
    stage.run(
        "seed", "register", "--credential", stage.credential, "--name", "web1", "--replace",
        "--passphrase-file", stage.secret, "--vault", stage.at,
    )  # fmt: skip
    stage.run("importer", "points", "--vault", stage.at)  # this command accepts the machine
    refused(stage.run("seed", "set", "abandon", "--json", code=2), "usage")
    refused(stage.run("seed", "set", "abandon", "ffffffff", "--json", code=2), "set-unknown")
    assert f"Set {found[:8]} is given up" in stage.run("seed", "set", "abandon", found[:8]).stdout
    machines = stage.run("importer", "status", "--vault", stage.at, "--json").json
    (disk_set,) = [disk_set for machine in machines for disk_set in machine["sets"]]
    assert disk_set["disks"][0]["may_be_erased"]
    days_later(stage, 31)
    assert prune(stage)["condemned"] > 0


def test_nothing_more_is_taken_of_its_disks(stage: Stage) -> None:
    shutil.rmtree(stage.vault / "disks")
    stage.run("seed", "set", "abandon")
    for path in objects(stage, "archives"):
        path.unlink()
    done = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=3)
    assert {f["code"] for f in done.json["findings"]} == {"object-lost"}, "the inventory that was taken away"
    assert done.json["disks"][0]["may_be_erased"]
    assert archives(stage) == 0
    said = stage.run("importer", "import", stage.disk, "--vault", stage.at)
    assert "its machine has given up its export; it may be erased" in said.stdout
    assert "given up this export, and nothing of it is taken" in said.stderr


def word(stage: Stage, disk_set: str, key: Ed25519PrivateKey, number: int = 1) -> None:
    """Put an abandonment of the set, signed by any key, in the place of its machine's abandonment."""
    identity = Home.open(stage.home).identity
    document = Abandonment(
        number=number,
        vault=identity.vault,
        machine=identity.machine,
        set=SetId(disk_set),
        created=int(time.time()),
        given_up=True,
    )
    data = envelope.sign(document, key)
    prefix = layout.abandonment_prefix(identity.machine, SetId(disk_set))
    path = stage.vault / layout.numbered(prefix, number, hex_digest(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_word_that_its_machine_did_not_sign_ends_nothing(stage: Stage) -> None:
    word(stage, state(stage)["set"], STRANGER, 9)
    days_later(stage, 40)
    assert prune(stage)["condemned"] == 0
    assert not state(stage)["disks"][0]["may_be_erased"]
    assert "somebody else put there" in stage.run("importer", "status", "--vault", stage.at).stderr


def test_a_revoked_machines_word_ends_nothing(stage: Stage) -> None:
    word(stage, state(stage)["set"], Home.open(stage.home).identity.signing_key)
    assert state(stage)["disks"][0]["may_be_erased"]
    (machine,) = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
    stage.run(
        "importer", "machines", "revoke", fingerprint(MachineId(machine["machine"])), "--vault", stage.at
    )
    assert not state(stage)["disks"][0]["may_be_erased"]


def test_a_set_that_a_point_names_is_not_given_up(stage: Stage, source: Path, room: Path) -> None:
    """Keep a set that a point names, even if its machine gave it up: a key thief destroys nothing whole."""
    second = stage.folder / "second"
    second.mkdir()
    stage.run("seed", "export", source, *to(second), "--offline")
    disk_set = state(stage)["set"]
    word(stage, disk_set, Home.open(stage.home).identity.signing_key)
    stage.run("importer", "import", second, "--vault", stage.at)
    stage.run("importer", "import", stage.disk, "--vault", stage.at)
    days_later(stage, 40)
    for _ in range(2):
        prune(stage)
        days_later(stage, 1.1)
    assert state(stage)["finished"]
    stage.run("seed", "restore", "latest", "--target", room / "back", "--vault", stage.at)
    assert trees.differences(source, below(room / "back", source)) == []


def test_nor_does_a_thief_end_it_by_a_point_that_needs_nothing(stage: Stage) -> None:
    """Keep the data of a set finished with an empty point for as long as those of an abandoned set.

    The machine's signature alone finishes a set, so a thief of its key could do that.
    """
    identity = Home.open(stage.home).identity
    (path,) = [p for p in objects(stage, f"disks/{identity.machine}") if not p.name.startswith("0000000000-")]
    inventory = envelope.read(path.read_bytes(), path.name)
    disk = inventory.peek(Inventory)
    root, _ = needs.encode([])
    put(stage, layout.need_name(digest(root)), root)
    nothing = Totals(entries=0, files=0, file_bytes=0, archives=0, archive_bytes=0, lost=0)
    manifest = Manifest(
        vault=identity.vault, machine=identity.machine, machine_name="web1", key_id=identity.master.key_id.hex(),
        point=PointId("7" * 32), revision=1, sequence=7, created=int(time.time()), point_kind="seed", totals=nothing,
        needs=HexDigest(hex_digest(root)), root=b"nothing",
    )  # fmt: skip
    signed = envelope.sign(manifest, identity.signing_key)
    put(stage, layout.numbered(layout.manifest_prefix(identity.machine), 7, hex_digest(signed)), signed)
    whole = SetDisk(
        number=1, disk=disk.disk, label=disk.label, inventory=inventory.digest, generation=disk.generation
    )
    document = SetDocument(
        vault=identity.vault, machine=identity.machine, set=SetId(disk.set), point=manifest.point, revision=1,
        manifest=hex_digest(signed), created=int(time.time()), disks=(whole,),
    )  # fmt: skip
    data = envelope.sign(document, identity.signing_key)
    put(stage, layout.numbered(layout.set_prefix(identity.machine), 7, hex_digest(data)), data)
    held = archives(stage)
    for _ in range(3):
        days_later(stage, 1.1)
        prune(stage)
    assert archives(stage) == held
    days_later(stage, 30)
    prune(stage)
    days_later(stage, 1.1)
    prune(stage)
    assert archives(stage) < held


def put(stage: Stage, name: str, data: bytes) -> None:
    path = stage.vault / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
