"""Damage on the way, and its repair: want list, repair, revision. For Linux."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.damage import ArchiveRow, Replaced, Replacement
from formats.documents.manifest import Manifest
from formats.ids import hex_digest
from formats.store.local import LocalStore
from formats.tables.archive import parse
from formats.tables.sections import Section
from tests.hostile import forging
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, backup, below, disks, flip, kept, refused, to

assert sys.platform == "linux"


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


def wants(stage: Stage, code: int | None = 0) -> list[dict[str, object]]:
    """Import the disk, and return the vault's list of missing archives."""
    found: list[dict[str, object]] = stage.import_(code)["wants"]
    return found


def complete(stage: Stage) -> list[bool]:
    return [p["complete"] for p in stage.run("importer", "points", "--vault", stage.at, "--json").json]


def test_what_was_damaged_is_made_again_and_only_that(
    copy_of: Copy, wide: Stage, long_tree: Path, room: Path
) -> None:
    """Make only damaged records again: one flipped byte, one archive cut short and one lost.

    The rest of these archives is saved, and all comes back from the source.
    """
    stage = copy_of(wide)
    first, second, third, *_ = stage.objects("archives")
    flip(first, 10 << 20)
    os.truncate(second, second.stat().st_size - (5 << 20))
    third.unlink()
    (lack,) = wants(stage, 3)
    assert (lack["archives"], lack["machines"]) == (3, ["web1"])
    assert complete(stage) == [False]

    done = stage.run("seed", "repair", "--json").json
    assert done["wanted"] == done["made"] == lack["records"]
    assert (done["revised"], done["lost_files"], done["findings"]) == ([], 0, [])
    assert done["archive_bytes"] < third.parent.parent.stat().st_size + (80 << 20)
    assert complete(stage) == [True]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []

    assert stage.run("seed", "repair", "--json").json["wanted"] == 0
    imported = stage.import_(3)
    assert imported["wants"] == []
    assert imported["disks"][0]["may_be_erased"], "the vault has all that it held"


