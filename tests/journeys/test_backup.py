"""Backups over the network, which send only changes, on top of disks that may still be on their way."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.facilities import LoopDisk
from tests.journeys import moments, trees
from tests.journeys.stage import (
    Copy,
    Stage,
    backup,
    below,
    disks,
    kept,
    prepared,
    refused,
    restored,
    snapshot,
    to,
)

assert sys.platform == "linux"

MIB = 1 << 20
FEW = 8 << 10  # bytes that a run without changes may send


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


def test_while_disks_travel_backups_go_on_and_every_point_comes_back(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    seed = stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB", "--json").json
    states = {seed["point"]: kept(source, room, "as exported")}
    stage.run("importer", "import", paths[0], "--vault", stage.at)
    trees.change(source)
    first = backup(stage)
    assert first["promised"], "on disk 2"
    states[first["point"]] = kept(source, room, "as changed")
    second = backup(stage)
    states[second["point"]] = states[first["point"]]
    points = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert [[d["number"] for d in p["awaited_disks"]] for p in points] == [[2], [2], [2]]
    now = restored(stage, second["point"], room, source, code=3)
    missing = {d.split(":")[0] for d in trees.differences(source, now)}
    assert 0 < len(missing) < 200, "what came by the network, and what disk 1 brought, is there"
    assert (now / "added/new.txt").read_bytes() == b"new\n"
    stage.run("importer", "import", paths[1], "--vault", stage.at)
    points = stage.run("seed", "points", "--vault", stage.at, "--json").json
    assert [p["complete"] for p in points] == [True, True, True]
    for point, state in states.items():
        assert trees.differences(state, restored(stage, point, room, source)) == []


def test_only_what_changed_is_sent(copy_of: Copy, opened: Stage, source: Path, room: Path) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    trees.change(source)
    (source / "large").rename(source / "renamed")
    with open(source / "many/1/1.txt", "ab") as file:
        file.write(trees.incompressible(1000, 1))
    done = backup(stage)
    assert int(str(done["archive_bytes"])) < 5 * MIB, "the chunks around one byte of a large file, and rows"
    assert trees.differences(source, restored(stage, done["point"], room, source)) == []


def test_a_moved_folder_sends_rows_only(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    (source / "many").rename(source / "elsewhere")
    shutil.copytree(source / "elsewhere/1", source / "a copy")
    done = backup(stage)
    assert int(str(done["archive_bytes"])) < 64 << 10
    assert done["archives"] == 1, "of the catalog"


def test_a_run_that_was_killed_is_gone_on_with(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    source = trees.long_tree(room / "long", files=24)
    for count in (1, 7):
        kill = moments.at("placed", signal.SIGKILL, stage.vault, nth=count)
        moments.killed(stage, kill, "seed", "backup", source)
    sent = len(archives(stage))
    assert sent >= 8
    done = backup(stage, source)
    total = int(str(done["file_bytes"]))
    # Small files wait for 64 MiB of others before they are sealed, and so do all rows behind them.
    # A run that was killed before that has journalled no row.
    assert int(str(done["read_bytes"])) < total - (sent - 3) * 16 * MIB, "what was sent is not read again"
    assert trees.differences(source, restored(stage, done["point"], room, source)) == []
    assert not (stage.home / "run/sent").exists()


# Frequent partial points, killed after one that holds some of the large files.
KILLED_WITHIN = """
import os, signal, seed.backup.backup as backup
backup.PARTIAL_EVERY, commit = 0.02, backup._commit
def committed(work, before, catalogued, kind):
    commit(work, before, catalogued, kind)
    if catalogued.files > 64:
        os.kill(os.getpid(), signal.SIGKILL)
