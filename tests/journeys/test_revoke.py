"""A revoked machine: its data in the vault stay good, and nothing that its key signs later counts."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from formats import layout
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.ids import MachineId, PointId, fingerprint, hex_digest
from formats.keyed.root import clear_digest, open_root, seal_root
from seed.home.home import Home
from tests.journeys import trees
from tests.journeys.stage import (
    Copy,
    Result,
    Stage,
    backup,
    below,
    disks,
    prepared,
    refused,
    snapshot,
    stored,
    to,
)

assert sys.platform == "linux"

FEW = "import importer.vault.machines; importer.vault.machines.COUNTED_MAX = 1"
UNASKED = "import seed.points.machine_keys; seed.points.machine_keys.check_active = lambda *_: None; import seed.backup.announce, seed.backup.backup"
Rows = list[dict[str, object]]


def machines(stage: Stage) -> Rows:
    found: Rows = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
    return found


def revoke(stage: Stage, *words: object, code: int = 0) -> Result:
    """Revoke the only machine."""
    (machine,) = machines(stage)
    wanted = fingerprint(MachineId(str(machine["machine"])))
    return stage.run(
        "importer", "machines", "revoke", wanted, "--vault", stage.at, "--json", *words, code=code
    )


def vault_points(stage: Stage, code: int = 0) -> Rows:
    found: Rows = stage.run("importer", "points", "--vault", stage.at, "--json", code=code).json
    return found


def thief(stage: Stage, *words: object, code: int = 0) -> Result:
    """Run a command of the same home that does not check its membership."""
    plain, stage.command = stage.command, prepared(UNASKED)
    try:
        return stage.run(*map(str, words), code=code)
    finally:
        stage.command = plain


def forge_point(stage: Stage, sequence: int) -> None:
    """Put a complete point of the machine's own keys, newer than all others, into the vault by hand."""
    identity = Home.open(stage.home).identity
    newest = max((stage.vault / "manifests").rglob("*-*"), key=lambda path: path.name)
    manifest = envelope.read(newest.read_bytes(), "manifest").peek(Manifest)
    root = open_root(identity.master, manifest, "manifest")
    point = PointId(f"{sequence:032x}")
    forged = replace(manifest, point=point, sequence=sequence, created=manifest.created + 100, root=b"")
    root = replace(root, clear=clear_digest(forged))
    signed = envelope.sign(replace(forged, root=seal_root(identity.master, root)), identity.signing_key)
    name = layout.numbered(layout.manifest_prefix(identity.machine), sequence, hex_digest(signed))
    (stage.vault / name).write_bytes(signed)


def test_a_revoked_machine_is_told_so_and_sends_nothing(lived: Stage, source: Path) -> None:
    stage = lived
    assert revoke(stage).json["status"] == "revoked"
    before = snapshot(stage.vault)
    refused(stage.run("seed", "backup", "--json", code=1), "machine-revoked")
    refused(stage.run("seed", "repair", "--json", code=1), "machine-revoked")
    refused(stage.run("seed", "export", source, "--to", stage.disk, "--json", code=1), "machine-revoked")
    assert not list(stage.disk.iterdir())
    assert snapshot(stage.vault) == before
    assert "REVOKED" in stage.run("seed", "status").stdout
    assert ", revoked 20" in stage.run("importer", "status", "--vault", stage.at).stdout
    assert [m["status"] for m in machines(stage)] == ["revoked"]


def test_no_machine_is_too_large_to_be_revoked(lived: Stage) -> None:
    """Revoke a machine of any size: after a takeover its first points are the likeliest to be its own."""
    stage = lived
    machines(stage)
    stage.command = prepared(FEW)
    assert "only the first 1 count" in revoke(stage).stderr
    assert [p["sequence"] for p in vault_points(stage, 3)] == [1]


def test_what_the_vault_had_stays_good(lived: Stage, source: Path, room: Path) -> None:
    stage = lived
    revoke(stage)
    assert [p["complete"] for p in vault_points(stage)] == [True, True]
    assert len(stage.run("seed", "points", "--json").json) == 2
    stage.restore(room / "by home", "--vault", stage.at)
    shutil.rmtree(stage.home)
    stage.restore(room / "by passphrase", "--vault", stage.at, "--passphrase-file", stage.secret)
    for target in (room / "by home", room / "by passphrase"):
        assert trees.differences(source, below(target, source)) == []


def test_revoking_again_changes_nothing(lived: Stage) -> None:
    stage = lived
    first = revoke(stage).json
    before = snapshot(stage.vault)
    assert revoke(stage).json == first
    assert snapshot(stage.vault) == before