def test_a_damaged_copy_of_what_another_disk_has_brought_is_named_all_the_same(
    copy_of: Copy, opened: Stage, source: Path
) -> None:
    """Name a damaged copy of the catalog, which lies on every disk, and still let its disk be erased.

    Another disk has brought the catalog whole.
    """
    stage = copy_of(opened)
    one, other = disks(stage, 2)
    stage.run("seed", "export", source, *to(one, other))
    shared = {p.name: p for p in (one / "offseed").rglob("archives/*/*")}
    copies = [p for p in (other / "offseed").rglob("archives/*/*") if p.name in shared]
    assert copies
    flip(copies[0], copies[0].stat().st_size // 2)
    stage.run("importer", "import", one, "--vault", stage.at)
    done = stage.run("importer", "import", other, "--vault", stage.at, "--json", code=3).json
    ((code, subject),) = {(f["code"], f["subject"].rpartition("/")[2]) for f in done["findings"]}
    assert (code, subject) == ("object-damaged", copies[0].name)
    assert done["wants"] == []
    assert done["disks"][0]["may_be_erased"]
    assert complete(stage) == [True]


def test_what_changed_meanwhile_is_lost_and_named_and_nothing_else(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    stage.export(source)
    before = kept(source, room, "before")
    for archive in stage.objects("archives"):
        if archive.stat().st_size > 1 << 20:  # every record of content
            for at in range(0, archive.stat().st_size, 32 << 10):
                flip(archive, at)
    (source / "many/1/1.txt").write_bytes(b"changed")
    (lack,) = wants(stage, 3)
    done = stage.run("seed", "repair", "--json", code=3).json
    assert done["made"] == int(str(lack["records"])) - 1
    lost = {f["subject"] for f in done["findings"] if f["code"] == "content-lost"}
    assert lost == {f"{source}/many/1/1.txt", f"{source}/many/2/linked"}
    assert complete(stage) == [True]
    stage.restore(room / "restored", "--vault", stage.at, code=3)
    found = trees.differences(before, below(room / "restored", source))
    assert sorted(found) == ["missing: b'many/1/1.txt'", "missing: b'many/2/linked'"]
    after = backup(stage)
    assert after["findings"] == []
    stage.restore(room / "again", "--vault", stage.at)
    assert trees.differences(source, below(room / "again", source)) == []


def test_a_vault_that_rots_is_found_out_saved_and_repaired(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    """Find objects of every kind flipped, cut or lost in the vault without a key, and repair them."""
    stage = copy_of(opened)
    stage.export(source)
    stage.import_()
    states = [kept(source, room, "first"), source]
    (source / "large/new").write_bytes(trees.incompressible(9 << 20, 9))
    backup(stage)
    first, second, third, *_ = in_vault(stage, "archives")
    flip(first, first.stat().st_size // 2)
    os.truncate(second, second.stat().st_size - 1)
    third.unlink()
    flip(in_vault(stage, "indexes")[0], 99)
    flip(in_vault(stage, "needs")[0], 20)
    flip(in_vault(stage, "manifests")[0], 50)
    found = stage.run("importer", "validate", "--vault", stage.at, "--json", code=3).json
    assert len(found["damaged"]) == 5
    assert {f["code"] for f in found["findings"]} <= {"object-damaged", "not-found"}
    for _ in range(2):  # the objects behind a manifest are wanted only after the manifest is there again
        done = stage.run("seed", "repair", "--json", code=None)
        assert done.code in (0, 3)
        assert done.json["wanted"] == done.json["made"]
        stage.run("importer", "points", "--vault", stage.at)
    assert complete(stage) == [True, True]
    # Objects of the damaged manifest's point were left alone, because their use was unknown.
    stage.run("importer", "validate", "--vault", stage.at, code=None)
    assert complete(stage) == [True, True]
    assert stage.run("importer", "validate", "--vault", stage.at, "--json").json["damaged"] == []
    points = stage.run("seed", "points", "--vault", stage.at, "--json").json
    for point, state in zip(points, states, strict=True):
        target = room / point["point"]
        stage.run("seed", "restore", point["point"], "--target", target, "--vault", stage.at)
        assert trees.differences(state, below(target, source)) == []


def test_an_archive_made_again_record_for_record_does_not_pass_for_the_lost_one(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    """Keep two archives with equal indexes apart.

    The vault has lost archive and index, and needs the section of either one.
    """
    stage = copy_of(opened)
    stage.export(source)
    stage.import_()
    for name in ("archives", "indexes"):
        for lost in in_vault(stage, name):
            lost.unlink()
    stage.run("importer", "points", "--vault", stage.at)
    done = stage.run("seed", "repair", "--json").json
    assert done["wanted"] == done["made"] > 0
    assert stage.run("importer", "points", "--vault", stage.at, "--json").json[0]["complete"]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_what_was_saved_and_made_again_may_rot_as_well(
    copy_of: Copy, wide: Stage, long_tree: Path, room: Path
) -> None:
    stage = copy_of(wide)
    for archive in stage.objects("archives"):
        flip(archive, archive.stat().st_size // 2)
    wants(stage, 3)
    stage.run("seed", "repair")
    for _ in range(2):
        assert complete(stage) == [True]
        for archive in in_vault(stage, "archives"):
            flip(archive, archive.stat().st_size // 3)
        found = stage.run("importer", "validate", "--vault", stage.at, "--json", code=3).json
        assert len(found["damaged"]) >= 3
        assert complete(stage) == [False]
        stage.run("seed", "repair")
    assert complete(stage) == [True]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []


def test_a_validation_ends_in_time_and_the_next_goes_on(copy_of: Copy, imported: Stage) -> None:
    stage = copy_of(imported)
    objects = sum(1 for p in stage.vault.rglob("*") if p.is_file())
    whole = stage.run("importer", "validate", "--vault", stage.at, "--json").json
    assert (whole["objects"], whole["after"]) == (objects, None)
    some = stage.run("importer", "validate", "--vault", stage.at, "--sample", "10%", "--json").json
    assert 0 < some["objects"] < objects / 4
    for words in (("--sample", "0"), ("--sample", "all"), ("--max-duration", "soon")):
        stage.run("importer", "validate", "--vault", stage.at, *words, code=2)


def in_vault(stage: Stage, prefix: str) -> list[Path]:
    """Return the vault's files below `prefix`, the largest first."""
    found = [p for p in (stage.vault / prefix).rglob("*") if p.is_file()]
    return sorted(found, key=lambda p: (-p.stat().st_size, p))


def test_a_vault_is_read_with_the_keys_and_what_does_not_open_is_sent_again(
    copy_of: Copy, wide: Stage, long_tree: Path, room: Path
) -> None:
    """Find damage in the vault with the keys, and send the data again before the datacenter notices."""
    stage = copy_of(wide)
    stage.import_()
    whole = stage.run("seed", "verify", "--json").json
    assert (whole["damaged"], whole["archives"]) == (0, len(in_vault(stage, "archives")))
    for archive in in_vault(stage, "archives")[:2]:
        flip(archive, 5 << 20)
    assert stage.run("seed", "verify", "--json", code=3).json["damaged"] == 2
    done = stage.run("seed", "repair", "--json").json
    assert (done["wanted"], done["made"], done["archives"]) == (2, 2, 1)
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []
    stage.run("importer", "validate", "--vault", stage.at, code=3)
    assert complete(stage) == [True]
    assert stage.run("seed", "verify", "--json").json["damaged"] == 0


def test_what_a_checker_put_into_lost_and_found_is_found_by_its_digest(
    copy_of: Copy, exported: Stage, small_tree: Path, room: Path
) -> None:
    """Find archives without names, a folder of small objects and the manifest by their digests."""
    stage = copy_of(exported)
    found = stage.disk / "lost+found"
    found.mkdir()
    for number, path in enumerate(stage.objects("archives")):
        path.rename(found / f"#{number}")
    for prefix in ("needs", "holdings", "manifests"):
        (stage.seeded / prefix).rename(found / f"#{prefix}")
    (done,) = stage.import_(3)["disks"]
    assert done["may_be_erased"] is False
    assert complete(stage) == [True]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def test_a_folder_that_lost_its_name_is_known_by_its_label(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    (stage.disk / "lost+found").mkdir()
    stage.seeded.rename(stage.disk / "lost+found/#12")
    stage.import_(3)
    assert complete(stage) == [True]


@pytest.mark.parametrize("rot", [lambda path: path.unlink(), lambda path: flip(path, -1)])
def test_a_want_list_that_rots_is_put_again(
    copy_of: Copy, opened: Stage, source: Path, room: Path, rot: Callable[[Path], None]
) -> None:
    """Put an unchanged want list again after damage: a machine without it would send nothing."""
    stage = copy_of(opened)
    backup(stage, source)
    for path in in_vault(stage, "archives"):
        flip(path, 1 << 10)
    before = set(in_vault(stage, "needs"))
    stage.run("importer", "validate", "--vault", stage.at, code=3)
    made = set(in_vault(stage, "needs")) - before
    assert made
    for path in made:
        rot(path)
    refused(stage.run("seed", "repair", "--json", code=1), "wants-damaged")
    stage.run("importer", "points", "--vault", stage.at)
    stage.run("seed", "repair")
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert point["complete"]


def test_a_report_tells_of_every_object(copy_of: Copy, wide: Stage, room: Path) -> None:
    stage = copy_of(wide)
    first, second, *_ = stage.objects("archives")
    flip(first, 10 << 20)
    second.unlink()
    (stage.seeded / "archives/ab").mkdir(exist_ok=True)
    (stage.seeded / "archives/ab" / ("ab" * 32)).write_bytes(b"what is this?")
    words = ("importer", "import", stage.disk, "--vault", stage.at, "--report")
    stage.run(*words, room / "report.json", code=3)
    objects = {o["object"]: o for o in json.loads((room / "report.json").read_text())["objects"]}
    damaged, missing = (objects[str(p.relative_to(stage.seeded))] for p in (first, second))
    assert damaged["state"] == "damaged"
    assert damaged["whole_records"] == damaged["records"] - 1
    ((begin, end),) = damaged["damaged_bytes"]
    assert begin <= 10 << 20 <= end
    assert missing["state"] == "missing"
    assert objects["archives/ab/" + "ab" * 32]["state"] == "unlisted"
    assert {o["state"] for o in objects.values()} == {"damaged", "missing", "unlisted", "imported", "there"}
    stage.run(*words, room / "report.html", code=3)
    page = (room / "report.html").read_text()
    assert "damaged are bytes" in page
    assert "http" not in page


def test_a_report_is_written_whatever_a_disk_is_called(copy_of: Copy, exported: Stage, room: Path) -> None:
    """Write a report for any name of a disk, and let no newline in a name forge a line of output."""
    stage = copy_of(exported)
    folder = os.fsencode(stage.seeded)
    os.rename(folder, os.path.join(os.path.dirname(folder), b"\xff\nimporter: all is well"))
    looked = stage.run("importer", "inspect", stage.disk, code=None)
    assert "importer: all is well" not in (looked.stdout + looked.stderr).splitlines()
    words = ("importer", "import", stage.disk, "--vault", stage.at, "--report")
    for name in ("report.json", "report.html"):
        stage.run(*words, room / name, code=3)
    assert "all is well" in (room / "report.json").read_text(encoding="ascii")


def test_nobody_else_can_say_what_need_not_be_sent(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    """Ignore an archive and a replacement that an unknown key signed.

    The archive claims to hold lost data of the vault, and the replacement confirms it.
    """
    stage = copy_of(opened)
    backup(stage, source)
    lost = in_vault(stage, "archives")[0]
    key_id = parse(lost.read_bytes(), lost.name).key_id
    index, made = forging.impostor(lost.read_bytes(), lost.name, key_id)
    old = index.archive
    by = Section.of(made).archive
    entry = Replaced(
        archive=ArchiveRow.of(old), by=ArchiveRow.of(by), held=b"\xff" * ((old.records + 7) // 8)
    )
    label = envelope.read(next((stage.vault / "manifests").rglob("*-*")).read_bytes(), "manifest").peek(
        Manifest
    )
    document = Replacement(
        vault=label.vault, key_id=key_id.hex(), role="machine", created=1, copied=False, replaced=(entry,)
    )
    signed = envelope.sign(document, Ed25519PrivateKey.generate())
    with LocalStore.open(stage.at) as vault:
        vault.put_new(layout.archive_name(made.name), made.data)
        for prefix in (layout.REPLACEMENTS, layout.offers_prefix(label.machine), "replacements/" + "ab" * 16):
            vault.put_new(layout.numbered(prefix, 1, hex_digest(signed)), signed)
    lost.unlink()
    done = backup(stage, code=3)
    assert [f["code"] for f in done["findings"]] == ["vault-lost"]  # type: ignore[attr-defined]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []
