"""Attacks on the alarm: an attacker that may create objects cannot hide that a machine is silent."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from formats import layout
from tests.journeys.stage import Copy, Stage, prepared

assert sys.platform == "linux"

DAYS = 10 * 24 * 3600
LATER = f"import time; real = time.time; time.time = lambda: real() + {DAYS}"


def junk(folder: Path) -> Path:
    path = folder / f"9999999999-{'0' * 32}"
    path.write_bytes(b"nothing")
    return path


def a_name_without_a_number(folder: Path) -> Path:
    path = folder / "zzz"
    path.write_bytes(b"nothing")
    return path


def a_copy_of_its_last(folder: Path) -> Path:
    (last,) = sorted(folder.iterdir())[-1:]
    path = folder / f"9999999999-{last.name[11:]}"
    shutil.copy(last, path)
    return path


JUNK: dict[str, Callable[[Path], Path]] = {
    "junk": junk,
    "a name without a number": a_name_without_a_number,
    "a copy of its last manifest": a_copy_of_its_last,
}


@pytest.mark.parametrize("kind", JUNK)
def test_junk_under_a_machines_names_does_not_pass_for_a_backup(
    copy_of: Copy, imported: Stage, kind: str
) -> None:
    stage = copy_of(imported)
    (folder,) = (stage.vault / "manifests").iterdir()
    assert layout.number_of(next(folder.iterdir()).name) == 1
    stage.command = prepared(LATER)
    now = JUNK[kind](folder).stat().st_mtime + DAYS
    os.utime(max(folder.iterdir()), (now, now))
    stage.run("importer", "notify", "set", "--on", "stale", "--days", "2")
    (event,) = stage.run("importer", "notify", "check", "--json", code=3, IMPORTER_VAULT=stage.at).json
    assert event["event"] == "stale"
    assert event["name"].startswith("web1")
