"""The same command again: it reports finished work, resumes stopped work, and does nothing twice.

After Ctrl-C or a kill at any moment, the same command completes.
The restored tree is then equal to the source.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.commands import Program
from tests.effort import seeded
from tests.journeys import moments, trees
from tests.journeys.stage import Copy, Result, Stage, below, ended, prepared, snapshot

assert sys.platform == "linux"


def test_a_finished_export_says_so_and_reads_nothing(exported: Stage, small_tree: Path) -> None:
    before = snapshot(exported.disk)
    for paths in ((small_tree,), ()):
        again = exported.export(*paths)
        assert (again["already"], again["read_bytes"], again["written_bytes"]) == (True, 0, 0)
    text = exported.run("seed", "export", "--to", exported.disk).stdout
    assert text.startswith("The export was finished ")
    assert snapshot(exported.disk) == before


def test_a_finished_export_needs_its_source_no_more(copy_of: Copy, opened: Stage, room: Path) -> None:
    source = trees.small_tree(room / "source")
    stage = copy_of(opened)
    stage.export(source)
    shutil.rmtree(source)
    assert stage.export()["already"]


def test_the_second_import_changes_nothing_in_the_vault(copy_of: Copy, imported: Stage) -> None:
    stage = copy_of(imported)
    before = snapshot(stage.vault)
    for _ in range(2):
        again = stage.import_()
        assert [(d["unchanged"], d["copied"], d["may_be_erased"]) for d in again["disks"]] == [
            (True, 0, True)
        ]
    assert snapshot(stage.vault) == before


def test_again_begins_a_new_set_beside_the_old_one(
    copy_of: Copy, imported: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(imported)
    second = stage.export(small_tree, "--again")
    assert (second["already"], second["resumed"], second["sequence"]) == (False, False, 2)
    assert len(list((stage.disk / "offseed").iterdir())) == 2
    done = stage.import_()
    assert sorted((d["unchanged"], d["copied"] > 0, d["may_be_erased"]) for d in done["disks"]) == [
        (False, True, True),
        (True, False, True),
    ]
    points = stage.run("seed", "points", "--vault", stage.at, "--json").json
    assert [p["sequence"] for p in points] == [1, 2]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def archives(stage: Stage) -> int:
    return sum(1 for p in (stage.disk / "offseed").glob("*/archives/*/*"))


def struck(stage: Stage, moment: moments.Moment, number: int, *, prefix: str = "archives/") -> Program:
    """Build the commands with a signal at the first such moment of an object on the disk."""
    return moments.at(moment, number, stage.disk, prefix=prefix)


def interrupt(stage: Stage, source: Path, moment: moments.Moment, *, prefix: str = "archives/") -> Result:
    """Run an export that is interrupted at this moment."""
    with moments.using(stage, struck(stage, moment, signal.SIGINT, prefix=prefix)):
        return stage.run("seed", "export", source, "--to", stage.disk, code=130)


def test_a_stopped_export_can_be_shipped_and_goes_on(
    copy_of: Copy, opened: Stage, long_tree: Path, room: Path
) -> None:
    stage = copy_of(opened)
    stopped = interrupt(stage, long_tree, "placed")
    assert "stopping" in stopped.stderr
    assert "[interrupted]" in stopped.stderr

    looked = stage.run("importer", "inspect", stage.disk)
    assert "the set goes on" in looked.stdout
    early = stage.import_()
    assert [(d["copied"], d["findings"]) for d in early["disks"]] == [(archives(stage), 0)]
    assert stage.run("importer", "points", "--vault", stage.at, "--json").json == []

    stored = sum(p.stat().st_size for p in stage.objects("archives"))
    finished = stage.export(long_tree)
    assert finished["resumed"]
    file = (long_tree / "m/00.bin").stat().st_size
    assert finished["kept_bytes"] // file >= stored // file, "no file that is whole on the disk is read again"
    assert finished["read_bytes"] + finished["kept_bytes"] <= finished["file_bytes"]
    done = stage.import_()
    assert [(d["already"] >= early["disks"][0]["copied"], d["may_be_erased"]) for d in done["disks"]] == [
        (True, True)
    ]
    points = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert [(p["point"], p["complete"]) for p in points] == [(finished["point"], True)]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_as_cleanly(
    copy_of: Copy, opened: Stage, long_tree: Path, number: signal.Signals
) -> None:
    stage = copy_of(opened)
    with moments.using(stage, struck(stage, "asked", number)):
        stage.run("seed", "export", long_tree, "--to", stage.disk, code=128 + number)
    assert stage.run("importer", "inspect", stage.disk, "--json").json["disks"][0]["closed"]


def test_an_export_whose_helpers_are_killed_says_so_and_goes_on(
    copy_of: Copy, opened: Stage, long_tree: Path, room: Path
) -> None:
    """Report killed helpers and go on at the next run: a system short of memory kills helpers."""
    stage = copy_of(opened)
    with moments.using(stage, struck(stage, "asked", signal.SIGSTOP)):
        running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    with moments.stopped(running):
        children = psutil.Process(running.pid).children()
        assert children, "nothing is read by another process"
        for child in children:
            child.kill()
    done = ended(running)
    assert done.code == 1
    assert "worker-ended" in done.stderr
    assert "run the same command again" in done.stderr
    assert stage.export(long_tree)["resumed"]
    stage.restore(room / "restored", "--from", stage.disk)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []


def test_killed_again_and_again_an_export_completes(
    copy_of: Copy, opened: Stage, long_tree: Path, room: Path
) -> None:
    stage = copy_of(opened)
    step = seeded().randint(1, moments.STEPS)
    kills = (
        struck(stage, "asked", signal.SIGKILL, prefix="label"),
        struck(stage, "placed", signal.SIGKILL, prefix="label"),
        struck(stage, "writing", signal.SIGKILL),
        moments.at("step", signal.SIGKILL, stage.disk, nth=step),
        struck(stage, "placed", signal.SIGKILL),
    )
    for kill in kills:
        moments.killed(stage, kill, "seed", "export", long_tree, "--to", stage.disk)
    finished = stage.export(long_tree)
    looked = stage.run("importer", "inspect", stage.disk, "--json").json
    assert [(d["finished"], d["findings"]) for d in looked["disks"]] == [(True, 0)], looked["findings"]
    done = stage.import_()
    assert [(d["may_be_erased"], d["findings"]) for d in done["disks"]] == [(True, 0)]
    written = sum(p.stat().st_size for p in stage.objects("archives"))
    assert written - finished["archive_bytes"] <= len(kills) * (64 << 20), (
        "more than one archive twice for a kill"
    )
    stage.restore(room / "restored", "--from", stage.disk)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []


def test_an_archive_that_the_journal_missed_is_no_surprise_to_the_importer(
    copy_of: Copy, opened: Stage, long_tree: Path
) -> None:
    """Import an archive without its line in the journal: the kill came between the two."""
    stage = copy_of(opened)
    words = ("seed", "export", long_tree, "--to", stage.disk)
    moments.killed(stage, struck(stage, "placed", signal.SIGKILL), *words)
    (journal,) = stage.home.glob("sets/*/disk-1.journal")
    journal.write_bytes(b"")
    stage.export(long_tree)
    assert stage.import_()["disks"][0]["may_be_erased"]


def test_a_disk_that_lost_its_last_archives_is_written_anew(
    copy_of: Copy, opened: Stage, long_tree: Path, room: Path
) -> None:
    """Write lost archives again: the disk's bridge confirmed the newest one, but half of it is gone."""
    stage = copy_of(opened)
    interrupt(stage, long_tree, "placed")
    os.truncate(stage.objects("archives")[0], 1 << 20)
    stage.export(long_tree)
    assert stage.import_()["disks"][0]["may_be_erased"]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []


