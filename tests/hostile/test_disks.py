"""Attacks by disks, which come from strangers.

Each attack is refused by name, before anything that the disk says is written, in bounded time and memory. The
honest objects of the same disk are imported all the same.
"""

import base64
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from formats import layout
from formats.documents import envelope
from formats.documents.custody import Custody
from formats.documents.disk import ListedObject
from formats.documents.vault import Membership, Request
from formats.ids import (
    ArchiveName,
    ChunkId,
    Digest,
    MachineId,
    PointId,
    SetId,
    VaultId,
    hex_digest,
    machine_id,
)
from formats.monitor import Tally
from formats.store.access import Address
from formats.tables import archive, needs
from formats.tables.holdings import Holding
from formats.tables.index import record_digest
from formats.tables.sections import Section, decode_object
from importer.vault.vault import open_vault
from tests.hostile import forging
from tests.journeys.stage import Copy, Stage, disks, prepared, refused, snapshot, stored, to

assert sys.platform == "linux"

# 800 MiB of addresses beyond those that a command has at its start.
# 30 s of a processor, however busy the machine is.
LIMITED = """
import resource
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (800 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
"""
BY_DIGEST = ("archives/", "indexes/", "needs/", "holdings/")
BY_AUTHORITY = (
    "descriptor/",
    "credentials/",
    "machines/",
    "jobs/",
    "validations/",
    "wants/",
    "replacements/authority",
    "registers/",
)


@dataclass(frozen=True)
class Attack:
    """An attack on a disk, and the code of its refusal.

    The importer refuses the whole disk (exit 1), or the forged objects on it (exit 3).
    """

    act: Callable[[forging.Forger], object]
    code: str
    exit: int = 3


def elsewhere(forger: forging.Forger) -> Path:
    """Write a file of the datacenter that must not be read, and return its folder."""
    path = forger.stage.folder / "datacenter"
    path.mkdir(exist_ok=True)
    (path / "secret").write_bytes(b"of the datacenter")
    return path


def link(forger: forging.Forger, path: Path, to_: Path) -> None:
    forger.in_place_of(path, lambda place: place.symlink_to(to_))


def moved(forger: forging.Forger, path: Path) -> None:
    """Move a file or folder out of the disk, and put a link to it in its place."""
    there = elsewhere(forger) / path.name
    shutil.move(path, there)
    path.symlink_to(there)


def nested(depth: int) -> bytes:
    return b'{"payload":' * depth + b"1" + b"}" * depth


def as_document(forger: forging.Forger, payload: bytes) -> bytes:
    """Return an envelope with a valid signature, around bytes that no honest writer makes."""
    kind = "application/vnd.offseed.inventory.v1+json"
    message = envelope.pae(kind, payload)
    key = forger.identity.signing_key
    public = key.public_key().public_bytes_raw()
    value = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [
            {"keyid": envelope.key_name(public), "sig": base64.b64encode(key.sign(message)).decode()}
        ],
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def inventory_of(forger: forging.Forger, payload: bytes) -> None:
    data = as_document(forger, payload)
    shutil.rmtree(forger.folder / "inventories")
    forger.write(layout.numbered("inventories", 1, hex_digest(data)), data)


def repeated_key(forger: forging.Forger) -> None:
    payload = json.dumps(forger.inventory.to_json()).encode()
    inventory_of(forger, payload[:-1] + b',"generation":2}')


def squat(forger: forging.Forger, name: str) -> None:
    """Let the inventory list a table under a name that belongs to another object of the vault."""
    data = b"offsHLD1"
    forger.write(name, data)
    forger.list_table(name, data)


def squat_object(forger: forging.Forger, name: str) -> None:
    forger.write(name, b"squatted")
    forger.list_object(name, b"squatted")


