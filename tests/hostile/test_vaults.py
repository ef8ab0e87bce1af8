"""Vaults of operators that may deceive, and machines in the hands of an attacker.

The operators of a vault must not read it. They can withhold objects, and can never forge them. A captured
machine has its own key: the rows that it seals lead a restore nowhere outside its target.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.damage import ArchiveRow, Replaced
from formats.documents.manifest import Manifest
from formats.documents.vault import Membership
from formats.ids import hex_digest
from formats.monitor import Tally
from formats.rules.replacements import index_objects
from formats.store.access import Address
from formats.store.local import LocalStore
from formats.tables.archive import METADATA_CLASS
from formats.tables.needs import all_of
from importer.vault.authority import authorities
from importer.vault.vault import open_vault
from importer.vault.want_lists import sign_replacements
from seed.home.home import Home
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, backup, below, prepared, refused, snapshot

assert sys.platform == "linux"

MIB = 1 << 20


def held(stage: Stage, prefix: str) -> list[Path]:
    """Return the vault's files below a prefix, the largest first."""
    found = [p for p in (stage.vault / prefix).rglob("*") if p.is_file()]
    return sorted(found, key=lambda p: (-p.stat().st_size, p))


def remove_largest(stage: Stage) -> None:
    held(stage, "archives")[0].unlink()


def swap(prefix: str) -> Callable[[Stage], None]:
    def act(stage: Stage) -> None:
        one, other, *_ = held(stage, prefix)
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)

    return act


def empty(prefix: str) -> Callable[[Stage], None]:
    def act(stage: Stage) -> None:
        for path in held(stage, prefix):
            path.write_bytes(b"x" * path.stat().st_size)

    return act


def grow(stage: Stage) -> None:
    for path in held(stage, "archives")[:2]:
        path.write_bytes(path.read_bytes() + b"more")


def rubbish(stage: Stage) -> None:
    place = stage.vault / "replacements/authority"
    place.mkdir(parents=True)
    (place / ("0000000001-" + "0" * 64)).write_bytes(b"x" * 3000)


WITHHELD: dict[str, Callable[[Stage], None]] = {
    "an archive is withheld": remove_largest,
    "two archives are exchanged": swap("archives"),
    "archives have grown": grow,
    "index objects are rubbish": empty("indexes"),
    "index objects are exchanged": swap("indexes"),
    "parts of need lists are exchanged": swap("needs"),
    "need lists are rubbish": empty("needs"),
    "replacements are rubbish": rubbish,
}  # fmt: skip


@pytest.mark.parametrize("name", WITHHELD)
def test_whatever_a_vault_gives_no_wrong_byte_is_restored(
    name: str, lived: Stage, source: Path, room: Path
) -> None:
    """Restore each file as it was, or name it as missing."""
    stage = lived
    WITHHELD[name](stage)
    home = room / "no home"
    result = stage.run(
        "seed", "restore", "latest", "--vault", stage.at, "--passphrase-file", stage.secret,
        "--target", room / "back", "--json", code=None, SEED_HOME=home,
    )  # fmt: skip
    assert result.code in (0, 1, 3), result
    if result.code == 0:
        assert trees.differences(source, below(room / "back", source)) == []
        return
    assert result.stderr
    back = below(room / "back", source)
    for path in back.rglob("*") if back.exists() else ():
        if path.is_file() and not path.is_symlink():
            assert path.read_bytes() == (source / path.relative_to(back)).read_bytes(), path


def test_a_point_that_the_operator_signs_himself_does_not_count(lived: Stage) -> None:
    """Count no point that the operator signs.

    The operator has the authority's key and a manifest, but not the machine's key.
    """
    stage = lived
    (authority,) = authorities(stage.importer_home)
    for key in (authority.document_key, Ed25519PrivateKey.generate()):
        path = held(stage, "manifests")[0]
        manifest = envelope.read(path.read_bytes(), "manifest").peek(Manifest)
        forged = envelope.sign(replace(manifest, sequence=9, created=manifest.created + 1), key)
        name = layout.numbered(layout.manifest_prefix(manifest.machine), 9, hex_digest(forged))
        (stage.vault / name).write_bytes(forged)
    assert [p["sequence"] for p in stage.run("seed", "points", "--json", code=3).json] == [1, 2]
    assert "root-differs" in stage.run("seed", "points", code=3).stderr


def test_an_old_sealed_root_under_a_new_signature_is_refused(lived: Stage) -> None:
    """Refuse an old sealed root under a new signature by the machine's own key.

    An attacker in its home may have copied that key before the machine's key was changed.
    """
    stage = lived
    identity = Home.open(stage.home).identity
    old, new = (
        envelope.read(path.read_bytes(), "manifest").peek(Manifest)
        for path in sorted(held(stage, "manifests"), key=lambda p: p.name)
    )
    forged = envelope.sign(replace(new, root=old.root, sequence=3), identity.signing_key)
    name = layout.numbered(layout.manifest_prefix(new.machine), 3, hex_digest(forged))
    (stage.vault / name).write_bytes(forged)
    assert [p["sequence"] for p in stage.run("seed", "points", "--json", code=3).json] == [1, 2]
    assert "root-differs" in stage.run("seed", "points", code=3).stderr


