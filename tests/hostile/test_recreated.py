"""A vault that was made again, empty: documents of the old one do not count if a reader puts them back."""

import random
import shutil
import sys
import time
from pathlib import Path

from formats.ids import fingerprint
from seed.home.home import Home
from tests.journeys.stage import Copy, Stage, backup

assert sys.platform == "linux"


def kept(vault: Path) -> dict[str, bytes]:
    return {str(path.relative_to(vault)): path.read_bytes() for path in vault.rglob("*") if path.is_file()}


def put_back(vault: Path, objects: dict[str, bytes]) -> None:
    for name, data in objects.items():
        path = vault / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def recreate(stage: Stage) -> None:
    """Make the vault again, in a later second than all signatures: documents tell their time in seconds."""
    shutil.rmtree(stage.vault)
    began = int(time.time())
    while int(time.time()) == began:
        time.sleep(0.02)
    stage.run("importer", "vault", "recreate", "Backups", "--at", stage.at, "--region", "here")


def test_no_machine_is_active_again_that_was_revoked(copy_of: Copy, opened: Stage, small_tree: Path) -> None:
    stage = copy_of(opened)
    backup(stage, small_tree)
    stage.run("importer", "points", "--vault", stage.at)
    before = kept(stage.vault)
    machine = Home.open(stage.home).identity.machine
    stage.run("importer", "machines", "revoke", fingerprint(machine), "--vault", stage.at)
    recreate(stage)
    put_back(stage.vault, before)
    rows = stage.run("importer", "machines", "list", "--vault", stage.at, "--json", code=None).json
    assert [row["status"] for row in rows if row["status"] == "active"] == []
    assert stage.run("importer", "points", "--vault", stage.at, "--json", code=None).json == []


def test_no_disk_is_erasable_by_a_receipt_from_before(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    stage.run("importer", "points", "--vault", stage.at)
    stage.import_()
    before = kept(stage.vault)
    recreate(stage)
    junk = {
        name: random.Random(1).randbytes(len(data)) if name.startswith("archives/") else data
        for name, data in before.items()
    }
    put_back(stage.vault, junk)
    stage.run("importer", "points", "--vault", stage.at, code=None)
    shown = stage.run("importer", "status", "--vault", stage.at, "--json", code=None).json
    assert not [d for m in shown for s in m["sets"] for d in s["disks"] if d["may_be_erased"]]
    machine = fingerprint(Home.open(stage.home).identity.machine)
    stage.run("importer", "machines", "accept", machine, "--vault", stage.at, "--from", stage.disk)
    done = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=None).json
    assert done["disks"][0]["copied"] > 0, "all of it is read, and put in place of the junk"
    found = stage.run("importer", "points", "--vault", stage.at, "--json", code=None).json
    assert [point["complete"] for point in found] == [True]
    damaged = stage.run("importer", "validate", "--vault", stage.at, "--json", code=None).json["damaged"]
    assert [name for name in damaged if name.startswith("archives/")] == []