def archive_under_another_key(forger: forging.Forger) -> None:
    """Let the inventory list a whole archive of another master key.

    No index may claim another machine's chunks.
    """
    path = forger.archives[-1]
    data = bytearray(path.read_bytes())
    data[16:32] = bytes(16)
    name = bytes.fromhex(hex_digest(bytes(data)))
    old = next(h for h in forger.holdings if h.name.hex() == path.name)
    forger.write(layout.archive_name(name), bytes(data))
    forger.hold([*forger.holdings, replace(old, name=ArchiveName(name))])
    for manifest in forger.stage.objects("manifests") + forger.stage.objects("sets"):
        manifest.unlink()  # the set is open: the importer takes all that is listed


def wrong_index(forger: forging.Forger) -> None:
    """Let the inventory list an archive with another index digest than its own."""
    first, *rest = sorted(
        forger.holdings, key=lambda h: h.archive_class
    )  # a content archive: no announcement has brought it
    forger.hold([replace(first, index_digest=Digest(bytes(32))), *rest])
    for manifest in forger.stage.objects("manifests") + forger.stage.objects("sets"):
        manifest.unlink()


def broken_index(forger: forging.Forger) -> None:
    """Write an archive that is whole by all its digests, with an index that cannot be right."""
    first, *rest = forger.holdings
    path = forger.folder / layout.archive_name(first.name)
    data = bytearray(path.read_bytes())
    parsed = archive.parse(bytes(data), "archive")
    start = len(data) - archive.FOOTER.size - len(parsed.index)
    data[start + 48 : start + 52] = bytes(4)  # where its first record begins
    index = bytes.fromhex(hex_digest(bytes(data[start : start + len(parsed.index)])))
    data[len(data) - archive.FOOTER.size : len(data) - archive.FOOTER.size + 32] = index
    name = ArchiveName(bytes.fromhex(hex_digest(bytes(data))))
    forger.write(layout.archive_name(name), bytes(data))
    forger.drop("manifests", "sets")
    forger.hold([*rest, replace(first, name=name, index_digest=Digest(index))])


def more_records_than_room(forger: forging.Forger) -> None:
    first, *rest = forger.holdings
    forger.hold([*rest, replace(first, records=65_535)])


def half_a_million_archives(forger: forging.Forger) -> None:
    some = forger.holdings
    made = [
        Holding(ArchiveName(n.to_bytes(32, "big")), Digest(bytes(32)), 157, 1, 1)
        for n in range(1, 8 * 65_536 - len(some))
    ]
    forger.hold([*some, *made])


def more_tables_than_any_disk(forger: forging.Forger) -> None:
    (table, *_) = forger.inventory.tables
    forger.close(tables=(table,) * 9)


def table_of_eight_gigabytes(forger: forging.Forger) -> None:
    (table, *_) = forger.inventory.tables
    forging.sparse(forger.folder / table.name)
    forger.close(tables=(replace(table, size=forging.GIGABYTES),))


def many_points(forger: forging.Forger) -> None:
    """Write two hundred points over one bucket of eight megabytes: their roots differ by the salt alone."""
    rows = [
        Holding(ArchiveName(n.to_bytes(32, "big")), Digest(bytes(32)), 128 << 20, 65_535, 1)
        for n in range(1, 1024)
    ]
    root, buckets = needs.encode([needs.all_of(row) for row in rows])
    ((bucket, data),) = buckets.items()
    made = {layout.need_name(bucket): data}
    before = forger.manifest
    forger.drop("sets")
    for salt in range(1, 201):
        salted = needs.ROOT_HEAD.pack(needs.ROOT_MAGIC, 0, salt) + root[needs.ROOT_HEAD.size :]
        found = hex_digest(salted)
        sequence = before.sequence + salt
        signed = forger.signed(replace(before, sequence=sequence, point=PointId(f"{salt:032x}"), needs=found))
        made[layout.need_name(bytes.fromhex(found))] = salted
        made[layout.numbered(layout.manifest_prefix(before.machine), sequence, hex_digest(signed))] = signed
    for name, content in made.items():
        forger.write(name, content)
    listed = [ListedObject(name=name, size=len(data), digest=hex_digest(data)) for name, data in made.items()]
    forger.close(objects=(*forger.inventory.objects, *listed))