def test_a_source_that_grew_meanwhile_is_taken_as_it_is_now(copy_of: Copy, opened: Stage, room: Path) -> None:
    source = trees.long_tree(room / "source", files=4)
    stage = copy_of(opened)
    interrupt(stage, source, "placed", prefix="label")
    (source / "new").write_bytes(b"new")
    (source / "m/00.bin").unlink()
    stage.export(source)
    stage.restore(room / "restored", "--from", stage.disk)
    assert trees.differences(source, below(room / "restored", source)) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_or_killed_import_completes(
    copy_of: Copy, wide: Stage, long_tree: Path, number: signal.Signals
) -> None:
    stage = copy_of(wide)
    announced = set(stage.vault.glob("archives/*/*"))
    with moments.using(stage, moments.at("placed", number, stage.vault)):
        code = 130 if number == signal.SIGINT else -number
        stage.run("importer", "import", stage.disk, "--vault", stage.at, code=code)
    assert set(stage.vault.glob("archives/*/*")) - announced
    points = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert [p["complete"] for p in points] == [False]
    (disk,) = stage.import_()["disks"]
    assert (disk["may_be_erased"], disk["already"] > 0, disk["findings"]) == (True, True, 0)
    points = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert [p["complete"] for p in points] == [True]
    assert {p.name for p in stage.vault.glob("archives/*/*")} == {p.name for p in stage.objects("archives")}


def test_two_stations_import_one_disk_at_once(copy_of: Copy, wide: Stage) -> None:
    stage = copy_of(wide)
    both = [stage.start("importer", "import", stage.disk, "--vault", stage.at) for _ in range(2)]
    assert [ended(one).code for one in both] == [0, 0]
    assert stage.run("importer", "points", "--vault", stage.at, "--json").json[0]["complete"]
    assert {p.name for p in stage.vault.glob("archives/*/*")} == {p.name for p in stage.objects("archives")}


