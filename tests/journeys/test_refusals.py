"""Refusals: each story ends with its exit code, error code and hint, and changes nothing.

A refusal never shows a traceback, and never calls itself a fault of the program.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.stage import PASSPHRASE, Copy, Result, Stage, in_parallel, refused, snapshot

assert sys.platform == "linux"

WEAK = "passwordpassword"


@dataclass(frozen=True)
class Refusal:
    """A command and its expected end. Names in braces are places; `where` sets environment variables."""

    story: str
    command: str
    exit: int
    code: str
    where: tuple[tuple[str, str], ...] = ()


NO_HOME = (("SEED_HOME", "{room}/none"),)
OTHER = (("IMPORTER_HOME", "{room}/other"),)
KEY = "--passphrase-file {secret}"
JOIN = "seed register --credential {credential} --name web2"

BARE = (
    Refusal("vault name taken", "importer vault create Backups --at {room}/v2 --region x", 1, "vault-exists"),
    Refusal("in capitals too", "importer vault create BACKUPS --at {room}/v2 --region x", 1, "vault-exists"),
    Refusal("place taken", "importer vault create Other --at {vault} --region x", 1, "vault-exists"),
    Refusal("vault name odd", "importer vault create 9lives --at {room}/v2 --region x", 2, "name-invalid"),
    Refusal("vault name short", "importer vault create x --at {room}/v2 --region x", 2, "name-invalid"),
    Refusal(
        "redundancy odd", "importer vault create Oh --at {room}/v2 --region x --redundancy no", 2, "usage"
    ),
    Refusal("vault at a file", "importer vault create Oh --at {file} --region x", 1, "store-missing"),
    Refusal("vault missing", "importer vault show --vault {room}/none", 1, "vault-missing"),
    Refusal("vault is any folder", "importer points --vault {tree}", 1, "vault-missing"),
    Refusal("vault is a file", "importer points --vault {file}", 1, "vault-missing"),
    Refusal("vault of no kind", "importer points --vault ftp://there", 2, "store-unknown"),
    Refusal("no vault named", "importer points", 2, "no-vault", OTHER),
    Refusal(
        "no authority",
        "importer credentials issue --vault {vault} --out {room}/c",
        1,
        "authority-missing",
        OTHER,
    ),
    Refusal("credential exists", "importer credentials issue --vault {vault} --out {file}", 2, "file-exists"),
    Refusal(
        "no such folder", "importer credentials issue --vault {vault} --out {room}/no/c", 2, "path-not-found"
    ),
    Refusal("redundancy unknown", "importer vault set-redundancy no --vault {vault}", 2, "usage"),
    Refusal("no home", "seed export {tree} --to {disk}", 1, "home-missing"),
    Refusal("no credential", "seed register --credential {room}/none", 1, "credential-unreadable"),
    Refusal("credential is a folder", "seed register --credential {tree}", 1, "credential-unreadable"),
    Refusal("credential is another file", "seed register --credential {file}", 1, "credential-damaged"),
    Refusal("passphrase short", JOIN + " --passphrase-file {short}", 2, "passphrase-short"),
    Refusal("passphrase weak", JOIN + " --passphrase-file {weak}", 2, "passphrase-weak"),
    Refusal("passphrase file missing", JOIN + " --passphrase-file {room}/none", 2, "passphrase-missing"),
    Refusal("passphrase not text", JOIN + " --passphrase-file {noise}", 2, "passphrase-missing"),
    Refusal("nobody to ask", JOIN, 2, "passphrase-missing"),
    Refusal("two passphrases", JOIN + " --generate-passphrase {room}/p " + KEY, 2, "usage"),
    Refusal("passphrase file exists", JOIN + " --generate-passphrase {file}", 2, "file-exists"),
    Refusal("passphrase file nowhere", JOIN + " --generate-passphrase {room}/no/p", 2, "path-not-found"),
    Refusal(
        "machine name odd",
        "seed register --credential {credential} --name a/b " + KEY,
        2,
        "name-invalid",
    ),
    Refusal("named vault missing", JOIN + " --vault {room}/none " + KEY, 1, "store-missing"),
    Refusal("home in a file", JOIN + " " + KEY, 1, "home-damaged", (("SEED_HOME", "{file}"),)),
    Refusal("home nowhere", JOIN + " " + KEY, 1, "home-damaged", (("SEED_HOME", "/proc/none/home"),)),
)

OPENED = (
    Refusal("registered already", JOIN + " " + KEY, 1, "home-registered"),
    Refusal("nothing named", "seed export --to {disk}", 2, "nothing-to-back-up"),
    Refusal("no disk named", "seed export {tree}", 2, "usage"),
    Refusal("one disk twice", "seed export {tree} --to {disk} --to {disk}", 2, "usage"),
    Refusal("no disk", "seed export {tree}", 2, "usage"),
    Refusal("not a size", "seed export {tree} --to {disk} --use-at-most 4XB", 2, "usage"),
    Refusal("no such disk", "seed export {tree} --to {disk} --without 7", 2, "usage"),
    Refusal("source missing", "seed export {room}/none --to {disk}", 2, "path-not-found"),
    Refusal("disk missing", "seed export {tree} --to {room}/none", 1, "disk-missing"),
    Refusal("disk is a file", "seed export {tree} --to {file}", 1, "disk-missing"),
    Refusal("disk is the source", "seed export {disk} --to {disk}", 2, "target-inside-source"),
    Refusal(
        "patterns missing", "seed export {tree} --to {disk} --exclude-from {room}/none", 2, "path-not-found"
    ),
    Refusal("not a glob", "seed export {tree} --to {disk} --exclude [z-a]", 2, "usage"),
    Refusal("level odd", "seed export {tree} --to {disk} --level 20", 2, "usage"),
    Refusal("nothing arrived yet", "seed ls --vault {vault}", 2, "point-unknown"),
    Refusal("nothing in the disk", "seed ls --from {empty}", 1, "disk-empty"),
    Refusal("nothing to read from", "seed points", 2, "no-vault", NO_HOME),
    Refusal("no disk to read from", "seed points --from {room}/none", 1, "disk-missing"),
    Refusal("no vault to read from", "seed points --vault {room}/none", 1, "store-missing"),
    Refusal("inspect: disk missing", "importer inspect {room}/none", 1, "disk-missing"),
    Refusal("inspect: disk empty", "importer inspect {empty}", 1, "disk-empty"),
)

IMPORTED = (
    Refusal("import: disk missing", "importer import {room}/none --vault {vault}", 1, "disk-missing"),
    Refusal("import: disk empty", "importer import {empty} --vault {vault}", 1, "disk-empty"),
    Refusal("import: disk a file", "importer import {file} --vault {vault}", 1, "disk-missing"),
    Refusal("other items", "seed export {tree}/docs --to {disk}", 2, "items-differ"),
    Refusal("passphrase wrong for the disk", "seed ls --from {disk} --passphrase-file {wrong}", 1,
            "passphrase-wrong"),
    Refusal("passphrase wrong for the vault", "seed ls --vault {vault} --passphrase-file {wrong}", 1,
            "passphrase-wrong"),
    Refusal("nobody to ask", "seed ls --from {disk}", 2, "passphrase-missing", NO_HOME),
    Refusal("point unknown", "seed restore 00000000 --from {disk} --target {room}/t", 2, "point-unknown"),
    Refusal("point empty", "seed ls : --from {disk}", 2, "point-unknown"),
    Refusal("subpath missing", "seed ls latest:/none --from {disk}", 2, "path-not-found"),
    Refusal("subpath upwards", "seed ls latest:a/../b --from {disk}", 2, "usage"),
    Refusal("machine unknown", "seed points --from {disk} --machine web9 " + KEY, 2, "point-unknown"),
    Refusal("no vault here", "seed points --vault {empty} " + KEY, 1, "vault-missing"),
    Refusal("nothing matches", "seed restore latest --from {disk} --target {room}/t --include none", 2,
            "path-not-found"),
    Refusal("nothing matches, dry run", "seed restore latest --from {disk} --target {room}/t --include none --dry-run", 2,
            "path-not-found"),
    Refusal("nothing at this path", "seed restore latest:/none --from {disk} --target {room}/t", 2, "path-not-found"),
    Refusal("no such machine in the vault", "importer points --vault {vault} --machine web9", 2, "machine-unknown"),
    Refusal("no target", "seed restore latest --from {disk}", 2, "usage"),
    Refusal("target a file", "seed restore latest --from {disk} --target {file}", 1, "path-not-found"),
    Refusal("target nowhere", "seed restore latest --from {disk} --target /proc/none/x", 1, "path-not-found"),
    Refusal("redundancy locked", "importer vault set-redundancy local --vault {vault}", 1,
            "redundancy-locked"),
    Refusal("import elsewhere", "importer import {disk} --vault {vault}", 1, "authority-missing", OTHER),
    Refusal("report nowhere", "importer import {disk} --vault {vault} --report {room}/no/r", 2,
            "path-not-found"),
    Refusal("fingerprint unknown", "importer machines accept 0000-1111 --vault {vault}", 1,
            "machine-unknown"),
    Refusal("command unknown", "seed sow", 2, "usage"),
    Refusal("command unknown to the importer", "importer exhume", 2, "usage"),
    Refusal("option unknown", "seed ls --frm {disk}", 2, "usage"),
    Refusal("option unknown to the importer", "importer points --vlt {vault}", 2, "usage"),
    Refusal("too much", "importer vault show {vault} --vault {vault}", 2, "usage"),
)  # fmt: skip


@dataclass(frozen=True)
class Places:
    """The values of the names in braces."""

    stage: Stage
    tree: Path
    room: Path

    def words(self, text: str) -> list[str]:
        return [self.word(part) for part in text.split()]

    def word(self, text: str) -> str:
        side = {name: self.room / name for name in ("file", "short", "weak", "wrong", "noise", "empty")}
        own = {n: getattr(self.stage, n) for n in ("vault", "disk", "secret", "credential")}
        return text.format(**side, **own, tree=self.tree, room=self.room)


@pytest.fixture(scope="module")
def places(ground: Path) -> Path:
    """Return a folder of files, each wrong in one way."""
    room = ground / "places"
    room.mkdir()
    (room / "empty").mkdir()
    for name, text in (("file", "{}"), ("short", "a b c"), ("weak", WEAK), ("wrong", PASSPHRASE.upper())):
        (room / name).write_text(text)
    (room / "noise").write_bytes(b"\xff\xfe not utf-8 at all, this one\n")
    return room


Played = dict[Refusal, Result]


@dataclass(frozen=True)
class Scene:
    """One scene with all its refusals, played once and several at a time, and its state before and after."""

    results: Played
    before: tuple[object, object]
    after: tuple[object, object]


@pytest.fixture(scope="module")
def play(
    places: Path, small_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Stage, Sequence[Refusal]], Scene]:
    done: dict[Stage, Scene] = {}
    copies = tmp_path_factory.mktemp("refused")

    def once(stage: Stage, refusals: Sequence[Refusal]) -> Scene:
        if stage not in done:
            # A copy, because the home keeps a job of each refused command.
            at = Places(stage.copy(copies / stage.folder.name), small_tree, places)
            before = seen(at)
            results: Played = {}
            in_parallel(lambda refusal: results.update({refusal: attempt(refusal, at)}), refusals)
            done[stage] = Scene(results, before, seen(at))
        return done[stage]

    return once


Play = Callable[[Stage, Sequence[Refusal]], Scene]


def attempt(refusal: Refusal, at: Places) -> Result:
    program, *arguments = at.words(refusal.command)
    where = {name: at.word(value) for name, value in refusal.where}
    return at.stage.run(program, *arguments, "--json", code=None, **where)


def seen(at: Places) -> tuple[object, object]:
    """Return the whole content of the scene, without the lock, which is no state."""
    scene = snapshot(at.stage.folder)
    scene.pop("seed-home/lock", None)
    return scene, snapshot(at.room)


@pytest.mark.parametrize("refusal", BARE, ids=lambda r: r.story)
def test_before_registration(refusal: Refusal, bare: Stage, play: Play) -> None:
    check(refusal, play(bare, BARE))


@pytest.mark.parametrize("refusal", OPENED, ids=lambda r: r.story)
def test_once_registered(refusal: Refusal, opened: Stage, play: Play) -> None:
    check(refusal, play(opened, OPENED))


@pytest.mark.parametrize("refusal", IMPORTED, ids=lambda r: r.story)
def test_once_imported(refusal: Refusal, imported: Stage, play: Play) -> None:
    check(refusal, play(imported, IMPORTED))


def check(refusal: Refusal, scene: Scene) -> None:
    result = scene.results[refusal]
    assert result.code == refusal.exit, result
    refused(result, refusal.code)
    assert scene.after == scene.before, "a refusal changes nothing"


def test_where_all_disks_are_refused_each_refusal_is_told(exported: Stage, copy_of: Copy) -> None:
    stage = copy_of(exported)
    empty, folder = stage.folder / "empty", stage.folder / "nowhere"
    empty.mkdir()
    for words in (
        ("importer", "import", empty, folder, "--vault", stage.at),
        ("importer", "inspect", empty, folder),
        ("seed", "verify", empty, folder),
        ("seed", "restore", "latest", "--from", empty, "--from", folder, "--target", stage.folder / "back"),
    ):
        result = refused(stage.run(*words, "--json", code=1), "disk-empty")
        assert [other["code"] for other in result.json["others"]] == ["disk-missing"]
        assert result.stderr.count("what to do: ") == 2
    other = stage.folder / "other vault"
    stage.run("importer", "vault", "create", "Other", "--at", other, "--region", "here")
    twin = stage.folder / "twin"
    subprocess.run(["cp", "-a", stage.disk, twin], check=True)
    strange = stage.run("importer", "import", stage.disk, twin, "--vault", other, "--json", code=1)
    assert len(strange.json["others"]) == 1
