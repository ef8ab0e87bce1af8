"""The privacy of backups: disks, vaults and logs show no backed-up data, and only the owner can read keys.

The stories look byte by byte for planted markers in contents, names, link targets and attributes.
"""

import base64
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats.untrusted import decode_json
from tests.journeys import trees
from tests.journeys.stage import PASSPHRASE, Copy, Stage, below

assert sys.platform == "linux"

MARK = "Quetzalcoatl"


@pytest.fixture(scope="module")
def planted(ground: Path) -> Path:
    """Return a tree with the marker and a number in every place where a tree can hold something."""
    root = ground / f"{MARK}0-source"
    root.mkdir()
    (root / f"{MARK}1-name").write_bytes(b"in a name")
    (root / "plain").write_bytes(f"{MARK}2-content".encode())
    (root / "text").write_bytes(f"{MARK}3-text and again ".encode() * 100_000)
    (root / "noise").write_bytes(trees.incompressible(3 << 20) + f"{MARK}4-noise".encode() * 9)
    (root / "link").symlink_to(f"{MARK}5-target")
    (root / f"{MARK}6-folder").mkdir()
    (root / f"{MARK}6-folder" / "inside").write_bytes(b"x" * 2000 + f"{MARK}7-inside".encode())
    os.setxattr(root / "plain", f"user.{MARK}8", f"{MARK}9-attribute".encode())
    return root


@pytest.fixture(scope="module")
def played(ground: Path, opened: Stage, planted: Path) -> tuple[Stage, str]:
    """Play the whole journey, and return its stage and all output of the importer."""
    stage = opened.copy(ground / "leaks")
    said = []
    said.append(stage.run("seed", "export", planted, "--to", stage.disk, "--verbose"))
    for words in (("inspect",), ("import", "--vault", stage.at), ("import", "--vault", stage.at)):
        for form in ("--verbose", "--json"):
            said.append(stage.run("importer", words[0], stage.disk, *words[1:], form))
    said.append(stage.run("importer", "points", "--vault", stage.at, "--verbose"))
    stage.restore(ground / "leaks restored", "--vault", stage.at)
    assert trees.differences(planted, below(ground / "leaks restored", planted)) == []
    said_by_importer = [r for r in said if "importer" in r.words[0]]
    return stage, "".join(r.stdout + r.stderr for r in said_by_importer)


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (p for p in folder.rglob("*") if p.is_file())


def unwrapped(data: bytes) -> bytes:
    """Return a signed document with its decoded base64 payload and the decoded base64 inside that."""
    try:
        document = decode_json(data, "")
        payload = base64.b64decode(str(document["payload"]))  # type: ignore[call-overload,index]
    except Exception:
        return data
    inner = b"".join(_blobs(payload))
    return data + payload + inner


def _blobs(payload: bytes) -> Iterator[bytes]:
    for word in payload.split(b'"'):
        try:
            yield base64.b64decode(word, validate=True)
        except ValueError:
            continue


def test_no_marker_lies_on_the_disk_or_in_the_vault(played: tuple[Stage, str]) -> None:
    stage, _ = played
    secrets = [MARK.encode(), MARK.lower().encode(), MARK.encode("utf-16-le"), PASSPHRASE.encode()]
    seen = 0
    for path in files(stage.disk, stage.vault):
        seen += 1
        assert MARK not in str(path.relative_to(stage.folder))
        data = unwrapped(path.read_bytes())
        for secret in secrets:
            assert secret not in data, f"{secret!r} in {path}"
    assert seen > 20


def test_no_source_path_and_no_file_name_lies_there_either(played: tuple[Stage, str], planted: Path) -> None:
    stage, _ = played
    for path in files(stage.disk, stage.vault):
        data = unwrapped(path.read_bytes())
        assert str(planted).encode() not in data
        assert str(planted.parent).encode() + b"/" + MARK.encode() not in data


def test_the_importer_says_nothing_of_it(played: tuple[Stage, str]) -> None:
    _, said = played
    assert MARK not in said
    assert PASSPHRASE not in said


def test_no_home_and_no_log_holds_passphrase_or_content(played: tuple[Stage, str]) -> None:
    stage, _ = played
    for path in files(stage.home, stage.importer_home):
        data = unwrapped(path.read_bytes())
        assert PASSPHRASE.encode() not in data
        assert f"{MARK}2-content".encode() not in data


def test_a_disk_without_slot_does_not_open_by_passphrase(copy_of: Copy, opened: Stage, planted: Path) -> None:
    stage = copy_of(opened)
    stage.run("seed", "export", planted, "--to", stage.disk, "--no-slot-on-disks")
    assert not stage.objects("slots")
    words = ("points", "--from", stage.disk, "--passphrase-file", stage.secret, "--json")
    assert stage.run("seed", *words, code=1).json["error"]["code"] == "slot-missing"
    stage.run("seed", "points", "--from", stage.disk)
    stage.import_()
    stage.run("seed", *words, "--vault", stage.at)


def test_what_holds_keys_is_for_its_owner_alone(played: tuple[Stage, str], ground: Path) -> None:
    stage, _ = played
    generated = stage.folder / "generated"
    home = ground / "modes home"
    stage.issue()
    words = ("register", "--credential", stage.credential, "--name", "web2", "--vault", stage.at)
    stage.run("seed", *words, "--generate-passphrase", generated, SEED_HOME=home)
    mine = [stage.credential, generated, stage.importer_home / "authorities"]
    mine += [stage.home, *stage.home.rglob("*"), home, *home.rglob("*")]
    mine += (stage.importer_home / "authorities").rglob("*")
    sealed = [p for p in mine if any(above.name == "cache" for above in p.parents)]
    assert sealed, "what lies in the cache is sealed or public; its folder alone is closed"
    for path in set(mine) - set(sealed):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path} has mode {mode:o}"
    first = generated.read_text().splitlines()[0]
    assert len(first) >= 28
    assert stage.run("seed", "points", "--vault", stage.at, "--passphrase-file", generated).code == 0