def test_the_second_restore_finds_everything_there(exported: Stage, small_tree: Path, room: Path) -> None:
    first = exported.restore(room / "restored", "--from", exported.disk)
    second = exported.restore(room / "restored", "--from", exported.disk)
    assert first["same"] == 0
    assert second["same"] == first["files"] + first["others"] + first["folders"]
    assert (second["files"], second["others"], second["folders"], second["findings"]) == (0, 0, 0, [])
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def test_a_changed_file_is_left_alone_unless_overwrite_is_said(
    exported: Stage, small_tree: Path, room: Path
) -> None:
    target = room / "restored"
    exported.restore(target, "--from", exported.disk)
    changed = below(target, small_tree) / "media/photo.raw"
    changed.write_bytes(b"mine")
    own = below(target, small_tree) / "docs/own"
    own.write_bytes(b"mine too")
    left = exported.restore(target, "--from", exported.disk, code=3)
    assert left["left_alone"] == 1
    assert [f["code"] for f in left["findings"]] == ["target-exists"]
    assert changed.read_bytes() == b"mine"
    over = exported.restore(target, "--from", exported.disk, "--overwrite")
    assert (over["files"], over["left_alone"], over["findings"]) == (1, 0, [])
    assert own.read_bytes() == b"mine too"
    own.unlink()
    shutil.copystat(small_tree / "docs", own.parent)
    assert trees.differences(small_tree, below(target, small_tree)) == []


def test_what_stands_in_the_way_is_replaced_only_on_request(
    exported: Stage, small_tree: Path, room: Path
) -> None:
    """Replace an obstacle only on request: a folder for a file, a file for a folder, or a link elsewhere.

    The restore never writes through them.
    """
    target, elsewhere = room / "restored", room / "elsewhere"
    back = below(target, small_tree)
    elsewhere.mkdir()
    back.mkdir(parents=True)
    (back / "run.sh").mkdir()
    (back / "media").write_bytes(b"a file")
    (back / "docs").symlink_to(elsewhere)
    left = exported.restore(target, "--from", exported.disk, code=3)
    assert {f["code"] for f in left["findings"]} <= {"target-exists", "target-failed", "restore-escape"}
    assert (back / "run.sh").is_dir()
    assert (back / "media").read_bytes() == b"a file"
    exported.restore(target, "--from", exported.disk, "--overwrite")
    assert list(elsewhere.iterdir()) == []
    assert trees.differences(small_tree, back) == []


def test_a_hard_link_is_never_made_to_a_file_that_was_left_alone(
    exported: Stage, small_tree: Path, room: Path
) -> None:
    target = room / "restored"
    exported.restore(target, "--from", exported.disk)
    first, further = (below(target, small_tree) / name for name in ("docs/run-too.sh", "run.sh"))
    first.unlink()
    first.write_bytes(b"mine")
    further.unlink()
    exported.restore(target, "--from", exported.disk, code=3)
    assert first.read_bytes() == b"mine"
    assert not further.exists() or further.read_bytes() == (small_tree / "run.sh").read_bytes()


def restoring(number: int) -> Program:
    """Build the commands with a signal in a restore, at a large file that has got its name, or is whole."""
    method = "publish" if number == signal.SIGKILL else "finish_file"
    return prepared(AT_FILE.format(number=int(number), method=method))


# The step is done for a large file; the thread goes on after the command heard the signal, if it lives.
AT_FILE = """
import os, signal
from formats.shell.console import Console
from seed.restore.tree.system import TreeWriter
step, hear, pipe, left = TreeWriter.{method}, Console._on_signal, os.pipe(), [1]
def step_once(*words):
    step(*words)
    if words[2].endswith(b".bin") and left:
        left.pop()
        os.kill(os.getpid(), {number})
        os.read(pipe[0], 1)
def heard(*words):
    hear(*words)
    os.write(pipe[1], b".")
TreeWriter.{method}, Console._on_signal = step_once, heard
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_or_stopped_restore_completes(
    wide: Stage, long_tree: Path, room: Path, number: signal.Signals
) -> None:
    target = room / "restored"
    with moments.using(wide, restoring(number)):
        code = 130 if number == signal.SIGINT else -number
        wide.run("seed", "restore", "latest", "--from", wide.disk, "--target", target, code=code)
    assert list(target.rglob("*.bin"))
    wide.restore(target, "--from", wide.disk)
    assert trees.differences(long_tree, below(target, long_tree)) == []


def test_two_restores_into_one_folder_at_once(exported: Stage, small_tree: Path, room: Path) -> None:
    """Keep two restores into one folder apart: neither removes the other's files, and each accepts them."""
    words = ("seed", "restore", "latest", "--from", exported.disk, "--target", room / "restored")
    both = [exported.start(*words) for _ in range(2)]
    results = [ended(one) for one in both]
    assert [one.code for one in results] == [0, 0], results
    assert trees.differences(small_tree, below(room / "restored", small_tree)) == []


def test_a_dry_restore_counts_and_writes_nothing(exported: Stage, small_tree: Path, room: Path) -> None:
    planned = exported.restore(room / "restored", "--from", exported.disk, "--dry-run")
    assert not (room / "restored").exists()
    done = exported.restore(room / "restored", "--from", exported.disk)
    assert [planned[k] for k in ("files", "file_bytes", "folders", "others")] == [
        done[k] for k in ("files", "file_bytes", "folders", "others")
    ]
    assert (
        subprocess.run(["test", "-d", str(below(room / "restored", small_tree))], check=False).returncode == 0
    )
