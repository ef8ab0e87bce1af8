"""A restored program runs with its owner's rights only where that owner could be restored."""

import os
import stat
import sys
from pathlib import Path

import pytest

from formats.keyed.catalog import FILE, Entry
from formats.monitor import Tally
from seed.tree.system import TreeWriter

if sys.platform == "win32":
    pytest.skip("trees are not written on Windows yet", allow_module_level=True)

SET_IDS = [0o4755, 0o2755, 0o6755]


def restored(target: Path, mode: int) -> tuple[int, list[str]]:
    """Return the mode of a file that is restored with this one, and what is told about it."""
    told = Tally()
    tree = TreeWriter(str(target), told, overwrite=False)
    entry = Entry(b"program", FILE, mode=mode, uid=os.geteuid(), gid=os.getegid())
    new = tree.open_file(entry.path)
    tree.finish_file(entry, entry.path, new)
    tree.publish(new, entry.path, None)
    tree.close()
    assert told.findings == []
    return stat.S_IMODE((target / "program").stat().st_mode), told.notices


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
