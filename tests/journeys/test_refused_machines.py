"""Refused credentials, passphrases and homes, and machines and vaults that do not know each other.

A machine that registered without a network is accepted only by its fingerprint.
"""

import base64
import json
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats.documents import credential_file, envelope
from formats.documents.credential import LIFETIME
from formats.documents.vault import Credential
from formats.untrusted import encode_json
from importer.vault.authority import authorities
from tests.journeys import moments, trees
from tests.journeys.stage import (
    PASSPHRASE,
    Copy,
    Stage,
    below,
    ended,
    flip,
    in_parallel,
    refused,
    snapshot,
)

assert sys.platform == "linux"

STEP = 97
NOISE = bytes(range(255, 0, -1)) * 3


def test_a_passphrase_typed_twice_must_be_the_same(copy_of: Copy, bare: Stage) -> None:
    stage = copy_of(bare)
    good, other = PASSPHRASE.encode() + b"\n", PASSPHRASE.encode() + b"!\n"
    words = ("register", "--credential", stage.credential, "--vault", stage.at)
    shown = stage.type("seed", *words, answers=[good, other, b"short\n", good, other], code=2).stdout
    assert shown.count("the two passphrases differ") == 2, "asked three times"
    assert "fewer than 16 characters" in shown, "told before it is typed again"
    assert "[passphrase-mismatch]" in shown
    assert PASSPHRASE not in shown
    assert not stage.home.exists()
    answers = [PASSPHRASE.encode() + b"\n"] * 2
    shown = stage.type("seed", *words, answers=answers).stdout
    assert "Registered" in shown
    assert PASSPHRASE not in shown


def test_ctrl_c_at_a_prompt_ends_at_once_and_leaves_nothing(copy_of: Copy, bare: Stage) -> None:
    stage = copy_of(bare)
    shown = stage.type("seed", "register", "--credential", stage.credential, answers=[b"\x03"], code=130)
    assert shown.stdout.rstrip().endswith("seed: stopped")
    assert not stage.home.exists()


def test_a_typed_passphrase_opens_a_disk(exported: Stage, room: Path) -> None:
    exported.home, home = room / "none", exported.home
    try:
        shown = exported.type(
            "seed", "points", "--from", exported.disk, answers=[PASSPHRASE.encode() + b"\n"]
        )
    finally:
        exported.home = home
    assert "web1" in shown.stdout


def credential_of(stage: Stage, issued: datetime) -> Path:
    """Write a credential as this vault's authority would have issued it at that time."""
    (authority,) = authorities(stage.importer_home)
    key, ends = Ed25519PrivateKey.generate(), issued + LIFETIME
    document = Credential(
        number=7,
        vault=authority.vault,
        name=authority.name,
        address=str(stage.vault),
        authority=authority.public_key.hex(),
        public_key=envelope.raw_public(key).hex(),
        machines=1,
        issued=int(issued.timestamp()),
        expires=int(ends.timestamp()),
    )
    path = stage.folder / "other.credential"
    path.write_bytes(credential_file.write(envelope.sign(document, authority.document_key), key))
    return path


@pytest.mark.parametrize(
    ("hours", "code"), [(-49, "credential-expired"), (2, "credential-not-yet-valid")], ids=lambda v: str(v)
)
def test_a_credential_out_of_its_time_is_refused(copy_of: Copy, bare: Stage, hours: int, code: str) -> None:
    stage = copy_of(bare)
    path = credential_of(stage, datetime.now(UTC) + timedelta(hours=hours))
    words = ("--credential", path, "--vault", stage.at, "--passphrase-file", stage.secret, "--json")
    refused(stage.run("seed", "register", *words, code=1), code)
    assert not stage.home.exists()


def test_an_older_credential_is_refused(copy_of: Copy, bare: Stage) -> None:
    stage = copy_of(bare)
    old = stage.credential.rename(stage.folder / "old.credential")
    stage.issue()
    words = ("register", "--vault", stage.at, "--passphrase-file", stage.secret, "--json")
    refused(stage.run("seed", *words, "--credential", old, code=1), "credential-replaced")
    assert not stage.home.exists()
    stage.run("seed", *words, "--credential", stage.credential)


def test_a_credential_of_another_vault_is_refused(copy_of: Copy, bare: Stage, stage: Stage) -> None:
    other = copy_of(bare)
    stage.create_vault("Others")
    words = ("--vault", stage.at, "--credential", other.credential, "--passphrase-file", other.secret)
    refused(stage.run("seed", "register", *words, "--json", code=1), "vault-foreign")
    assert not stage.home.exists()


