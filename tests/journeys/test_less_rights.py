"""The same commands for a user without rights: they skip and list unreadable files, and keep the rest whole.

Run as the user `nobody`, by a Python that this user can run.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats import layout
from formats.ids import HexDigest, MachineId
from tests.commands import Forks
from tests.journeys import moments, trees
from tests.journeys.stage import NOBODY, Stage, as_nobody, below, refused

assert sys.platform == "linux"

pytestmark = pytest.mark.needs("root")

SHOWN = 10


@pytest.fixture(scope="module")
def commons() -> Iterator[Path]:
    """Yield a folder that the user `nobody` may enter and write, unlike the folders of the tests."""
    path = Path(tempfile.mkdtemp(prefix="offseed-nobody-"))
    os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def registered(commons: Path) -> Stage:
    """Return a stage that belongs to the user `nobody`."""
    stage = Stage(commons / "registered")
    stage.write_secret()
    own(commons)
    stage.command = as_nobody
    stage.open()
    return stage


@pytest.fixture
def common(commons: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=commons))
    os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def nobody(registered: Stage, common: Path) -> Stage:
    """Return a stage that runs every command as the user `nobody`."""
    stage = registered.copy(common / "stage")
    stage.command = as_nobody
    return stage


def own(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def test_what_may_not_be_read_is_counted_and_listed(nobody: Stage, common: Path) -> None:
    source = common / "source"
    trees.small_tree(source)
    closed = [source / f"closed {number:02}" for number in range(12)]
    for path in closed:
        path.write_bytes(b"of root")
        path.chmod(0o600)
    (source / "closed folder").mkdir(0o700)
    (source / "closed folder" / "inside").write_bytes(b"unseen")

    told = nobody.run("seed", "export", source, "--to", nobody.disk, code=3)
    assert "with warnings: 13 × source-unreadable" in told.stderr
    assert told.stderr.count("  source-unreadable: ") == SHOWN
    assert "and 3 more; --verbose shows all" in told.stderr
    assert "Export finished" in told.stdout

    again = nobody.run("seed", "export", source, "--to", nobody.disk, "--again", "--verbose", code=3)
    assert again.stderr.count("source-unreadable: ") == 13
    listed = nobody.export(source, "--again", code=3)
    assert {(f["code"], f["subject"]) for f in listed["findings"]} == {
        ("source-unreadable", str(path)) for path in (*closed, source / "closed folder")
    }

    nobody.import_()
    nobody.restore(common / "restored", "--vault", nobody.at)
    times = {folder: folder.stat().st_mtime_ns for folder in (source, source / "closed folder")}
    for path in (*closed, source / "closed folder" / "inside"):
        path.unlink()
    for folder, time in times.items():
        os.utime(folder, ns=(time, time))
    assert trees.differences(source, below(common / "restored", source), owner=False) == []


@pytest.fixture
def sealed(nobody: Stage, common: Path) -> Path:
    """Return a backed-up tree of folders where the user `nobody` may not write."""
    source = common / "sealed"
    for name in ("one", "two"):
        trees.small_file(source / name / "deeper" / "file", os.fsencode(name))
    own(source)
    for folder in (*source.rglob("deeper"), *source.iterdir(), source):
        folder.chmod(0o555)
    nobody.export(source)
    return source


@pytest.mark.parametrize("mode", [0o555, 0o300, 0o000], ids=oct)
def test_what_lacks_in_closed_folders_of_ones_own_is_brought_back(
    nobody: Stage, common: Path, sealed: Path, mode: int
) -> None:
    back = common / "back"
    words = (f"latest:{sealed}", "--target", back, "--from", nobody.disk, "--json")
    nobody.run("seed", "restore", *words)
    modes = {path: path.lstat().st_mode for path in (back, *back.rglob("*"))}
    (back / "one/deeper/file").unlink()
    (back / "two/deeper/file").unlink()
    (back / "two/deeper").rmdir()
    (back / "one/deeper").chmod(mode)
    again = nobody.run("seed", "restore", *words).json
    assert (again["files"], again["folders"], again["findings"]) == (2, 1, [])
    assert {path: path.lstat().st_mode for path in modes} == modes
    assert [(back / name / "deeper/file").read_bytes() for name in ("one", "two")] == [b"one", b"two"]


def test_a_stopped_restore_leaves_folders_as_closed_as_they_were(
    nobody: Stage, common: Path, sealed: Path
) -> None:
    words = (f"latest:{sealed}", "--target", common / "back", "--from", nobody.disk)
    nobody.run("seed", "restore", *words, code=None)
    (common / "back/one/deeper/file").unlink()
    with moments.using(nobody, Forks(STOPPED, NOBODY)):
        nobody.run("seed", "restore", *words, code=130)
    assert (common / "back").stat().st_mode & 0o7777 == 0o555
    assert (common / "back/one/deeper").stat().st_mode & 0o7777 == 0o555


STOPPED = """
from formats.errors import Interrupted
from seed.restore.tree.system import TreeWriter
def stop(*words):
    raise Interrupted(2)