def many_sets(forger: forging.Forger) -> None:
    """Write seventy revisions of a set of a thousand disks."""
    document = forger.set_document
    (disk,) = document.disks
    numbered = tuple(replace(disk, number=number) for number in range(1, 1001))
    for revision in range(1, 71):
        signed = forger.signed(replace(document, revision=revision, disks=numbered))
        prefix = layout.set_prefix(document.machine)
        forger.write(layout.numbered(prefix, revision, hex_digest(signed)), signed)


def a_disk_twice(forger: forging.Forger) -> None:
    (path,) = forger.stage.objects("sets")
    document = forger.set_document
    path.write_bytes(forger.signed(replace(document, disks=document.disks * 2)))


def record_of_a_catalog(forger: forging.Forger) -> None:
    """Write a whole content archive with a record of the kind that only a metadata archive may hold."""
    builder = archive.ArchiveBuilder(bytearray(1 << 20), archive.CONTENT_CLASS, forger.identity.master.key_id)
    builder.add(2, ChunkId(bytes(32)), b"record of a catalog", record_digest(b"record of a catalog"))
    made = builder.finish()
    forger.write(layout.archive_name(made.name), bytes(made.data))
    forger.drop("manifests", "sets")
    forger.hold([*forger.holdings, Section.of(made).archive])


def stranger(forger: forging.Forger) -> None:
    """Add a machine that asks to join by a credential of its own making."""
    public = forger.own.public_key().public_bytes_raw()
    machine = machine_id(public)
    asked = envelope.read(forger.stage.objects("requests")[0].read_bytes(), "request").peek(Request)
    request = replace(asked, public_key=public.hex(), name="stranger")
    forger.write("requests/" + "0" * 9 + "1-" + "0" * 32, envelope.sign(request, forger.own, forger.own))
    forger.relabel(forger.own, machine=machine, public_key=public.hex(), machine_name="stranger")


def two_of_one_generation(forger: forging.Forger) -> None:
    forger.close(beside=True, created=forger.inventory.created + 1)


