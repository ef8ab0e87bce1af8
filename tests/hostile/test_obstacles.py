"""Obstacles in free places of a folder vault: they stop no command.

`importer validate --set-aside` moves them away. The attacker may create things, and may neither replace nor
delete any. So each obstacle stands at a place that was free.
"""

import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from formats.ids import hex_digest
from formats.layout import PREFIXES, check_name, is_folder, is_name
from formats.words import one_line
from tests.journeys.stage import Copy, Stage, snapshot
from tests.store.test_posix import _socket

if sys.platform == "win32":
    pytest.skip("Windows has other files", allow_module_level=True)

KINDS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_bytes(b"junk"),
    "empty file": Path.touch,
    "pipe": os.mkfifo,
    "socket": _socket,
    "folder": Path.mkdir,
    "link to a file": lambda path: path.symlink_to("/proc/self/status"),
    "link to a folder": lambda path: path.symlink_to("/proc/self/fd"),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
}


def sample(below: str) -> str:
    """Return a name that could stand below a prefix, and that no object has."""
    digest = secrets.token_hex(32)
    for part, made in {
        "<dd>/<digest>": f"{digest[:2]}/{digest}",
        "<digest>": digest,
        "<disk>": "7",
        "<(machine|set|job|key id)>": digest[32:],
        "<(number|sequence|generation|step)>": f"{secrets.randbelow(10**9):010d}",
    }.items():
        below = re.sub(part, made, below)
    return below


def obstruct(vault: Path) -> list[str]:
    """Put every kind of thing into every kind of free place, and return the names."""
    made: list[str] = []

    def put(name: str, kind: str) -> None:
        place = vault / name
        if (
            os.path.lexists(place)
            or (kind == "folder" and is_folder(name))
            or (kind == "file" and is_name(name))
        ):
            return
        with suppress(FileExistsError, NotADirectoryError):  # some prefixes are taken by now
            if any(folder.is_symlink() for folder in place.parents):
                return
            place.parent.mkdir(parents=True, exist_ok=True)
            KINDS[kind](place)
            made.append(name)

    odd = ("tmp-", "x", "a\nb", "\x1b[2J", "é" * 100, "lost", "autorun.inf", ".h", os.fsdecode(b"\xff"))
    prefixes = (row.path.removesuffix("/") for row in PREFIXES)
    for number, name in enumerate((*prefixes, *odd)):
        put(name, [*KINDS][number % len(KINDS)])
    for row in PREFIXES:
        for shape in row.below.split(" or "):
            for kind in KINDS:
                for depth in range(2, row.path.count("/") + shape.count("/") + 2):
                    name = check_name(row.path + sample(shape))
                    put("/".join(name.split("/")[:depth]), kind)
    return made


def objects(vault: Path) -> dict[str, bytes]:
    return {name: data for name, data in snapshot(vault).items() if isinstance(data, bytes)}


@pytest.fixture
def obstructed(copy_of: Copy, imported: Stage) -> tuple[Stage, dict[str, bytes], list[str]]:
    """Return a vault with a point from a disk and obstacles everywhere, its objects, and the obstacles."""
    stage = copy_of(imported)
    before = objects(stage.vault)
    return stage, before, obstruct(stage.vault)


def test_no_command_is_stopped_by_what_stands_in_free_places(
    obstructed: tuple[Stage, dict[str, bytes], list[str]], room: Path, small_tree: Path
) -> None:
    stage, before, made = obstructed
    assert len(made) > 200
    at = ("--vault", stage.at)
    commands: list[tuple[object, ...]] = [
        ("seed", "points", *at),
        ("seed", "ls", "latest", *at),
        ("seed", "restore", "latest", *at, "--target", room / "back"),
        ("seed", "status"),
        ("seed", "verify"),
        ("seed", "repair"),
        ("importer", "points", *at),
        ("importer", "machines", "list", *at),
        ("importer", "status", *at),
        ("importer", "jobs", *at),
        ("importer", "vault", "show", *at),
        ("importer", "report", *at, "--out", room / "vault.html"),
        ("importer", "import", stage.disk, *at),
        ("importer", "prune", *at),
        ("importer", "validate", *at),
    ]
    codes = {" ".join(map(str, words[:2])): stage.run(*map(str, words), code=None) for words in commands}
    assert {name: result.code for name, result in codes.items() if result.code not in (0, 3)} == {}
    for name, result in codes.items():
        if result.code == 3:
            assert name.startswith("importer"), result
            assert "obstructed" in result.stderr, result
    restored = {path.relative_to(room / "back") for path in (room / "back").rglob("*")}
    assert len(restored) > len(list(small_tree.rglob("*")))
    after = objects(stage.vault)
    assert {name: data for name, data in before.items() if after.get(name) != data} == {}