def test_a_name_that_a_machine_has_is_refused(copy_of: Copy, imported: Stage, room: Path) -> None:
    stage = copy_of(imported)
    stage.issue()
    words = ("--vault", stage.at, "--credential", stage.credential, "--passphrase-file", stage.secret)
    result = stage.run(
        "seed", "register", *words, "--name", "web1", "--json", code=1, SEED_HOME=room / "another"
    )
    refused(result, "machine-name-taken")
    assert not (room / "another").exists()


def test_a_credential_damaged_anywhere_is_refused(copy_of: Copy, bare: Stage) -> None:
    """Refuse a credential with damage to any byte (every 97th is tried), and make no home."""
    stage = copy_of(bare)
    size = stage.credential.stat().st_size

    def attempt(offset: int) -> None:
        path, home = stage.folder / f"damaged {offset}", stage.folder / f"home {offset}"
        shutil.copy(stage.credential, path)
        flip(path, offset)
        words = ("--credential", path, "--vault", stage.at, "--passphrase-file", stage.secret, "--json")
        result = stage.run("seed", "register", *words, code=1, SEED_HOME=home)
        refused(result, "credential-damaged")
        assert not home.exists()

    in_parallel(attempt, range(0, size, STEP))


def test_a_damaged_authority_issues_no_credential(copy_of: Copy, imported: Stage) -> None:
    stage = copy_of(imported)
    (path,) = (stage.importer_home / "authorities").iterdir()
    kept = json.loads(path.read_text())
    kept["document_key"] = base64.b64encode(NOISE).decode()
    path.write_bytes(encode_json(kept))
    words = ("credentials", "issue", "--out", stage.folder / "new", "--vault", stage.at)
    result = stage.run("importer", *words, "--json", code=1)
    refused(result, "home-damaged")
    assert result.json["error"]["subject"] == str(path)
    assert not (stage.folder / "new").exists()


READ_ALWAYS = ("identity.json", "state.json")
HOME_FILES = (
    *READ_ALWAYS,
    "sets/*/set.json",
    "sets/*/manifest",
    "sets/*/disk-1.journal",
    "lock",
)