ATTACKS: dict[str, Attack] = {
    # links and special files
    "the folder of all seeds is a link": Attack(lambda f: moved(f, f.stage.disk / "offseed"), "disk-empty", 1),
    "the folder of a set is a link": Attack(lambda f: moved(f, f.folder), "disk-empty", 1),
    "a prefix is a link": Attack(lambda f: moved(f, f.folder / "archives"), "object-missing"),
    "an archive is a link": Attack(lambda f: moved(f, f.archives[0]), "object-missing"),
    "an index is a link to a file of the datacenter": Attack(
        lambda f: link(f, f.stage.objects("indexes")[0], elsewhere(f) / "secret"), "object-missing"
    ),
    "the label is a link": Attack(lambda f: moved(f, f.folder / "label"), "obstructed", 1),
    "the label is a pipe": Attack(
        lambda f: f.in_place_of(f.folder / "label", lambda p: os.mkfifo(p)), "obstructed", 1
    ),
    "an archive is a pipe": Attack(
        lambda f: f.in_place_of(f.archives[0], lambda p: os.mkfifo(p)), "object-missing"
    ),
    "an archive is a socket": Attack(lambda f: f.in_place_of(f.archives[0], forging.a_socket), "object-missing"),
    "an archive is a folder": Attack(lambda f: f.in_place_of(f.archives[0], Path.mkdir), "object-missing"),
    # lengths
    "a label of eight gigabytes": Attack(lambda f: forging.sparse(f.folder / "label"), "DOC-1", 1),
    "an inventory of eight gigabytes": Attack(
        lambda f: forging.sparse(f.folder / ("inventories/0000000009-" + "0" * 64)), "DOC-1"
    ),
    "an archive of eight gigabytes": Attack(lambda f: forging.sparse(f.archives[0]), "object-damaged"),
    "an index of eight gigabytes": Attack(lambda f: forging.sparse(f.stage.objects("indexes")[0]), "object-damaged"),
    "a manifest of eight gigabytes": Attack(lambda f: forging.sparse(f.stage.objects("manifests")[0]), "DOC-1"),
    "a table of eight gigabytes, as the inventory says": Attack(
        table_of_eight_gigabytes, "object-damaged"
    ),
    # counts and depths
    "an inventory a hundred thousand levels deep": Attack(lambda f: inventory_of(f, nested(80_000)), "DOC-1"),
    "a number of a million digits": Attack(lambda f: inventory_of(f, b'{"a":' + b"9" * 1_000_000 + b"}"), "DOC-1"),
    "a key twice": Attack(repeated_key, "DOC-1"),
    "half a million archives that are not there": Attack(half_a_million_archives, "object-missing"),
    "two hundred points over one need list of eight megabytes": Attack(many_points, "disk-forked"),
    "more set documents than any disk has": Attack(many_sets, "disk-crowded"),
    "a set document that names a disk twice": Attack(a_disk_twice, "DOC-2"),
    "more tables than a disk may have": Attack(more_tables_than_any_disk, "DOC-2"),
    # names
    "a name that leads outside": Attack(lambda f: f.list_object("../../../../etc/passwd", b"x"), "object-missing"),
    "an absolute name": Attack(lambda f: f.list_object("/etc/passwd", b"x"), "object-missing"),
    "a table under the name of the vault's description": Attack(
        lambda f: squat(f, "descriptor/0000000002-" + "0" * 64), "NAME-2"
    ),
    "a table under the name of a membership": Attack(
        lambda f: squat(f, f"machines/{f.identity.machine}/0000000009-" + "0" * 64), "NAME-2"
    ),
    "a table under the name of an archive": Attack(
        lambda f: squat(f, "archives/ab/" + "ab" * 32), "NAME-2"
    ),
    "an object under the name of a membership": Attack(
        lambda f: squat_object(f, f"machines/{f.identity.machine}/0000000009-" + "0" * 64), "NAME-2"
    ),
    "an index under another's name": Attack(
        lambda f: squat_object(f, "indexes/ab/" + "ab" * 32), "object-damaged"
    ),
    "an archive under another's name": Attack(
        lambda f: f.archives[0].write_bytes(b"x" * f.archives[0].stat().st_size), "object-damaged"
    ),
    # signatures
    "a label by another key": Attack(lambda f: f.relabel(f.own), "signature-wrong", 1),
    "a label of another machine's key": Attack(
        lambda f: f.relabel(f.own, public_key=f.own.public_key().public_bytes_raw().hex()), "signature-wrong", 1
    ),
    "an inventory by another key": Attack(lambda f: f.close(f.own), "signature-wrong"),
    "a manifest by another key": Attack(
        lambda f: f.stage.objects("manifests")[0].write_bytes(f.signed(f.manifest, f.own)), "signature-wrong"
    ),
    "a set document by another key": Attack(
        lambda f: f.stage.objects("sets")[0].write_bytes(f.signed(f.set_document, f.own)), "signature-wrong"
    ),
    "a label in place of an inventory": Attack(
        lambda f: f.write("inventories/0000000009-" + "0" * 64, f.signed(f.label)), "ENV-2"
    ),
    "an inventory of another disk": Attack(lambda f: f.close(disk="0" * 32), "disk-foreign"),
    "a manifest of another vault": Attack(
        lambda f: f.stage.objects("manifests")[0].write_bytes(f.signed(replace(f.manifest, vault=VaultId("0" * 32)))),
        "vault-foreign",
    ),
    "a label of another vault": Attack(lambda f: f.relabel(vault="0" * 32), "vault-foreign", 1),
    "a label that says a vault wrote the disk": Attack(
        lambda f: f.relabel(f.own, authority=f.own.public_key().public_bytes_raw().hex()), "disk-outbound", 1
    ),
    "a label of a vault's by the machine's key": Attack(
        lambda f: f.relabel(authority=f.own.public_key().public_bytes_raw().hex()), "signature-wrong", 1
    ),
    "a label of another folder": Attack(lambda f: f.relabel(number=2), "disk-foreign", 1),
    # archives and their owners
    "a need list of eight gigabytes": Attack(
        lambda f: forging.sparse(f.stage.objects("needs")[0]), "object-damaged"
    ),
    "an index of records that overlap": Attack(broken_index, "IDX-2"),
    "an archive with more records than it has room for": Attack(more_records_than_room, "HOLD-2"),
    "a content archive with a record of a catalog": Attack(record_of_a_catalog, "ARCH-6"),
    "an archive under another key": Attack(archive_under_another_key, "archive-foreign"),
    "an archive with another index": Attack(wrong_index, "object-damaged"),
    "a machine that nobody let in": Attack(stranger, "machine-unknown", 1),
    # forks
    "two inventories of one generation": Attack(two_of_one_generation, "disk-forked", 1),
}  # fmt: skip


