"""A machine of the vault that attacks another one's backup.

The first disk of the other machine is in the post. For Linux.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from formats import layout
from formats.documents import envelope
from formats.documents.credential_file import CredentialFile
from formats.documents.damage import ArchiveRow, Replaced, Replacement
from formats.documents.vault import Request
from formats.ids import HexDigest, MachineId, SetId, digest, hex_digest
from formats.keyed.keys import MasterKey
from formats.monitor import Tally
from formats.store.access import Address
from formats.store.address import open_store
from formats.store.local import LocalStore
from formats.tables import needs
from formats.tables.needs import all_of
from formats.tables.sections import Section, encode_objects
from importer.vault.points import set_documents
from importer.vault.vault import members, open_vault, unreadable_members
from seed.home.home import Home
from seed.identity.join_request import put_request
from seed.identity.registration import NewKeys, make_identity
from tests.hostile import forging
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below, refused

assert sys.platform == "linux"


@pytest.fixture
def honest(copy_of: Copy, exported: Stage) -> Stage:
    """Return a machine with an announced set and its disk on the way."""
    stage = copy_of(exported)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    return stage


@pytest.fixture
def evil(honest: Stage, room: Path) -> Stage:
    """Return another member, with a disk of its own that it has not sent yet."""
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
    """Check that the vault awaits the disk and wants nothing of it; then import it and check everything."""
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
    """Return the archives of a disk that no announcement has brought to the vault."""
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
    words = ("importer", "receive", f"{theirs[:8]}/1", "--vault", honest.at, "--json")
    told = honest.run(*words, code=2)
    refused(told, "disk-unknown")
    assert "--machine" in told.stdout + told.stderr
    booked = honest.run(*words, "--machine", "web1").json["disks"]
    assert [disk["machine"] for disk in booked] == [forging.Forger(honest).label.machine]
    check_unharmed(honest, small_tree, room)
    assert honest.import_()["findings"] == []


def test_nobody_registers_under_anothers_key(honest: Stage) -> None:
    file = CredentialFile.read(honest.issue().read_bytes(), "credential")
    stolen = Home.open(honest.home).identity.master
    keys = replace(NewKeys.generate("quite another 12 words of passphrase"), master=MasterKey(stolen.raw))
    identity = make_identity(file, "web3", keys, Address(honest.at))
    put_request(open_store(honest.at), identity)
    assert "has the master key" in honest.run("importer", "machines", "list", "--vault", honest.at).stdout
    words = ("importer", "machines", "accept", identity.machine, "--vault", honest.at, "--json")
    refused(honest.run(*words, code=1), "key-taken")
    members = honest.run("importer", "machines", "list", "--vault", honest.at, "--json").json
    assert sorted((m["name"], m["status"]) for m in members) == [("web1", "active"), ("web3", "waiting")]


@pytest.mark.parametrize("replaces", [False, True])
def test_nobody_names_a_key_that_he_does_not_hold(honest: Stage, replaces: bool) -> None:
    """Refuse a request that names a key without holding it.

    All other parts are public: the name, the machine and the key id. A credential is for any server.
    """
    file = CredentialFile.read(honest.issue().read_bytes(), "credential")
    theirs = Home.open(honest.home).identity
    keys = NewKeys.generate("quite another 12 words of passphrase")
    replaced = (theirs.machine,) if replaces else ()
    identity = make_identity(
        file, "web1" if replaces else "web3", keys, Address(honest.at), replaced=replaced
    )
    own = envelope.read(identity.request, "request").peek(Request)
    for proof in (own.proof_key, theirs.master.proof.public_key().public_bytes_raw().hex()):
        forged = replace(own, key_id=theirs.master.key_id.hex(), proof_key=HexDigest(proof))
        data = envelope.sign(forged, identity.signing_key, file.key, keys.master.proof)
        with LocalStore.open(honest.at) as vault:
            vault.put_new(layout.numbered("requests", 1, hex_digest(data)), data)
    told = honest.run("importer", "machines", "list", "--vault", honest.at, "--json", code=3)
    assert [(m["name"], m["status"]) for m in told.json] == [("web1", "active")]
    words = ("importer", "machines", "accept", identity.machine, "--vault", honest.at, "--json")
    refused(honest.run(*words, code=1), "machine-unknown")
    honest.run("seed", "backup")


def test_an_archive_that_somebody_has_put_before_is_not_believed_by_its_size(
    honest: Stage, evil: Stage, small_tree: Path, room: Path
) -> None:
    with LocalStore.open(evil.at) as vault:
        for path in content(honest):
            vault.put_new(str(path.relative_to(honest.seeded)), b"\1" * path.stat().st_size)
    done = honest.import_(code=3)
    assert {f["code"] for f in done["findings"]} == {"object-damaged"}
    assert done["disks"][0]["may_be_erased"], "the disk's own were put in their place"
    honest.run("importer", "validate", "--vault", honest.at)
    honest.restore(room / "restored", "--vault", honest.at)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def test_what_a_machine_says_of_anothers_archives_counts_for_itself_alone(
    honest: Stage, evil: Stage, small_tree: Path, room: Path
) -> None:
    """Let a machine's claims about another's archives count for itself alone.

    It claims to hold all that is on the way, in archives of its own that say so and hold nothing.
    """
    forger = forging.Forger(evil)
    entries = []
    with LocalStore.open(evil.at) as vault:
        for path in content(honest):
            index, made = forging.impostor(path.read_bytes(), path.name, forger.identity.master.key_id)
            old = index.archive
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
            copied=False,
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
    """Want no archive because of damaged copies that another machine lists and needs.

    The real archives are on the way.
    """
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


def test_a_need_list_that_is_none_keeps_its_point_out(
    honest: Stage, evil: Stage, small_tree: Path, room: Path
) -> None:
    """Keep out a point with a need list that is none.

    Otherwise every command would report it, for every machine.
    """
    forger = forging.Forger(evil)
    data = needs.ROOT_MAGIC + bytes([17]) + bytes(7)
    name = layout.need_name(digest(data))
    forger.write(name, data)
    forger.list_object(name, data)
    forger.remanifest(needs=hex_digest(data))
    assert "NEED-1" in {f["code"] for f in evil.import_(code=3)["findings"]}
    honest.run("importer", "points", "--vault", honest.at)
    assert sorted(p["name"] for p in points(honest)) == ["web1", "web2"], "those that were announced before"
    check_unharmed(honest, small_tree, room)


def test_what_is_wrong_with_one_machine_is_no_finding_of_the_others(honest: Stage, evil: Stage) -> None:
    """Report one machine's flaw for no other machine, even if it lies in the vault itself.

    Every machine may put any object there.
    """
    identity = Home.open(evil.home).identity
    manifest = replace(forging.Forger(evil).manifest, needs=HexDigest("ab" * 32), sequence=9)
    signed = envelope.sign(manifest, identity.signing_key)
    name = layout.numbered(layout.manifest_prefix(identity.machine), 9, hex_digest(signed))
    with LocalStore.open(evil.at) as vault:
        vault.put_new(name, signed)
    evil.run("importer", "points", "--vault", evil.at, code=3)
    honest.run("importer", "points", "--vault", honest.at, "--machine", "web1")
    assert honest.import_()["findings"] == []


def test_an_untrue_offer_is_told_of_once(honest: Stage, evil: Stage) -> None:
    forger = forging.Forger(evil)
    path = content(honest)[0]
    index, made = forging.impostor(path.read_bytes(), path.name, forger.identity.master.key_id)
    old = index.archive
    entry = Replaced(
        archive=ArchiveRow.of(old), by=ArchiveRow.of(Section.of(made).archive), held=all_of(old).live
    )
    document = Replacement(
        vault=forger.identity.vault,
        key_id=forger.identity.master.key_id.hex(),
        role="machine",
        copied=False,
        created=1,
        replaced=(entry,),
    )
    signed = forger.signed(document)
    prefix = layout.offers_prefix(forger.identity.machine)
    with LocalStore.open(evil.at) as vault:
        vault.put_new(layout.numbered(prefix, 1, hex_digest(signed)), signed)
    told = honest.run("importer", "points", "--vault", honest.at, code=3)
    assert "replacement-untrue" in told.stdout + told.stderr
    honest.run("importer", "points", "--vault", honest.at)


def test_a_machine_brings_nothing_under_anothers_name(honest: Stage, evil: Stage) -> None:
    """Refuse the slots of another machine that a machine lists on its disk, without signing them."""
    theirs = honest.objects("slots")[0]
    forger = forging.Forger(evil)
    name = str(theirs.relative_to(honest.seeded))
    forger.write(name, theirs.read_bytes())
    forger.list_object(name, theirs.read_bytes())
    assert "signature-wrong" in {f["code"] for f in evil.import_(code=3)["findings"]}


def test_an_imitation_of_damage_among_a_machines_sets_keeps_no_disk(honest: Stage) -> None:
    machine = Home.open(honest.home).identity.machine
    with LocalStore.open(honest.at) as vault:
        vault.put_new(layout.numbered(layout.set_prefix(machine), 2, HexDigest("ab" * 32)), b"junk")
    assert honest.import_()["disks"][0]["may_be_erased"]


def test_copies_of_a_set_document_under_other_numbers_count_once(honest: Stage) -> None:
    """Count a genuine set document once, though it also lies under other numbers.

    The document itself does not state the number in its name.
    """
    machine = Home.open(honest.home).identity.machine
    prefix = layout.set_prefix(machine)
    with LocalStore.open(honest.at) as vault:
        ((name, _),) = vault.list(prefix)
        data = vault.get(name)
        for number in (0, 7, 9_999_999_999):
            vault.put_new(layout.numbered(prefix, number, hex_digest(data)), data)
    opened = open_vault(honest.importer_home, Address(honest.at), Tally())
    (member,) = members(opened, Tally()).values()
    assert len(list(set_documents(opened, member, Tally()))) == 1


def test_many_strange_machines_are_listed_at_once(honest: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spend no listing and no line on each id of junk memberships and registers."""

    def looked() -> tuple[int, Tally]:
        opened, told, asked = open_vault(honest.importer_home, Address(honest.at), Tally()), Tally(), 0
        listed = opened.store.list

        def counted(*words: object) -> Iterator[tuple[str, int]]:
            nonlocal asked
            asked += 1
            return listed(*words)  # type: ignore[arg-type]

        monkeypatch.setattr(opened.store, "list", counted)
        assert len(members(opened, told)) == 1
        assert unreadable_members(opened) == {}
        return asked, told

    before, _ = looked()
    with LocalStore.open(honest.at) as vault:
        for number in range(50):
            machine = MachineId(f"{number:032x}")
            for prefix in (layout.member_prefix(machine), layout.register_prefix(machine)):
                vault.put_new(layout.numbered(prefix, 1, hex_digest(b"junk")), b"junk")
    after, told = looked()
    assert after == before
    assert len(told.notices) == 2