@pytest.mark.parametrize("name", HOME_FILES)
def test_a_damaged_home_is_named_and_never_a_fault(
    copy_of: Copy, exported: Stage, small_tree: Path, name: str, room: Path
) -> None:
    """Name a damaged file of the home with a hint, or do without: truncated, emptied, garbage or gone."""
    stage = copy_of(exported)

    def attempt(damage: str) -> None:
        home = room / damage
        shutil.copytree(stage.home, home)
        (path,) = home.glob(name)
        if damage == "gone":
            path.unlink()
        else:
            whole = path.read_bytes()
            path.write_bytes(
                {"truncated": whole[: len(whole) // 2], "emptied": b"", "garbage": NOISE}[damage]
            )
        reading = [("points", "--from", stage.disk)] if name in READ_ALWAYS else []
        for words in [("export", small_tree, "--to", stage.disk), *reading]:
            result = stage.run("seed", *words, "--json", code=None, SEED_HOME=home)
            if (name, damage) == ("identity.json", "gone"):
                refused(result, "home-missing" if words[0] == "export" else "passphrase-missing")
            elif result.code:
                refused(result, "home-damaged")
                assert path.name in result.json["error"]["subject"]
            else:
                assert name not in READ_ALWAYS

    before = snapshot(stage.disk)
    in_parallel(attempt, ("truncated", "emptied", "garbage", "gone"))
    assert snapshot(stage.disk) == before


def test_a_damaged_home_does_not_keep_from_restoring_by_passphrase(
    copy_of: Copy, exported: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(exported)
    for path in stage.home.rglob("*.json"):
        path.write_bytes(NOISE)
    stage.restore(room / "restored", "--from", stage.disk, "--passphrase-file", stage.secret)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def test_one_home_serves_one_export_at_a_time(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    stage = copy_of(opened)
    with moments.using(stage, moments.at("placed", signal.SIGSTOP, stage.disk, prefix="label")):
        running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    with moments.stopped(running):  # for longer than any patience
        second = stage.run("seed", "export", long_tree, "--to", stage.disk, "--json", code=1)
    refused(second, "home-busy")
    assert ended(running).code == 0
    assert stage.export(long_tree)["already"]


def test_a_second_home_never_continues_the_first_ones_set(
    copy_of: Copy, exported: Stage, small_tree: Path, stage: Stage
) -> None:
    """Begin another folder for a second server on the same disk, and leave the first folder unchanged."""
    first = copy_of(exported)
    before = snapshot(first.seeded)
    stage.open()
    stage.disk = first.disk
    stage.export(small_tree)
    (old, new) = sorted((stage.disk / "offseed").iterdir(), key=lambda p: p.stat().st_mtime)
    assert snapshot(old) == before
    refused_one = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=1)
    assert sorted(d.get("refused", "imported") for d in refused_one.json["disks"]) == [
        "imported",
        "vault-foreign",
    ]
    assert "[vault-foreign]" in refused_one.stderr
    assert stage.run("seed", "points", "--vault", stage.at, "--json").json[0]["name"] == "web1"
    assert new != old


def test_a_disk_of_another_vault_is_refused(exported: Stage, stage: Stage) -> None:
    stage.create_vault("Others")
    before = snapshot(stage.vault)
    result = stage.run("importer", "import", exported.disk, "--vault", stage.at, "--json", code=1)
    refused(result, "vault-foreign")
    assert "Backups" in result.stderr
    assert snapshot(stage.vault) == before


def test_a_machine_registered_without_a_network_is_accepted_by_its_fingerprint(
    copy_of: Copy, bare: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(bare)
    away = bare.vault.rename(bare.vault.with_name("unreachable"))
    try:
        words = ("--credential", stage.credential, "--name", "web1", "--passphrase-file", stage.secret)
        registered = stage.run("seed", "register", *words, "--json")
        assert not registered.json["reached"]
        assert "travels on the disk" in registered.stderr
        exported = stage.export(small_tree)
    finally:
        away.rename(bare.vault)
    fingerprint = registered.json["fingerprint"]
    assert exported["fingerprint"] == fingerprint
    assert fingerprint in stage.run("importer", "inspect", stage.disk).stdout

    before = snapshot(stage.vault)
    command = f"importer machines accept {fingerprint} --vault {stage.vault} --from {stage.disk}"
    result = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=1)
    refused(result, "machine-unknown")
    assert fingerprint in result.stderr
    assert command in result.stderr
    assert snapshot(stage.vault) == before, "nothing is written for a machine that nobody knows"

    other = "0000-" + fingerprint[5:]
    wrong = ("machines", "accept", other, "--vault", stage.at, "--from", stage.disk, "--json")
    refused(stage.run("importer", *wrong, code=1), "machine-unknown")
    assert snapshot(stage.vault) == before

    program, *typed = command.split()
    stage.run(program, *typed)
    (machine,) = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
    assert (machine["name"], machine["status"]) == ("web1", "active")
    assert stage.import_()["disks"][0]["may_be_erased"]
    stage.restore(room / "restored", "--vault", stage.at, "--passphrase-file", stage.secret)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def test_a_request_that_comes_after_a_newer_credential_waits_for_the_operator(
    copy_of: Copy, opened: Stage
) -> None:
    stage = copy_of(opened)
    stage.issue()
    (waiting,) = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
    assert (waiting["name"], waiting["status"]) == ("web1", "waiting")
    listed = stage.run("importer", "machines", "list", "--vault", stage.at).stdout
    stage.run("importer", "machines", "accept", listed.split()[0], "--vault", stage.at)
    (machine,) = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
    assert machine["status"] == "active"


def test_the_latest_of_several_machines_is_ambiguous(
    copy_of: Copy, exported: Stage, small_tree: Path, stage: Stage
) -> None:
    """Ask for a name if two servers with one passphrase are on one disk."""
    stage.create_vault()
    stage.issue()
    stage.register("web2")
    stage.disk = copy_of(exported).disk
    stage.export(small_tree / "docs")
    read = ("--from", stage.disk, "--passphrase-file", stage.secret)
    result = refused(stage.run("seed", "ls", *read, "--json", code=2), "point-unknown")
    assert "web1, web2" in result.stderr
    assert "--machine" in result.json["error"]["hint"]
    (point,) = stage.run("seed", "points", *read, "--machine", "web1", "--json").json
    assert point["name"] == "web1"
    assert stage.run("seed", "ls", point["point"][:8], *read, "--json").lines