TreeWriter.settle = stop
"""


def test_a_dry_run_opens_no_folder_up(nobody: Stage, common: Path, sealed: Path) -> None:
    words = (f"latest:{sealed}", "--target", common / "back", "--from", nobody.disk)
    nobody.run("seed", "restore", *words, code=None)
    before = {path: path.lstat().st_ctime_ns for path in (common / "back", *(common / "back").rglob("*"))}
    for more in (("--dry-run",), ("--dry-run", "--compare", "content")):
        nobody.run("seed", "restore", *words, *more, code=None)
    assert {path: path.lstat().st_ctime_ns for path in before} == before


def test_owners_that_cannot_be_given_are_a_notice_and_no_warning(nobody: Stage, common: Path) -> None:
    source = trees.small_tree(common / "source")
    nobody.export(source)
    told = nobody.run("seed", "restore", "latest", "--from", nobody.disk, "--target", common / "restored")
    assert "note: owners were not restored" in told.stderr
    assert {p.stat().st_uid for p in (common / "restored").rglob("*")} == {NOBODY}
    assert trees.differences(source, below(common / "restored", source), owner=False) == []


def test_read_only_files_and_folders_of_ones_own_come_back_whole(nobody: Stage, common: Path) -> None:
    source = common / "source"
    (source / "fixed").mkdir(parents=True)
    for path in (source / "fixed" / "file", source / "plain"):
        path.write_bytes(b"read-only")
        os.setxattr(path, "user.kept", b"yes\0")
        path.chmod(0o444)
    os.mkfifo(source / "fifo")
    (source / "fixed").chmod(0o555)
    own(source)
    nobody.export(source)
    for _ in range(2):
        done = nobody.restore(common / "restored", "--from", nobody.disk)
    assert done["findings"] == []
    assert trees.differences(source, below(common / "restored", source)) == []


def test_devices_are_left_out_with_a_notice(nobody: Stage, common: Path) -> None:
    source = common / "source"
    source.mkdir()
    try:
        os.mknod(source / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices can be made here")
    (source / "file").write_bytes(b"x")
    nobody.export(source)
    told = nobody.run("seed", "restore", "latest", "--from", nobody.disk, "--target", common / "restored")
    assert "note: devices were left out" in told.stderr
    assert [p.name for p in below(common / "restored", source).iterdir()] == ["file"]


def test_files_of_root_are_refused_by_name(nobody: Stage, common: Path) -> None:
    credential = nobody.issue(common / "closed.credential")
    os.chown(credential, 0, 0)
    words = ("register", "--credential", credential, "--json")
    home = {"SEED_HOME": common / "new"}
    refused(nobody.run("seed", *words, code=1, **home), "credential-unreadable")
    closed = common / "closed"
    closed.mkdir(0o700)
    for program, arguments, code in (
        ("seed", ("export", common / "stage", "--to", nobody.disk), "home-damaged"),
        ("importer", ("vault", "create", "Oh", "--at", common / "v", "--region", "x"), "home-damaged"),
    ):
        where = {"SEED_HOME": closed / "home", "IMPORTER_HOME": closed / "home"}
        refused(nobody.run(program, *arguments, "--json", code=1, **where), code)
    assert not (common / "v").exists()


def test_a_disk_a_vault_and_a_target_of_root_are_refused(
    nobody: Stage, common: Path, exported: Stage
) -> None:
    closed = common / "closed"
    closed.mkdir(0o755)
    source = trees.small_tree(common / "source")
    words = ("export", source, "--to", closed, "--json")
    refused(nobody.run("seed", *words, code=1), "denied")
    nobody.export(source)
    where = ("--from", nobody.disk, "--target", closed / "new")
    refused(nobody.run("seed", "restore", "latest", *where, "--json", code=1), "denied")
    for path in (nobody.vault, *nobody.vault.rglob("*")):
        os.chown(path, 0, 0)
    words = ("import", nobody.disk, "--vault", nobody.vault, "--json")
    refused(nobody.run("importer", *words, code=1), "denied")


@pytest.mark.parametrize("name", ["sets", "identity.json"])
def test_a_home_that_may_not_be_read_is_no_fault_of_ours(nobody: Stage, common: Path, name: str) -> None:
    trees.small_tree(common / "source")
    nobody.export(common / "source")
    closed = nobody.home / name
    os.chown(closed, 0, 0)
    closed.chmod(0o700)

    result = nobody.run("seed", "status", "--json", code=1)
    error = result.json["error"]
    assert error["code"] in ("denied", "home-damaged")
    assert error["subject"].startswith(str(closed))
    refused(result, error["code"])


def test_what_others_closed_in_a_vault_stops_nobody(nobody: Stage, common: Path) -> None:
    """Go on if a vault holds closed folders of root in every free place, and an unreadable object."""
    source = common / "source"
    trees.small_tree(source)
    own(source)
    nobody.run("seed", "backup", source)
    nobody.run("importer", "machines", "list", "--vault", nobody.at)
    machine = next((nobody.vault / "manifests").iterdir()).name
    closed = [
        f"{prefix}/{'57' * 16}"
        for prefix in ("manifests", "sets", "slots", "disks", "terms", "policies", "custody")
    ]
    closed += [f"archives/{n:02x}" for n in range(256) if not (nobody.vault / f"archives/{n:02x}").exists()][
        :3
    ]
    for name in (*closed, "shipments"):
        (nobody.vault / name).parent.mkdir(exist_ok=True)
        own((nobody.vault / name).parent)
        (nobody.vault / name).mkdir(mode=0)
    for name in (f"manifests/{machine}/0000000099-{'57' * 32}", f"slots/{machine}/0000000099-{'57' * 32}"):
        (nobody.vault / name).write_bytes(b"secret of root")
        (nobody.vault / name).chmod(0)
    commands = {
        ("seed", "points"): (0, 3),
        ("seed", "backup"): (0, 3),
        ("seed", "restore", "latest", "--target", common / "back"): (0, 3),
        ("seed", "repair"): (0, 3),
        ("importer", "points"): (0, 3),
        ("importer", "status"): (0, 3),
        ("importer", "jobs"): (0, 3),
        ("importer", "prune"): (0, 3),
        ("importer", "validate"): (3,),
    }
    for words, codes in commands.items():
        result = nobody.run(*map(str, words), "--vault", nobody.at, code=None)
        assert result.code in codes, (result.stderr, result)
    back = below(common / "back", source)
    assert {path.relative_to(back) for path in back.rglob("*")} == {
        p.relative_to(source) for p in source.rglob("*")
    }
    told = nobody.run("importer", "validate", "--set-aside", "--vault", nobody.at, "--json", code=3).json
    assert {*closed, "shipments"} <= {finding["subject"] for finding in told["findings"]}
    assert all((nobody.vault / name).is_dir() for name in closed)


def test_a_closed_file_in_anothers_folder_stays_and_is_told(nobody: Stage) -> None:
    """Report a closed file in another user's folder and go on: the validation cannot move it away."""
    machine = "01" * 16
    closed = Path(nobody.at) / layout.numbered(
        layout.policy_prefix(MachineId(machine)), 1, HexDigest("ab" * 32)
    )
    closed.parent.mkdir(parents=True)
    closed.write_bytes(b"junk")
    closed.chmod(0)
    done = nobody.run("importer", "validate", "--set-aside", "--vault", nobody.at, "--json", code=3).json
    (finding,) = done["findings"]
    assert "cannot be moved away: access is denied" in finding["detail"]
    assert closed.exists()