# Each of these fills a disk for ten seconds or more.
DEAR = {
    "half a million archives that are not there",
    "two hundred points over one need list of eight megabytes",
    "more set documents than any disk has",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] if name in DEAR else []) for name in ATTACKS]
)
def test_an_attack_on_the_importer_is_refused_by_name(name: str, copy_of: Copy, exported: Stage) -> None:
    stage, attack = copy_of(exported), ATTACKS[name]
    stage.run("importer", "machines", "list", "--vault", stage.at)
    attack.act(forging.Forger(stage))
    before = snapshot(stage.vault)
    stage.command = prepared(LIMITED)
    looked = stage.run("importer", "inspect", stage.disk, code=None)
    assert looked.code in (0, 1, 3), looked
    result = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=attack.exit)
    if attack.exit == 1:
        refused(result, attack.code)
        assert snapshot(stage.vault) == before
    else:
        assert attack.code in {f["code"] for f in result.json["findings"]}, result
    assert b"of the datacenter" not in snapshot(stage.vault).values()
    check_honest(stage)


def check_honest(stage: Stage) -> None:
    """Check that each object in the vault fits its name, or that its authority or machine has signed it."""
    vault = open_vault(stage.importer_home, Address(stage.at), Tally())
    members: dict[MachineId, bytes] = {}
    for name, data in snapshot(stage.vault).items():
        if not isinstance(data, bytes) or name.startswith("."):
            continue
        layout.check_name(name)
        found = hex_digest(data)
        if name.startswith("custody/"):  # named by its step, and signed
            assert envelope.read(data, name).verify(Custody, vault.key).vault == vault.id
            continue
        assert layout.is_name_of(name, found), name
        name = layout.copied_from(name)
        if name.startswith("indexes/"):
            assert decode_object(data, name)
        if name.startswith(BY_AUTHORITY):
            signed = envelope.read(data, name)
            assert envelope.key_name(vault.key) in {s.keyid for s in signed.envelope.signatures}, name
            if name.startswith("machines/"):
                member = signed.verify(Membership, vault.key)
                members[member.machine] = bytes.fromhex(member.public_key)
        elif not name.startswith((*BY_DIGEST, "requests/")):
            signed = envelope.read(data, name)
            assert {s.keyid for s in signed.envelope.signatures} <= set(members) | {
                envelope.key_name(key) for key in members.values()
            } or name.startswith(("disks/", "manifests/", "sets/", "slots/")), name


def test_what_is_honest_on_an_attacked_disk_is_imported(copy_of: Copy, exported: Stage) -> None:
    """Import everything except links, pipes and objects under squatted names."""
    stage = copy_of(exported)
    forger = forging.Forger(stage)
    lost = forger.archives[-1]
    name = str(lost.relative_to(stage.seeded))
    moved(forger, lost)
    squat(forger, "descriptor/0000000002-" + "0" * 64)
    stage.import_(code=3)
    expected = {str(p.relative_to(stage.seeded)) for p in forger.archives if not p.is_symlink()} - {name}
    assert {n for n in stored(stage) if n.startswith("archives/")} >= expected
    assert "descriptor/0000000002-" + "0" * 64 not in stored(stage)