backup._commit = committed
"""


def test_a_long_run_puts_partial_points_and_goes_on_from_them_without_its_home(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    stage = copy_of(opened)
    source = trees.long_tree(room / "long")
    identity = (stage.home / "identity.json").read_bytes()
    plain, stage.command = stage.command, prepared(KILLED_WITHIN)
    stage.run("seed", "backup", source, code=-signal.SIGKILL)
    stage.command = plain
    points = stage.run("seed", "points", "--json").json
    assert {(p["kind"], p["complete"]) for p in points} == {("partial", True)}
    assert trees.differences(source, restored(stage, points[-1]["point"], room, source)) != []
    shutil.rmtree(stage.home)
    stage.home.mkdir(mode=0o700)
    (stage.home / "identity.json").write_bytes(identity)
    (stage.home / "state.json").write_text("{}")
    done = backup(stage, source)
    assert int(str(done["kept_bytes"])) > 0, "what the last partial point has is not read again"
    assert trees.differences(source, restored(stage, done["point"], room, source)) == []
    latest = stage.run("seed", "points", "--json").json[-1]
    assert (latest["kind"], latest["sequence"]) == ("incremental", points[-1]["sequence"] + 1)


def test_what_travels_on_disks_is_not_sent_though_the_source_was_empty_for_once(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    """Send no data that travel on disks, even if the source was once empty.

    The points wait for the disk, and become complete after its import.
    """
    stage = copy_of(opened)
    stage.export(source)
    aside = room / "aside"
    source.rename(aside)
    source.mkdir()
    backup(stage, source, code=3)
    backup(stage, code=3)
    source.rmdir()
    aside.rename(source)
    (source / "moved").mkdir()
    (source / "many/1").rename(source / "moved/1")
    done = backup(stage)
    assert int(str(done["archive_bytes"])) < MIB // 4
    assert int(str(done["read_bytes"])) < MIB // 4, "only what was moved is opened"
    stage.import_()
    points = stage.run("seed", "points", "--json").json
    assert [p["complete"] for p in points] == [True] * 4
    assert trees.differences(source, restored(stage, done["point"], room, source)) == []


def archives(stage: Stage) -> list[Path]:
    return [p for p in (stage.vault / "archives").rglob("*") if p.is_file() and len(p.name) == 64]


def test_a_vault_that_lost_archives_is_noticed_and_gets_them_again(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    largest = max(archives(stage), key=lambda p: p.stat().st_size)
    largest.unlink()
    done = backup(stage, code=3)
    assert [f["code"] for f in done["findings"]] == ["vault-lost"]  # type: ignore[attr-defined]
    assert trees.differences(source, restored(stage, done["point"], room, source)) == []
    points = stage.run("seed", "points", "--json").json
    assert [p["complete"] for p in points] == [False, True], (
        "what is lost to the first is the importer's to repair"
    )


def test_a_vault_that_lies_is_noticed_before_it_is_built_upon(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    for path in archives(stage):
        path.write_bytes(bytes(path.stat().st_size))
    done = backup(stage, code=3)
    assert "vault-lost" in {f["code"] for f in done["findings"]}  # type: ignore[attr-defined]
    assert int(str(done["read_bytes"])) > 20 * MIB


def test_a_vault_that_was_rolled_back_is_told_of_again(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    old = kept(stage.vault, room, "old vault")
    trees.change(source)
    second = backup(stage)
    shutil.rmtree(stage.vault)
    old.rename(stage.vault)
    third = backup(stage, code=3)
    assert "vault-lost" in {f["code"] for f in third["findings"]}  # type: ignore[attr-defined]
    assert trees.differences(source, restored(stage, third["point"], room, source)) == []
    assert second["point"] in [p["point"] for p in stage.run("seed", "points", "--json").json]


def test_without_its_cache_the_home_goes_on_from_the_vault(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    stage.export(source)
    stage.import_()
    shutil.rmtree(stage.home / "sets")
    shutil.rmtree(stage.home / "cache", ignore_errors=True)
    done = backup(stage, source)
    assert (done["read_bytes"], done["sequence"]) == (0, 2)
    shutil.rmtree(stage.home / "cache")
    assert backup(stage)["read_bytes"] == 0


def test_what_was_left_out_once_is_left_out_again(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    whole = backup(stage, source, "--once")
    some = stage.run("seed", "export", source, "--to", stage.disk, "--exclude", "*.txt", "--json").json
    assert some["files"] < int(str(whole["files"])) - 200
    assert backup(stage)["files"] == some["files"]
    less = backup(stage, source, "--exclude", "large")
    assert int(str(less["files"])) == some["files"] - 3
    assert backup(stage)["files"] == less["files"]


def test_a_vault_that_was_made_again_opens_by_the_passphrase(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    shutil.rmtree(stage.vault)
    stage.run("importer", "vault", "recreate", "Backups", "--at", stage.at, "--region", "here")
    backup(stage, code=3)
    access = ("--vault", stage.at, "--passphrase-file", stage.secret)
    stage.restore(room / "restored", *access, home=room / "none")
    assert trees.differences(source, below(room / "restored", source)) == []


def test_a_vault_inside_the_source_is_not_backed_up(copy_of: Copy, opened: Stage) -> None:
    stage = copy_of(opened)
    trees.small_file(stage.folder / "some/file", b"text")
    first = backup(stage, stage.folder)
    backup(stage)
    again = backup(stage)
    assert again["files"] == first["files"]
    assert int(str(again["archive_bytes"])) < FEW, "the times of the home's own folder"


def test_one_time_other_items_do_not_cost_the_usual_ones(
    copy_of: Copy, opened: Stage, source: Path, small_tree: Path
) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    backup(stage, small_tree, "--once")
    done = backup(stage)
    assert (done["read_bytes"], done["kept_bytes"]) == (0, done["file_bytes"])
    assert int(str(done["archive_bytes"])) < 64 << 10, "rows of folders above, where others work meanwhile"


def test_an_item_that_is_gone_is_said(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    source.rename(source.with_name("elsewhere"))
    refused(stage.run("seed", "backup", "--json", code=2), "path-not-found")


def test_one_item_that_is_gone_does_not_cost_the_others(
    copy_of: Copy, opened: Stage, room: Path, source: Path
) -> None:
    stage = copy_of(opened)
    gone = trees.small_tree(room / "gone")
    backup(stage, source, gone)
    shutil.rmtree(gone)
    (source / "changed").write_text("after")
    done = backup(stage, code=3)
    told = {f["code"]: (f["subject"], f["detail"]) for f in done["findings"]}  # type: ignore[attr-defined]
    assert told.keys() == {"source-unreadable", "item-doubted"}
    assert told["source-unreadable"] == (
        str(gone),
        "nothing of this path is backed up: No such file or directory",
    )
    assert told["item-doubted"][0] == str(gone)
    back = stage.folder / "back"
    stage.run("seed", "restore", f"latest:{source}", "--target", back)
    assert (back / "changed").read_text() == "after"
    backup(stage, source, gone, code=3)
    missing = stage.run("seed", "backup", source, room / "typo", "--once", "--json", code=2)
    assert refused(missing, "path-not-found").json["error"]["subject"] == str(room / "typo")


def test_what_came_once_is_promised_by_no_disk(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    """Send archives again if the vault went back to a time before the import.

    The disk was erased, because both sides had allowed it.
    """
    stage = copy_of(opened)
    stage.export(source)
    old = kept(stage.vault, room, "old vault")
    stage.import_()
    backup(stage)
    shutil.rmtree(stage.disk)
    shutil.rmtree(stage.vault)
    old.rename(stage.vault)
    done = backup(stage, code=3)
    assert done["promised"] == 0
    assert trees.differences(source, restored(stage, done["point"], room, source)) == []


@pytest.mark.needs("root")
def test_a_file_system_mounted_as_another_device_is_unchanged(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    folders = [room / name for name in ("upper", "work", "merged")]
    for folder in folders:
        folder.mkdir()
    upper, work, merged = folders
    words = ["-o", f"lowerdir={source},upperdir={upper},workdir={work}", str(merged)]

    def mounted() -> int:
        if subprocess.run(["mount", "-t", "overlay", "overlay", *words], check=False).returncode:
            pytest.skip("no overlay file system here")
        return os.stat(merged).st_dev

    numbers = []
    other = room / "other"
    other.mkdir()
    try:
        numbers.append(mounted())
        first = backup(stage, merged)
        subprocess.run(["umount", merged], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", other], check=True)  # takes the free number
        numbers.append(mounted())
        again = backup(stage)
    finally:
        subprocess.run(["umount", merged], check=False)
        subprocess.run(["umount", other], check=False)
    assert numbers[0] != numbers[1]
    assert (again["files"], again["read_bytes"]) == (first["files"], 0)


FEW_HANDLES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
"""