def test_validate_names_all_and_moves_it_away(obstructed: tuple[Stage, dict[str, bytes], list[str]]) -> None:
    stage, before, made = obstructed
    words = ("importer", "validate", "--vault", stage.at, "--json")
    named = stage.run(*words, code=3).json
    assert sorted(named["foreign"]["names"]) == sorted(map(one_line, made))
    assert named["foreign"]["count"] == len(made)
    assert sum(named["foreign"]["kinds"].values()) == len(made)
    cleared = stage.run(*words, "--set-aside", code=None).json
    empty = sum(1 for name in made if is_name(name) and _is_empty(stage.vault / name))
    before_it = len(made) - 1  # the first run moved the obstacle at `validations/`
    assert cleared["foreign"]["count"] == before_it
    assert cleared["set_aside"] == cleared["foreign"]["count"] - empty
    assert [f["code"] for f in cleared["findings"]] == ["obstructed"] * len(cleared["findings"])
    kept = sum(len(files) + len(folders) for _, folders, files in os.walk(stage.vault / "set-aside"))
    assert kept >= len(made) - empty
    again = stage.run(*words).json
    assert again["foreign"]["count"] == empty
    assert again["foreign"]["kinds"] == {"empty file": empty}
    assert {name for name, data in before.items() if objects(stage.vault).get(name) != data} == set()


def _is_empty(path: Path) -> bool:
    with suppress(FileNotFoundError):
        status = path.lstat()
        return stat.S_ISREG(status.st_mode) and not status.st_size
    return False


def test_an_import_clears_its_way(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    stage.run("importer", "machines", "list", "--vault", stage.at)
    shutil.rmtree(stage.vault / "tmp")
    fans = [path.parent.relative_to(stage.seeded).as_posix() for path in stage.objects("archives")]
    blocked = [name for name in ("jobs", "disks", "tmp", *fans) if not (stage.vault / name).exists()]
    assert len(blocked) > 3
    for name in blocked:
        os.mkfifo(stage.vault / name)
    result = stage.run("importer", "import", stage.disk, "--vault", stage.at, "--json", code=3)
    assert {finding["code"] for finding in result.json["findings"]} == {"obstructed"}
    assert {finding["subject"] for finding in result.json["findings"]} == {*blocked}
    assert len(stage.run("importer", "points", "--vault", stage.at, "--json").json) == 1


def test_a_backup_names_the_obstacle_and_goes_on_when_it_is_gone(
    copy_of: Copy, opened: Stage, small_tree: Path
) -> None:
    stage = copy_of(opened)
    os.mkfifo(stage.vault / "archives")
    result = stage.run("seed", "backup", small_tree, "--json", code=1)
    assert result.json["error"]["code"] == "obstructed"
    assert result.json["error"]["subject"] == f"{stage.at}/archives"
    assert "--set-aside" in result.json["error"]["hint"]
    stage.run("importer", "validate", "--vault", stage.at, "--set-aside")
    stage.run("seed", "backup", small_tree)


def test_what_imitates_damage_is_told_of_until_it_is_set_aside(copy_of: Copy, exported: Stage) -> None:
    """Report junk under a name of each kind until the operator sets it aside.

    No register lists it. Without `--set-aside` every command would report it for ever.
    """
    stage = copy_of(exported)
    stage.run("importer", "points", "--vault", stage.at)  # this accepts the machine
    stage.import_()
    stage.run("importer", "prune", "--vault", stage.at)
    (machine,) = [path.name for path in (stage.vault / "machines").iterdir()]
    junk = b"junk"
    for prefix in (
        "terms",
        "machines",
        "registers",
        "disks",
        "abandonments",
        "jobs",
        "replacements",
        "wants",
    ):
        folder = {"disks": f"{'3' * 32}-1", "abandonments": "3" * 32}.get(prefix)
        put(stage, "/".join(filter(None, (prefix, machine, folder, f"0000000009-{'ab' * 32}"))), junk)
    for name in (
        "descriptor",
        "credentials",
        "validations",
        "condemned",
        "sweeps",
        "registers/vault",
        "copies/descriptor",
    ):
        put(stage, f"{name}/0000000009-{'ab' * 32}", junk)
    put(stage, f"requests/0000000001-{hex_digest(junk)}", junk)
    vault = ("--vault", stage.at)
    telling = [("importer", name) for name in ("points", "status", "prune", "jobs")]
    for words in telling:
        stage.run(*words, *vault, code=3)
    told = stage.run("importer", "validate", *vault, "--set-aside", "--json", code=3).json
    assert told["set_aside"] == 15, "and the copy was deleted"
    for words in telling:
        stage.run(*words, *vault)
    stage.run("seed", "backup")
    assert stage.run("importer", "validate", *vault, "--json").json["damaged"] == []


def put(stage: Stage, name: str, data: bytes) -> None:
    path = stage.vault / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