def test_two_disks_with_one_number_are_a_fork(copy_of: Copy, exported: Stage, room: Path) -> None:
    """Refuse the second of two disks with one number, and keep the first, though the machine signed both."""
    stage = copy_of(exported)
    other = stage.copy(room / "other")
    stage.import_()
    before = snapshot(stage.vault)
    forger = forging.Forger(other)
    forger.relabel(disk="ab" * 16)
    label = hex_digest((forger.folder / "label").read_bytes())
    forger.close(disk="ab" * 16, label=label)
    words = ("importer", "import", other.disk, "--vault", stage.at, "--json")
    refused(stage.run(*words, code=1), "disk-forked")
    assert snapshot(stage.vault) == before


def test_a_clone_of_a_disk_brings_nothing_new(copy_of: Copy, exported: Stage, room: Path) -> None:
    stage = copy_of(exported)
    clone = stage.copy(room / "clone").disk
    stage.import_()
    before = snapshot(stage.vault)
    done = stage.run("importer", "import", clone, "--vault", stage.at, "--json").json
    assert done["disks"][0]["unchanged"]
    assert snapshot(stage.vault) == before


def test_an_inventory_of_before_does_not_hide_the_later_one(
    copy_of: Copy, opened: Stage, small_tree: Path
) -> None:
    """Report a disk that was rolled back to the state before it was closed last.

    The operator may not erase such a disk.
    """
    stage = copy_of(opened)
    stage.export(small_tree)
    stage.run("seed", "verify", stage.disk)
    newest = max(stage.objects("inventories"), key=lambda path: path.name)
    stage.import_()
    newest.unlink()
    result = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=3)
    assert "disk-older" in {f["code"] for f in result.json["findings"]}


def test_a_folder_with_more_files_than_any_seed_is_refused(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    junk = stage.seeded / "archives/ab"
    junk.mkdir(exist_ok=True)
    for number in range(1100):
        (junk / f"ab{number:062x}").write_bytes(b"x")
    stage.command = prepared("import importer.intake.intake as i; i.LISTED_MAX = 1000")
    words = ("importer", "import", stage.disk, "--vault", stage.at, "--json")
    before = snapshot(stage.vault)
    refused(stage.run(*words, code=1), "disk-crowded")
    assert snapshot(stage.vault) == before


def test_folders_without_number_are_refused_and_some_without_labels_are_passed_over(
    copy_of: Copy, exported: Stage
) -> None:
    stage = copy_of(exported)
    folders = [stage.disk / layout.DISK_FOLDER / layout.disk_folder(SetId(f"{n:032x}"), 1) for n in range(1100)]  # fmt: skip
    for folder in folders:
        folder.mkdir()
    stage.run("importer", "machines", "list", "--vault", stage.at)
    stage.command = prepared("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))")
    before = snapshot(stage.vault)
    words = ("importer", "import", stage.disk, "--vault", stage.at, "--json")
    refused(stage.run(*words, code=1), "disk-crowded")
    assert snapshot(stage.vault) == before
    for folder in folders[100:]:
        folder.rmdir()
    told = stage.import_(code=3)
    assert [disk["may_be_erased"] for disk in told["disks"]] == [True]
    assert {finding["code"] for finding in told["findings"]} == {"disk-unfinished"}


def test_the_second_disk_of_a_pair_is_imported_though_the_first_is_forged(
    copy_of: Copy, opened: Stage, small_tree: Path
) -> None:
    stage = copy_of(opened)
    one, other = disks(stage, 2)
    stage.run("seed", "export", small_tree, *to(one, other), "--offline")
    (folder,) = (one / "offseed").iterdir()
    (folder / "label").write_bytes(b"forged")
    result = stage.run("importer", "import", one, other, "--vault", stage.at, "--json", code=3)
    assert len(result.json["disks"]) == 1
