"""A machine of the vault that is after another one's backup, whose first disk is in the post. For Linux."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from formats import layout
from formats.documents.credential_file import CredentialFile
from formats.documents.damage import ArchiveRow, Replaced, Replacement
from formats.ids import SetId, digest, hex_digest
from formats.keyed.keys import MasterKey
from formats.store.access import Address
from formats.store.address import open_store
from formats.store.local import LocalStore
from formats.tables import needs
from formats.tables.needs import all_of
from formats.tables.sections import Section, encode_objects
from seed.home import Home
from seed.register import Keys, make_identity, put_request
from tests.hostile import forging
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below, refused

assert sys.platform == "linux"


@pytest.fixture
def honest(copy_of: Copy, exported: Stage) -> Stage:
    """Its set is announced, its disk on the way."""
    stage = copy_of(exported)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    return stage


@pytest.fixture
def evil(honest: Stage, room: Path) -> Stage:
    """Another member, with a disk of its own that it has not sent yet."""
    stage = Stage(room / "evil")
    stage.join(honest)
    honest.issue()
    stage.register("web2")
    tree = room / "tree"
    tree.mkdir()
    trees.small_file(tree / "file", trees.incompressible(1 << 20, 7))
    stage.export(tree)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    return stage


def check_unharmed(honest: Stage, small_tree: Path, room: Path) -> None:
    """Until its disk has come the vault awaits it, and wants nothing of it; then all is there."""
    (point,) = [p for p in points(honest) if p["name"] == "web1"]
    assert (point["complete"], len(point["awaited_disks"])) == (False, 1)
    assert honest.run("importer", "status", "--vault", honest.at, "--json", code=None).json is not None
    assert honest.run("seed", "repair", "--json").json["wanted"] == 0
    archives = len(content(honest))
    done = honest.import_(code=None)["disks"][0]
    assert (done["may_be_erased"], done["copied"]) == (True, archives)
    honest.restore(room / "restored", "--vault", honest.at)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def points(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.run(
        "importer", "points", "--vault", stage.at, "--json", code=None
    ).json
    return found


def content(stage: Stage) -> list[Path]:
    """The archives of a disk that no announcement has brought to the vault."""
    return [p for p in stage.objects("archives") if not (stage.vault / p.relative_to(stage.seeded)).exists()]


def test_a_disk_under_anothers_set_and_number_stands_in_nobodys_way(
    honest: Stage, evil: Stage, small_tree: Path, room: Path
) -> None:
    forger, theirs = forging.Forger(evil), forging.Forger(honest).label.set
    forger.relabel(set=theirs)
    forger.close(set=theirs, label=hex_digest((forger.folder / "label").read_bytes()))
    evil.seeded.rename(evil.seeded.with_name(layout.disk_folder(SetId(theirs), 1)))
    evil.import_(code=None)
    awaited = honest.run("importer", "status", "--vault", honest.at, "--json").json
    assert "web1" in json.dumps(awaited)
    check_unharmed(honest, small_tree, room)
    assert honest.import_()["findings"] == []


def test_nobody_registers_under_anothers_key(honest: Stage) -> None:
    file = CredentialFile.read(honest.issue().read_bytes(), "credential")
    stolen = Home.open(honest.home).identity.master
    keys = replace(Keys.generate("quite another 12 words of passphrase"), master=MasterKey(stolen.raw))
    identity = make_identity(file, "web3", keys, Address(honest.at))
    put_request(open_store(honest.at), identity)
    assert "has the master key" in honest.run("importer", "machines", "list", "--vault", honest.at).stdout
    words = ("importer", "machines", "accept", identity.machine, "--vault", honest.at, "--json")
    refused(honest.run(*words, code=1), "key-taken")
    members = honest.run("importer", "machines", "list", "--vault", honest.at, "--json").json
    assert sorted((m["name"], m["status"]) for m in members) == [("web1", "active"), ("web3", "waiting")]


def test_what_a_machine_says_of_anothers_archives_counts_for_itself_alone(
    honest: Stage, evil: Stage, small_tree: Path, room: Path
) -> None:
    """It claims to hold all that is on the way, in archives of its own that say so and hold nothing."""
    forger = forging.Forger(evil)
    entries = []
    with LocalStore.open(evil.at) as vault:
        for path in content(honest):
            old, made = forging.impostor(path, forger.identity.master.key_id)
            entries.append(
                Replaced(
                    archive=ArchiveRow.of(old),
                    by=ArchiveRow.of(Section.of(made).archive),
                    held=bytes(all_of(old).live),
                )
            )
            vault.put_new(layout.archive_name(made.name), made.data)
            for data in encode_objects([Section.of(made)]):
                vault.put_new(layout.index_name(digest(data)), data)
        document = Replacement(
            vault=forger.identity.vault,
            key_id=forger.identity.master.key_id.hex(),
            role="machine",
            created=1,
            replaced=tuple(entries),
        )
        signed = forger.signed(document)
        prefix = layout.offers_prefix(forger.identity.machine)
        vault.put_new(layout.numbered(prefix, 1, hex_digest(signed)), signed)
    points(evil)
    check_unharmed(honest, small_tree, room)


def test_an_inventory_that_lists_anothers_archives_makes_nobody_send_them(
    honest: Stage, evil: Stage, small_tree: Path, room: Path
) -> None:
    """Damaged copies of what is on the way, listed and needed by another machine: they are not wanted of their own."""
    forger = forging.Forger(evil)
    theirs = [h for h in forging.Forger(honest).holdings if h.name.hex() in {p.name for p in content(honest)}]
    for holding in theirs:
        forger.write(layout.archive_name(holding.name), b"\0" * holding.size)
    root, buckets = needs.encode([*map(all_of, (*forger.holdings, *theirs))])
    for data in (root, *buckets.values()):
        name = layout.need_name(digest(data))
        forger.write(name, data)
        forger.list_object(name, data)
    forger.remanifest(needs=hex_digest(root))
    forger.hold([*forger.holdings, *theirs])
    evil.import_(code=None)
    assert honest.run("seed", "repair", "--json", code=None).json["wanted"] == 0
    check_unharmed(honest, small_tree, room)


def test_a_copy_of_anothers_archive_is_not_taken_for_ones_own(
    honest: Stage, evil: Stage, small_tree: Path, room: Path
) -> None:
    forger = forging.Forger(evil)
    theirs = [h for h in forging.Forger(honest).holdings if h.name.hex() in {p.name for p in content(honest)}]
    for path in content(honest):
        target = evil.seeded / path.relative_to(honest.seeded)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    forger.drop("manifests", "sets")
    forger.hold([*forger.holdings, *theirs])
    found = evil.import_(code=3)["findings"]
    assert "archive-foreign" in {f["code"] for f in found}
    check_unharmed(honest, small_tree, room)


def test_a_machine_brings_nothing_under_anothers_name(honest: Stage, evil: Stage) -> None:
    """It lists the other's slots on its disk: they are not signed by it."""
    theirs = honest.objects("slots")[0]
    forger = forging.Forger(evil)
    name = str(theirs.relative_to(honest.seeded))
    forger.write(name, theirs.read_bytes())
    forger.list_object(name, theirs.read_bytes())
    assert "signature-wrong" in {f["code"] for f in evil.import_(code=3)["findings"]}