def test_sixty_four_handles_are_enough(copy_of: Copy, opened: Stage, room: Path) -> None:
    stage = copy_of(opened)
    top = room / "deep"
    trees.small_file(top / "/".join(["d"] * 100) / "file", b"deep")
    for number in range(1500):
        trees.small_file(top / f"{number}", b"%d" % number)
    stage.command = prepared(FEW_HANDLES)
    assert backup(stage, top)["files"] == 1501
    back = restored(stage, "latest", room, top)
    assert trees.differences(top, back) == []
    assert stage.export(top)["files"] == 1501


REWRITES = """
from seed.pipeline.pipeline import Pipeline
finish = Pipeline.finish
def finish_and_rewrite(self):
    catalogued = finish(self)
    with open({path!r}, "r+b") as file:
        file.write(b"after ")
    return catalogued
Pipeline.finish = finish_and_rewrite
"""


@pytest.mark.needs("exfat")
def test_a_file_written_again_within_the_tick_of_its_time_is_read_again(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    """Read a file again that was rewritten within one tick of its time.

    The catalog records the doubt, not the home: so a rebuilt home also reads the file again.
    """
    stage = copy_of(opened)
    (room / "loop").mkdir()
    disk = LoopDisk(room / "loop", 16 << 20, "exfat")
    disk.mount()
    try:
        path = disk.path / "file"
        as_it_is, rewriting = stage.command, prepared(REWRITES.format(path=str(path)))
        for _ in range(20):  # until both writes fall into one tick of two seconds
            path.write_bytes(b"before")
            status = path.stat()
            stage.command = rewriting
            backup(stage, disk.path)
            if path.stat().st_ctime_ns == status.st_ctime_ns:
                break
        assert path.stat().st_ctime_ns == status.st_ctime_ns
        stage.command = as_it_is
        stage.run("seed", "ls", "latest", "--parquet", room / "rows.parquet")
        rows = {row["path"]: row["ctime"] for row in parquet.read_table(room / "rows.parquet").to_pylist()}
        assert rows[str(path)] == datetime.fromtimestamp(0, UTC)
        assert backup(stage)["read_bytes"] == 6
        stage.run("seed", "restore", f"latest:{path}", "--target", room / "back")
    finally:
        disk.unmount()
    assert next(p for p in (room / "back").rglob("*") if p.is_file()).read_bytes() == b"after "


def test_a_vault_out_of_reach_is_said(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    stage.vault.rename(stage.folder / "away")
    refused(stage.run("seed", "backup", source, "--json", code=1), "store-missing")
    (stage.folder / "away").rename(stage.vault)
    backup(stage, source)


def test_a_backup_changes_nothing_but_vault_and_home(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    before = snapshot(source)
    backup(stage, source)
    assert snapshot(source) == before


def test_an_unfinished_export_is_not_sent_over_the_network(
    copy_of: Copy, opened: Stage, source: Path
) -> None:
    stage = copy_of(opened)
    stage.export(source, "--use-at-most", "8MiB", code=4)
    refused(stage.run("seed", "backup", "--json", code=2), "export-unfinished")
    stage.run("seed", "set", "abandon")
    assert backup(stage)["archives"]


def test_what_is_left_out_from_now_on_is_said(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    backup(stage, source)
    done = stage.run("seed", "backup", "--exclude", "*.txt")
    assert "remembered" in done.stderr
    assert "remembered" not in stage.run("seed", "backup", "--exclude", "*.txt").stderr


def test_a_byte_order_mark_changes_no_pattern(copy_of: Copy, opened: Stage, room: Path) -> None:
    """Read patterns behind a byte order mark and with CRLF line ends, as some editors write them."""
    stage = copy_of(opened)
    (room / "files").mkdir()
    for name in ("a", "a.log", "b.tmp"):
        (room / "files" / name).write_text(name)
    patterns = room / "patterns"
    patterns.write_bytes("\ufeff*.log\r\n*.tmp\r\n".encode())
    stage.run("seed", "backup", room / "files", "--exclude-from", patterns)
    listed = stage.run("seed", "ls", "latest", "--json").lines
    assert [Path(row["path"]).name for row in listed if row["type"] == "file"] == ["a"]
    patterns.write_bytes("*.log\n".encode("utf-16"))
    refused(stage.run("seed", "backup", "--exclude-from", patterns, "--json", code=2), "usage")
