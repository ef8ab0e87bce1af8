"""A restored program runs with its owner's rights only if that owner could be restored."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from formats.keyed.catalog import FILE, FOLDER, CatalogEntry
from formats.monitor import Tally
from seed.restore.tree.system import TreeWriter
from tests.journeys.stage import NOBODY

if sys.platform == "win32":
    pytest.skip("trees are not written on Windows yet", allow_module_level=True)

SET_IDS = [0o4755, 0o2755, 0o6755]


def restored(target: Path, mode: int, kind: int = FILE, **members: Any) -> tuple[int, list[str]]:
    """Return the mode of an entry that is restored with this one, and the messages about it."""
    told = Tally()
    tree = TreeWriter(str(target), told, overwrite=False)
    entry = CatalogEntry(b"program", kind, mode=mode, uid=os.geteuid(), gid=os.getegid())._replace(**members)
    if kind == FOLDER:
        tree.make_folder(entry.path)
        tree.finish_folder(entry, entry.path)
    else:
        new = tree.open_file(entry.path)
        tree.finish_file(entry, entry.path, new)
        tree.publish(new, entry.path, None)
    tree.close()
    assert told.findings == []
    return stat.S_IMODE((target / "program").stat().st_mode), told.notices


@pytest.mark.needs("root")
@pytest.mark.parametrize("mode", SET_IDS, ids=oct)
def test_with_its_owner_a_program_keeps_its_rights(tmp_path: Path, mode: int) -> None:
    assert restored(tmp_path, mode) == (mode, [])


@pytest.mark.parametrize("mode", SET_IDS, ids=oct)
def test_without_its_owner_a_program_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    assert restored(tmp_path, mode) == (
        0o755,
        ["owners were not restored: only root can give files away"],
    )


@pytest.mark.parametrize("mode", SET_IDS, ids=oct)
@pytest.mark.parametrize("owner", ["uid", "gid"])
def test_an_owner_that_no_file_has_gives_no_rights(tmp_path: Path, mode: int, owner: str) -> None:
    """Drop the rights of a program for owner 2^32 - 1: chown to it succeeds, but leaves this user the owner."""
    assert restored(tmp_path, mode, **{owner: (1 << 32) - 1}) == (
        0o755,
        ["owners were not restored: only root can give files away"],
    )


@pytest.mark.needs("root")
@pytest.mark.parametrize("mode", SET_IDS, ids=oct)
def test_a_user_who_is_not_root_restores_no_program_with_rights(tmp_path: Path, mode: int) -> None:
    """Restore not even the user's own program with rights: a forged catalog could let others run it as this user."""
    assert as_nobody(tmp_path, FILE, mode) == (
        mode & 0o777,
        ["programs were restored without set-uid and set-gid: only root restores these"],
    )


@pytest.mark.needs("root")
def test_he_restores_a_folder_that_gives_its_group_on(tmp_path: Path) -> None:
    assert as_nobody(tmp_path, FOLDER, 0o2750) == (0o2750, [])


def as_nobody(folder: Path, kind: int, mode: int) -> tuple[int, list[str]]:
    """Return the result of `restored` in a process with the rights of nobody."""
    target = Path(tempfile.mkdtemp(prefix="offseed-set-ids-"))
    os.chown(target, NOBODY, NOBODY)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writer, json.dumps(restored(target, mode, kind=kind)).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        found, told = json.loads(answer.read())
    os.waitpid(child, 0)
    subprocess.run(["rm", "-r", str(target)], check=True)
    return found, told