def test_what_is_signed_later_does_not_count_though_it_takes_an_earlier_number(
    lived: Stage, source: Path, room: Path
) -> None:
    """Ignore later points with earlier numbers: the holder of the key chooses the numbers of points."""
    stage = lived
    stage.restore(room / "before", "--vault", stage.at)
    revoke(stage)
    for sequence in (3, 2):
        forge_point(stage, sequence)
    assert [p["sequence"] for p in vault_points(stage, code=3)] == [1, 2]
    assert [p["sequence"] for p in stage.run("seed", "points", "--json", code=3).json] == [1, 2]
    stage.restore(room / "by home", "--vault", stage.at, code=3)
    shutil.rmtree(stage.home)
    words = ("--vault", stage.at, "--passphrase-file", stage.secret)
    result = stage.run("seed", "restore", "latest", "--target", room / "by passphrase", *words, code=3)
    assert "machine-revoked" in result.stderr
    for target in ("by home", "by passphrase"):
        assert trees.differences(below(room / "before", source), below(room / target, source)) == []


def test_a_disk_in_the_post_still_comes_in(copy_of: Copy, opened: Stage, source: Path, room: Path) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB")
    stage.run("importer", "import", paths[0], "--vault", stage.at)
    revoke(stage)
    (imported,) = stage.run("importer", "import", paths[1], "--vault", stage.at, "--json").json["disks"]
    assert imported["may_be_erased"]
    assert [p["complete"] for p in vault_points(stage)] == [True]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_a_set_that_nobody_announced_is_the_operators_to_accept(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    machines(stage)
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB", "--offline")
    revoke(stage)
    before = snapshot(stage.vault)
    words = ("import", *paths, "--vault", stage.at, "--json")
    result = refused(stage.run("importer", *words, code=1), "machine-revoked")
    assert snapshot(stage.vault) == before
    wanted = str(result.json["error"]["hint"]).rpartition(" ")[2]
    refused(stage.run("importer", *words, "--accept-replaced", wanted, code=1), "machine-unknown")
    refused(
        stage.run("importer", *words, "--accept-revoked", wanted.replace(wanted[:4], "0000"), code=1),
        "machine-unknown",
    )
    assert snapshot(stage.vault) == before
    done = stage.run("importer", *words, "--accept-revoked", wanted).json["disks"]
    assert [disk["may_be_erased"] for disk in done] == [True, True]
    assert [p["complete"] for p in vault_points(stage)] == [True]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []
    assert [disk["unchanged"] for disk in stage.run("importer", *words).json["disks"]] == [True, True]
    assert [m["status"] for m in machines(stage)] == ["revoked"], "nothing else of it comes in"


def test_a_disk_of_an_announced_set_brings_nothing_more_than_was_announced(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    """Import only the announced archives from an expected disk.

    A thief of the machine's key writes another point onto it.
    """
    stage = copy_of(opened)
    stage.export(source)
    revoke(stage)
    trees.change(source)
    with_more = thief(
        stage, "seed", "export", source, "--to", stage.disk, "--again", "--offline", "--json"
    ).json
    folders = sorted((stage.disk / "offseed").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    assert len(folders) == 2, with_more
    result = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=1)
    assert "[machine-revoked]" in result.stderr
    assert [p["sequence"] for p in vault_points(stage)] == [1]
    assert [p["complete"] for p in vault_points(stage)] == [True]
    held = {name for name in stored(stage) if name.startswith("archives/")}
    wanted = {str(p.relative_to(folders[0])) for p in (folders[0] / "archives").rglob("*") if p.is_file()}
    assert held == wanted


def test_who_is_no_member_cannot_be_revoked(lived: Stage) -> None:
    stage = lived
    wanted = "-".join(["0000"] * 8)
    words = ("importer", "machines", "revoke", wanted, "--vault", stage.at, "--json")
    refused(stage.run(*words, code=1), "machine-unknown")
    assert [m["status"] for m in machines(stage)] == ["active"]


def test_the_name_of_a_revoked_machine_is_free(lived: Stage, source: Path, room: Path) -> None:
    """Free the name of a revoked machine for its owner, under another key: the thief has the old one."""
    stage = lived
    revoke(stage)
    stage.home = room / "anew"
    stage.issue()
    stage.register("web1")
    assert sorted(str(m["status"]) for m in machines(stage)) == ["active", "revoked"]
    backup(stage, source)
    assert [p["complete"] for p in vault_points(stage)] == [True, True, True]