def test_an_older_vault_is_noticed_by_the_machine_that_has_its_home(lived: Stage) -> None:
    stage = lived
    newest = max(held(stage, "manifests"), key=lambda path: path.name)
    newest.unlink()
    done = backup(stage, code=3)
    assert "vault-lost" in {f["code"] for f in done["findings"]}  # type: ignore[attr-defined]
    assert newest.exists(), "it is put there again"


def test_an_older_vault_is_noticed_by_whatever_reads_it_with_the_home(lived: Stage, room: Path) -> None:
    stage = lived
    newest = max(held(stage, "manifests"), key=lambda path: path.name)
    kept = newest.read_bytes()
    newest.unlink()
    for words in (
        ("status",),
        ("points",),
        ("verify",),
        ("restore", "latest", "--target", room / "back"),
    ):
        assert "vault-lost" in stage.run("seed", *words, code=3).stderr, words
    newest.write_bytes(kept)
    for words in (("status",), ("points",), ("verify",)):
        assert "vault-lost" not in stage.run("seed", *words).stderr


def withheld(stage: Stage) -> int:
    """Delete the content's archives, and sign that the catalog's archive holds their records.

    Returns the number of records.
    """
    with LocalStore.open(stage.at) as store:
        there = {section.archive for _, found in index_objects(store) for section in found}
    (catalog,) = (archive for archive in there if archive.archive_class == METADATA_CLASS)
    content = sorted(there - {catalog}, key=lambda archive: archive.name)
    entries = [
        Replaced(archive=ArchiveRow.of(old), by=ArchiveRow.of(catalog), held=all_of(old).live)
        for old in content
    ]
    vault = open_vault(stage.importer_home, Address(stage.at), Tally())
    sign_replacements(vault, Home.open(stage.home).identity.master.key_id.hex(), entries, copied=False)
    for old in content:
        (stage.vault / layout.archive_name(old.name)).unlink()
    return sum(old.records for old in content)


