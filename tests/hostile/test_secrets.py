"""Secrets: none is in arguments, logs, errors, reports or core files, and files with keys are private."""

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
    from seed.home.home import Home

    identity = Home.open(stage.home).identity
    raw = [identity.master_key, identity.private_key]
    return [PASSPHRASE.encode(), *raw, *(r.hex().encode() for r in raw)]


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        ("seed.points.machine_keys", "unlock", ("points", "--vault", "VAULT", "--passphrase-file", "SECRET")),
        (
            "seed.identity.passphrases",
            "change",
            ("key", "change", "--passphrase-file", "SECRET", "--new-passphrase-file", "SECRET"),
        ),
        ("seed.backup.backup", "backup", ("backup",)),
    ],
)
def test_a_fault_tells_no_secret(
    copy_of: Copy, imported: Stage, module: str, function: str, words: tuple[str, ...]
) -> None:
    """Print no secret on the screen, and write none into the log of the fault."""
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
    """Offer no option that takes a passphrase: anybody may read the arguments of a process."""
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
    """Leave no core file, even if the caller of the command has allowed core files."""
    stage = copy_of(opened)
    stage.command = prepared(CORES)
    backup(stage, small_tree)
    assert (stage.folder / "limits").read_text() == "0"


def test_the_home_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage")
    stage.importer_home = stage.folder / "above" / "importer-home"
    stage.command = prepared("import os; os.umask(0)")
    stage.create_vault()
    stage.issue()
    stage.register()
    stage.run("seed", "key", "show")
    stage.run("importer", "points", "--vault", stage.at)
    homes = [stage.home, stage.importer_home.parent]
    modes = {p: p.stat().st_mode & 0o077 for home in homes for p in [home, *home.rglob("*")]}
    assert [p for p in modes if p.is_file() and p.is_relative_to(stage.importer_home)]
    assert not [p for p, mode in modes.items() if mode], modes


def test_not_every_user_may_write_what_a_command_makes_whatever_the_umask(tmp_path: Path) -> None:
    """Keep other users from writing into the vault, or into a timer that root's systemd reads."""
    stage = Stage(tmp_path / "stage")
    stage.command = prepared("import os; os.umask(0)")
    stage.create_vault()
    stage.issue()
    stage.register()
    stage.run("seed", "schedule", "set", "--daily", "09:00")
    stage.run("seed", "schedule", "install", "--to", stage.folder / "units")
    made = [p for p in stage.folder.rglob("*") if p != stage.disk]
    assert {p.suffix for p in made if p.parent == stage.folder / "units"} == {".service", ".timer"}
    assert not [p for p in made if p.stat().st_mode & 0o002]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_that_others_can_read_is_told_of(copy_of: Copy, bare: Stage, mode: int) -> None:
    """Warn of a secret that others can read, and take it all the same.

    The files on a FAT stick, from which a user may restore, cannot be closed to others.
    """
    stage = copy_of(bare)
    stage.write_secret()
    stage.secret.chmod(0o600)
    stage.credential.chmod(0o600)
    words = (
        "register",
        "--credential",
        stage.credential,
        "--name",
        "web1",
        "--passphrase-file",
        stage.secret,
    )
    assert "can read" not in stage.run("seed", *words, "--vault", stage.at).stderr
    stage.secret.chmod(mode)
    told = stage.run("seed", "key", "show", "--passphrase-file", stage.secret).stderr
    assert f"other users can read {stage.secret}" in told
    stage.credential.chmod(mode)
    stage.home = stage.folder / "another-home"
    told = stage.run("seed", *("web2" if w == "web1" else w for w in words), "--vault", stage.at).stderr
    assert f"other users can read {stage.credential}" in told
    assert f"other users can read {stage.secret}" in told
