"""No secret in argv, logs, errors, reports, core files; what holds keys is for its owner alone."""

import resource
import sys
from pathlib import Path

import pytest

from tests.journeys.stage import PASSPHRASE, Copy, Stage, backup, prepared

assert sys.platform == "linux"

FALL = """
import {module} as m
def fall(*_, **__):
    raise RuntimeError("a fault of ours")
m.{function} = fall
"""


def everything(*folders: Path) -> bytes:
    return b"\0".join(
        p.read_bytes() for folder in folders if folder.exists() for p in folder.rglob("*") if p.is_file()
    )


def secrets_of(stage: Stage) -> list[bytes]:
    from seed.home import Home

    identity = Home.open(stage.home).identity
    raw = [identity.master_key, identity.private_key]
    return [PASSPHRASE.encode(), *raw, *(r.hex().encode() for r in raw)]


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        ("seed.machines", "unlock", ("points", "--vault", "VAULT", "--passphrase-file", "SECRET")),
        (
            "seed.keys",
            "change",
            ("key", "change", "--passphrase-file", "SECRET", "--new-passphrase-file", "SECRET"),
        ),
        ("seed.backup", "backup", ("backup",)),
    ],
)
def test_a_fault_tells_no_secret(
    copy_of: Copy, imported: Stage, module: str, function: str, words: tuple[str, ...]
) -> None:
    """Not on the screen, not in the log that is kept of it."""
    import subprocess

    stage = copy_of(imported)
    stage.write_secret()
    given = [stage.at if w == "VAULT" else str(stage.secret) if w == "SECRET" else w for w in words]
    program = prepared(FALL.format(module=module, function=function))("seed")
    home = stage.home
    done = subprocess.run(
        [*program, *given], env=stage.environment({}), cwd=stage.folder, capture_output=True, check=False
    )
    assert done.returncode == 1, done
    assert b"[internal]" in done.stderr, "the test must have met its fault"
    logged = everything(home / "logs")
    assert b"a fault of ours" in logged
    for secret in secrets_of(stage):
        assert secret not in done.stdout + done.stderr + logged


def test_a_passphrase_is_taken_from_no_argument(opened: Stage) -> None:
    """Anybody may read the arguments of a process: there is no option that takes one."""
    for words in (("register",), ("restore",), ("key", "change"), ("key", "add"), ("points",), ("verify",)):
        shown = opened.run("seed", *words, "--help").stdout
        assert "--passphrase " not in shown
        assert "--password " not in shown


CORES = """
import atexit, resource
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
atexit.register(lambda: open("limits", "w").write(str(resource.getrlimit(resource.RLIMIT_CORE)[0])))
"""


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="NOT TESTED: no core files allowed here"
)
def test_no_core_file_is_left_by_what_holds_keys(copy_of: Copy, opened: Stage, small_tree: Path) -> None:
    """Whoever starts the command may have allowed them."""
    stage = copy_of(opened)
    stage.command = prepared(CORES)
    backup(stage, small_tree)
    assert (stage.folder / "limits").read_text() == "0"


def test_the_home_is_for_its_owner_alone_whatever_the_umask(copy_of: Copy, bare: Stage) -> None:
    stage = copy_of(bare)
    stage.command = prepared("import os; os.umask(0)")
    stage.register()
    stage.run("seed", "key", "show")
    modes = {p: p.stat().st_mode & 0o077 for p in [stage.home, *stage.home.rglob("*")]}
    assert not [p for p, mode in modes.items() if mode], modes
    files = [p for p in stage.importer_home.rglob("*") if p.is_file()]
    assert files
    assert not [p for p in files if p.stat().st_mode & 0o077]