def test_what_an_operator_falsely_says_to_stand_in_is_noticed_and_sent_again(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    records = withheld(stage)
    assert stage.run("seed", "points", "--json").json[0]["complete"], "by his word"
    told = stage.run("seed", "verify", "--json", code=3).json
    assert ({f["code"] for f in told["findings"]}, told["damaged"]) == ({"object-missing"}, records)
    assert stage.run("seed", "repair", "--json").json["wanted"] == records
    stage.run("seed", "verify")
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_what_falsely_stands_in_for_what_has_changed_since_is_named_as_lost(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    withheld(stage)
    large = next(path for path in sorted(source.rglob("*")) if path.is_file() and path.stat().st_size > MIB)
    large.write_bytes(b"another")
    stage.run("seed", "verify", code=3)
    told = stage.run("seed", "repair", "--json", code=3).json
    assert {(f["code"], f["subject"]) for f in told["findings"]} == {("content-lost", str(large))}
    stage.run("seed", "verify")
    stage.restore(room / "restored", "--vault", stage.at, code=3)
    lost = trees.differences(source, below(room / "restored", source))
    assert ["large/0.bin" in difference for difference in lost] == [True]


def test_a_backup_does_not_build_upon_what_falsely_stands_in(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    withheld(stage)
    done = backup(stage, code=3)
    assert [f["code"] for f in done["findings"]] == ["vault-lost"]  # type: ignore[attr-defined]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_a_false_revocation_withholds_nothing_from_the_machine(lived: Stage) -> None:
    """Ignore a revocation by an attacker that may write into the vault and lacks its authority's key."""
    stage = lived
    stage.run("importer", "machines", "list", "--vault", stage.at)
    path = held(stage, "machines")[0]
    member = envelope.read(path.read_bytes(), "membership").peek(Membership)
    forged = envelope.sign(
        replace(member, number=9, status="revoked", counted=b""), Ed25519PrivateKey.generate()
    )
    name = layout.numbered(layout.member_prefix(member.machine), 9, hex_digest(forged))
    (stage.vault / name).write_bytes(forged)
    told = stage.run("seed", "points", "--json")
    assert len(told.json) == 2
    assert "1 object that somebody else put there; passed over" in told.stderr
    assert backup(stage)["sequence"] == 3


def test_a_store_that_gives_endless_objects_is_read_no_further_than_is_believed(lived: Stage) -> None:
    """Read documents no further than their limit, even if they have eight gigabytes.

    Such documents take the vault no room.
    """
    stage = lived
    for path in [*held(stage, "manifests")[:1], *held(stage, "slots")]:
        with open(path, "r+b") as file:
            file.truncate(8 << 30)
    stage.command = prepared("import resource; resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))")
    stage.run("seed", "points", "--json", code=3)
    words = ("--vault", stage.at, "--passphrase-file", stage.secret)
    stage.run("seed", "points", *words, code=1, SEED_HOME=stage.folder / "none")


# Rows that a captured machine seals


EVIL = """
import formats.keyed.segments as c
encode = c.encode_entries
def forged(entries):
    return encode([{change} for e in entries])
c.encode_entries = forged
import seed.pipeline.catalog_writer
seed.pipeline.catalog_writer.encode_entries = forged
"""


def sealed(stage: Stage, source: Path, change: str) -> None:
    """Make a point with a catalog that has its rows altered by `change`."""
    stage.command, plain = prepared(EVIL.format(change=change)), stage.command
    stage.run("seed", "backup", source, code=None)
    stage.command = plain


def test_a_catalog_that_leads_through_a_link_writes_nothing_behind_it(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    """Write nothing through a folder that the catalog turns into a link out of the target."""
    stage = copy_of(opened)
    source, outside = room / "source", room / "outside"
    (source / "trap").mkdir(parents=True)
    (source / "trap/planted").write_text("planted")
    (source / "zeal").write_text("honest")
    outside.mkdir()
    change = f"e._replace(type=3, target={str(outside).encode()!r}, mode=0o777) if e.path.endswith(b'/trap') else e"
    sealed(stage, source, change)
    before = snapshot(outside)
    result = stage.run(
        "seed", "restore", "latest", "--vault", stage.at, "--target", room / "back", "--json", code=None
    )
    assert result.code in (1, 3), result
    assert snapshot(outside) == before
    assert not (outside / "planted").exists()


@pytest.mark.parametrize("path", [b"../../outside/planted", b"a/../../outside/planted", b"/outside", b"."])
def test_a_path_that_leads_outside_is_refused(copy_of: Copy, opened: Stage, room: Path, path: bytes) -> None:
    stage = copy_of(opened)
    source = room / "source"
    source.mkdir()
    (source / "planted").write_text("planted")
    change = f"e._replace(path={path!r}) if e.path.endswith(b'/planted') else e"
    sealed(stage, source, change)
    before = {p for p in room.iterdir() if p.name != "back"}
    result = stage.run(
        "seed", "restore", "latest", "--vault", stage.at, "--target", room / "back/within", code=None
    )
    assert result.code in (1, 3), result
    assert {p for p in room.iterdir() if p.name != "back"} == before
    if (room / "back").exists():
        assert not list((room / "back").rglob("planted"))


@pytest.mark.parametrize("size", [3, 10**15])
def test_a_size_that_its_chunks_do_not_add_up_to_is_refused(
    copy_of: Copy, opened: Stage, room: Path, size: int
) -> None:
    stage = copy_of(opened)
    source = room / "source"
    source.mkdir()
    (source / "large").write_bytes(trees.incompressible(3 << 20, 1))
    (source / "small").write_bytes(b"honest")
    sealed(stage, source, f"e._replace(size={size}) if e.lengths and not e.content else e")
    done = stage.run("seed", "restore", "latest", "--vault", stage.at, "--target", room / "back", "--json", code=3)  # fmt: skip
    assert [f["code"] for f in done.json["findings"]] == ["CAT-5"]
    assert [p.name for p in below(room / "back", source).iterdir()] == ["small"]


def test_a_segment_that_stands_twice_in_a_catalog_is_refused(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    stage = copy_of(opened)
    source = room / "source"
    trees.small_file(source / "planted", b"planted")
    twice = """
import seed.pipeline.catalog_writer as s
from dataclasses import replace
entries, page = s.encode_entries, s.encode_page
s.encode_entries = lambda rows: entries([e for e in rows if e.path.endswith(b'/planted')] or rows)
s.encode_page = lambda rows: page([r for row in rows[-1:] for r in [replace(row, first=row.last, rows=1)] * 2])
"""
    stage.command, plain = prepared(twice), stage.command
    stage.run("seed", "backup", source, code=None)
    stage.command = plain
    words = ("seed", "restore", "latest", "--vault", stage.at, "--target", room / "back", "--json")
    refused(stage.run(*words, code=1), "CAT-4")


def test_what_a_restore_finds_in_its_way_is_not_followed(lived: Stage, source: Path, room: Path) -> None:
    """Follow no link that somebody puts into the target, at the place of a folder."""
    stage = lived
    outside, target = room / "outside", room / "back"
    outside.mkdir()
    place = below(target, source)
    place.mkdir(parents=True)
    (place / "docs").symlink_to(outside)
    result = stage.run(
        "seed", "restore", "latest", "--vault", stage.at, "--target", target, "--json", code=None
    )
    assert result.code in (1, 3), result
    assert snapshot(outside) == {}


def test_changed_slots_do_not_open(lived: Stage) -> None:
    stage = lived
    (path,) = held(stage, "slots")
    data = bytearray(path.read_bytes())
    home = stage.folder / "none"
    for at in range(len(data) // 4, len(data), len(data) // 8):
        changed = bytearray(data)
        changed[at] ^= 1
        path.write_bytes(bytes(changed))
        words = ("--vault", stage.at, "--passphrase-file", stage.secret)
        assert stage.run("seed", "points", *words, code=None, SEED_HOME=home).code in (1, 3)
    path.write_bytes(bytes(data))
    shutil.rmtree(home, ignore_errors=True)
