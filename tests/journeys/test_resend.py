"""A disk that will never come: data that the source still has are sent again, and losses are named."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

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
    stored,
    to,
)

assert sys.platform == "linux"

MIB = 1 << 20


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


class Halved(NamedTuple):
    """A seed over two disks, where one came; the small files, on the `lost` disk, are nowhere else."""

    stage: Stage
    lost: int

    @property
    def arrived(self) -> int:
        return 3 - self.lost


@pytest.fixture
def halved(copy_of: Copy, opened: Stage, source: Path, room: Path) -> Halved:
    stage, lost, paths = exported_to_two(copy_of(opened), source, room)
    stage.run("importer", "import", paths[2 - lost], "--vault", stage.at)
    shutil.rmtree(paths[lost - 1])
    return Halved(stage, lost)


def exported_to_two(stage: Stage, source: Path, room: Path) -> tuple[Stage, int, list[Path]]:
    """Export to two disks; return the stage, the number of the disk with the small files, and the paths."""
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB")
    wanted, target = f"latest:{source}/many", room / "tried"
    tried = stage.run("seed", "restore", wanted, "--from", paths[0], "--target", target, code=None)
    return stage, 1 if tried.code == 0 else 2, paths


def the_set(stage: Stage) -> str:
    name: str = stage.run("seed", "status", "--json").json["sets"][0]["set"]
    return name


def resend(halved: Halved, *arguments: object, code: int = 0) -> Any:
    name = f"{the_set(halved.stage)[:8]}/{halved.lost}"
    return halved.stage.run("seed", "resend", name, *arguments, "--json", code=code).json


def points(stage: Stage, program: str = "importer") -> list[Any]:
    found: list[Any] = stage.run(program, "points", "--vault", stage.at, "--json").json
    return found


def test_what_the_source_still_has_makes_every_point_whole(halved: Halved, source: Path, room: Path) -> None:
    seeded = points(halved.stage)[-1]["point"]
    assert not points(halved.stage)[-1]["complete"]
    state = kept(source, room, "as exported")
    done = resend(halved)
    assert done["revised"] == [seeded]
    assert done["lost_files"] == 0
    assert done["archive_bytes"] > 0
    for program in ("importer", "seed"):
        found = points(halved.stage, program)
        assert [(p["complete"], p["lost_files"], p["awaited_disks"]) for p in found] == [(True, 0, [])] * 2
        assert found[0]["point"] == seeded
    for point in (seeded, done["point"]):
        assert trees.differences(state, restored(halved.stage, point, room, source)) == []
    disks = halved.stage.run("importer", "status", "--vault", halved.stage.at, "--json").json[0]["sets"][0][
        "disks"
    ]
    assert {d["number"]: d["given_up"] for d in disks} == {halved.arrived: False, halved.lost: True}


def test_what_is_lost_is_named_and_the_rest_comes_back(halved: Halved, source: Path, room: Path) -> None:
    seeded = points(halved.stage)[-1]["point"]
    was = kept(source, room, "as exported")
    waiting = restored(halved.stage, seeded, room, source, code=3)
    on_it = [
        path.relative_to(was)
        for path in sorted((was / "many").rglob("*.txt"))
        if path.stat().st_nlink == 1 and not (waiting / path.relative_to(was)).exists()
    ]
    gone, edited = on_it[:7], on_it[7:12]
    for name in gone:
        (source / name).unlink()
    for name in edited:
        (source / name).write_bytes(b"other")
    large = [
        p.relative_to(was)
        for p in sorted((was / "large").iterdir())
        if not (waiting / p.relative_to(was)).exists()
    ]
    assert large, "a part of one lay there"
    for name in large:
        (source / name).write_bytes(bytes(8 * MIB))
    edited += large
    done = resend(halved, code=3)
    named = {f["subject"] for f in done["findings"]}
    assert named == {f"{source}/{name}" for name in (*gone, *edited)}
    assert {f["code"] for f in done["findings"]} == {"content-lost"}
    first, last = points(halved.stage)
    assert (first["complete"], first["lost_files"]) == (True, len(gone) + len(edited))
    assert (last["complete"], last["lost_files"]) == (True, 0)
    for name in (*gone, *edited):
        (was / name).unlink()
    shutil.rmtree(below(room / f"of {seeded[:8]} 3", Path("/")), ignore_errors=True)
    came = restored(halved.stage, seeded, room, source, code=3)
    found = trees.differences(was, came)
    # The folders came back with their old times; the deletions changed the times of ours.
    assert [d for d in found if (was / d.split(":")[0]).is_file()] == []
    assert not any((came / name).exists() for name in (*gone, *edited))
    assert trees.differences(source, restored(halved.stage, last["point"], room, source)) == []


def test_said_again_it_does_nothing_more(halved: Halved) -> None:
    resend(halved)
    before = {name for name in stored(halved.stage) if name.startswith(("archives", "sets"))}
    done = resend(halved)
    assert done["revised"] == []
    assert {name for name in stored(halved.stage) if name.startswith(("archives", "sets"))} == before


def test_to_a_further_disk(halved: Halved, source: Path, room: Path) -> None:
    state = kept(source, room, "as exported")
    further = halved.stage.folder / "further"
    further.mkdir()
    done = resend(halved, "--to", further)
    assert done["sent_on"]["disks"] == [1]
    found = points(halved.stage)
    assert [[d["set"] for d in p["awaited_disks"]] for p in found] == [[done["sent_on"]["set"]]] * 2
    status = halved.stage.run("importer", "status", "--vault", halved.stage.at, "--json").json
    assert {s["set"]: [d["number"] for d in s["disks"]] for s in status[0]["sets"]} == {
        done["set"]: [1, 2],
        done["sent_on"]["set"]: [1],
    }
    more = backup(halved.stage)
    assert more["promised"], "on the further disk"
    assert resend(halved, "--to", further)["point"] is None, "once is enough"
    halved.stage.run("seed", "verify", further)
    said = halved.stage.run("importer", "import", further, "--vault", halved.stage.at).stdout
    assert "may be erased" in said
    assert [p["complete"] for p in points(halved.stage)] == [True] * 3
    for point in points(halved.stage):
        assert trees.differences(state, restored(halved.stage, point["point"], room, source)) == []


def test_killed_on_the_way_to_a_further_disk_it_goes_on(halved: Halved, source: Path, room: Path) -> None:
    state = kept(source, room, "as exported")
    further = halved.stage.folder / "further"
    further.mkdir()
    name = f"{the_set(halved.stage)[:8]}/{halved.lost}"
    kill = moments.at("placed", signal.SIGKILL, further)
    moments.killed(halved.stage, kill, "seed", "resend", name, "--to", further)
    refused(halved.stage.run("seed", "export", "--to", further, "--json", code=2), "items-differ")
    done = resend(halved, "--to", further)
    assert done["lost_files"] == 0
    halved.stage.run("importer", "import", further, "--vault", halved.stage.at)
    for point in points(halved.stage):
        assert point["complete"]
        assert trees.differences(state, restored(halved.stage, point["point"], room, source)) == []


def test_a_further_disk_inside_the_source_is_not_read(halved: Halved, source: Path) -> None:
    inside = source / "mnt"
    inside.mkdir()
    resend(halved, "--to", inside)
    assert list(inside.glob("offseed/*/label"))
    refused(halved.stage.run("seed", "find", "label", "--json", code=2), "path-not-found")


def test_what_moved_to_another_item_is_not_lost(halved: Halved, source: Path, room: Path) -> None:
    state = kept(source, room, "as exported")
    (source / "many").rename(room / "elsewhere")
    halved.stage.run("seed", "items", "set", source, room / "elsewhere")
    assert resend(halved)["lost_files"] == 0
    seeded = points(halved.stage)[0]["point"]
    assert trees.differences(state, restored(halved.stage, seeded, room, source)) == []


def test_what_another_point_has_is_not_lost(halved: Halved, source: Path, room: Path) -> None:
    """Keep a file that another point holds.

    The first resend ends after its point. Its data count for the older point, even if the source lost them.
    """
    state = kept(source, room, "as exported")
    plain = halved.stage.command
    halved.stage.command = prepared("import os, seed.repair.resend as r; r.Revision = lambda *_: os._exit(9)")
    name = f"{the_set(halved.stage)[:8]}/{halved.lost}"
    halved.stage.run("seed", "resend", name, code=9)
    halved.stage.command = plain
    shutil.rmtree(source / "many")
    done = resend(halved)
    assert (done["lost_files"], len(done["revised"])) == (0, 1)
    seeded = points(halved.stage)[0]["point"]
    assert trees.differences(state, restored(halved.stage, seeded, room, source)) == []


def test_what_may_come_yet_is_not_lost(copy_of: Copy, opened: Stage, source: Path, room: Path) -> None:
    state = kept(source, room, "as exported")
    stage, lost, paths = exported_to_two(copy_of(opened), source, room)
    shutil.rmtree(source / "large")
    shutil.rmtree(source / "many")
    done = resend(Halved(stage, lost), code=3)
    assert {str(state / f["subject"].removeprefix(f"{source}/")) for f in done["findings"]} >= {
        str(p) for p in (state / "many").rglob("*.txt")
    }
    assert [d["number"] for d in points(stage, "seed")[0]["awaited_disks"]] == [3 - lost]
    stage.run("importer", "import", paths[2 - lost], "--vault", stage.at)
    first = points(stage)[0]
    assert first["complete"]
    assert first["lost_files"] == done["lost_files"]


def test_a_disk_given_up_that_comes_after_all_does_no_harm(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage, lost, paths = exported_to_two(copy_of(opened), source, room)
    stage.run("importer", "import", paths[2 - lost], "--vault", stage.at)
    resend(Halved(stage, lost))
    said = stage.run("importer", "import", paths[lost - 1], "--vault", stage.at).stdout
    assert "may be erased" in said
    for point in points(stage):
        assert point["complete"]
        assert trees.differences(source, restored(stage, point["point"], room, source)) == []


def test_a_disk_that_may_give_back_what_is_lost_is_to_be_kept(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage, lost, paths = exported_to_two(copy_of(opened), source, room)
    before = kept(source, room, "before")
    stage.run("importer", "import", paths[2 - lost], "--vault", stage.at)
    subprocess.run(["rm", "-rf", "--", str(source)], check=True)
    resend(Halved(stage, lost), code=3)
    said = stage.run("importer", "import", paths[lost - 1], "--vault", stage.at).stdout
    assert "KEEP IT: its machine gave it up" in said
    assert "it may be erased" not in said
    machine = stage.run("importer", "status", "--vault", stage.at, "--json").json[0]
    (disk,) = [d for d in machine["sets"][0]["disks"] if d["number"] == lost]
    assert (disk["whole"], disk["may_be_erased"]) == (True, False)
    assert "erasable" not in [step["event"] for step in disk["custody"]]
    target = room / "back"
    stage.run("seed", "restore", "latest", *(w for p in paths for w in ("--from", p)), "--target", target)
    assert trees.differences(before, below(target, source)) == []


def test_what_was_lost_is_taken_back_when_its_disk_comes_after_all(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage, lost, paths = exported_to_two(copy_of(opened), source, room)
    before = kept(source, room, "before")
    stage.run("importer", "import", paths[2 - lost], "--vault", stage.at)
    for path in sorted((source / "many").rglob("*.txt"))[::3]:
        path.unlink()
    files = resend(Halved(stage, lost), code=3)["lost_files"]
    assert files > 0
    seeded = points(stage)[0]["point"]
    assert backup(stage)["taken_back"] == [], "the disk is still on its way"
    assert (
        "KEEP IT: its machine gave it up"
        in stage.run("importer", "import", paths[lost - 1], "--vault", stage.at).stdout
    )
    assert points(stage)[0]["lost_files"] == files
    done = stage.run("seed", "backup", "--json")
    assert done.json["taken_back"] == [{"point": seeded, "files": files}]
    assert f"{files} files of point {seeded[:8]} that counted as lost are back" in done.stderr
    for program in ("importer", "seed"):
        assert {(p["complete"], p["lost_files"]) for p in points(stage, program)} == {(True, 0)}
    assert trees.differences(before, restored(stage, seeded, room, source)) == []
    machine = stage.run("importer", "status", "--vault", stage.at, "--json").json[0]
    assert {d["number"]: d["may_be_erased"] for s in machine["sets"] for d in s["disks"]} == {
        1: True,
        2: True,
    }
    assert stage.run("importer", "import", paths[lost - 1], "--vault", stage.at, "--json").json["disks"][0][
        "may_be_erased"
    ]
    manifests = {name for name in stored(stage) if name.startswith("manifests")}
    assert backup(stage)["taken_back"] == []
    assert len({name for name in stored(stage) if name.startswith("manifests")} - manifests) == 1


@pytest.mark.parametrize("command", ["repair", "resend"])
def test_repair_and_resend_take_it_back_too(
    copy_of: Copy, opened: Stage, source: Path, room: Path, command: str
) -> None:
    stage, lost, paths = exported_to_two(copy_of(opened), source, room)
    stage.run("importer", "import", paths[2 - lost], "--vault", stage.at)
    shutil.rmtree(source / "many")
    halved = Halved(stage, lost)
    files = resend(halved, code=3)["lost_files"]
    stage.run("importer", "import", paths[lost - 1], "--vault", stage.at)
    done = stage.run("seed", "repair", "--json").json if command == "repair" else resend(halved)
    assert [taken["files"] for taken in done["taken_back"]] == [files]
    assert points(stage)[0]["lost_files"] == 0


def test_what_the_datacenter_has_booked_in_is_not_given_up_unasked(halved: Halved) -> None:
    name = f"{the_set(halved.stage)[:8]}/{halved.lost}"
    halved.stage.run("importer", "receive", name, "--vault", halved.stage.at)
    refused(halved.stage.run("seed", "resend", name, "--json", code=2), "disk-booked-in")
    assert halved.stage.run("seed", "resend", name, "--booked-in", "--json").json["lost_files"] == 0
    halved.stage.run("seed", "resend", name)


def test_killed_it_goes_on(halved: Halved, source: Path, room: Path) -> None:
    """Go on after a kill at the second manifest: the new point is there, the old one not yet revised."""
    words = (
        "strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=renameat2",
        "-e", "inject=renameat2:signal=SIGKILL:when=%d",
    )  # fmt: skip
    state = kept(source, room, "as exported")
    name = f"{the_set(halved.stage)[:8]}/{halved.lost}"
    plain = halved.stage.command
    for when in range(3, 40, 4):
        halved.stage.command = lambda program, when=when: (
            *(w % when if "%d" in w else w for w in words),
            *plain(program),
        )  # type: ignore[misc]
        done = halved.stage.run("seed", "resend", name, code=None)
        if done.code == 0:
            break
    halved.stage.command = plain
    halved.stage.run("seed", "resend", name)
    found = points(halved.stage)
    assert all(p["complete"] and not p["lost_files"] for p in found)
    for point in found:
        assert trees.differences(state, restored(halved.stage, point["point"], room, source)) == []


def test_what_cannot_be_given_up_is_said(halved: Halved, source: Path) -> None:
    name = the_set(halved.stage)
    for words, code in (
        ((f"{name}/{halved.arrived}",), "usage"),  # it has arrived
        ((f"{name}/9",), "usage"),
        ((name,), "usage"),
        ((f"{name}/{halved.lost}", "ffff/2"), "usage"),
        (("00ff/2",), "set-unknown"),
    ):
        refused(halved.stage.run("seed", "resend", *words, "--json", code=2), code)
    subprocess.run(["rm", "-rf", "--", str(source)], check=True)
    done = resend(halved, code=3)
    assert done["point"] is None
    assert done["lost_files"] > 0
