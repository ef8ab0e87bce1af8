"""A disk that will never come: what it held is sent again as far as the source has it, and what is lost is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, backup, below, disks, refused, to
from tests.journeys.test_backup import kept, restored, stored

assert sys.platform == "linux"


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


@pytest.fixture
def halved(copy_of: Copy, opened: Stage, source: Path) -> Stage:
    """A seed over two disks, of which the first has come; nothing of the second is anywhere any more."""
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB")
    stage.run("importer", "import", paths[0], "--vault", stage.vault)
    shutil.rmtree(paths[1])
    return stage


def the_set(stage: Stage) -> str:
    (found,) = stage.run("seed", "status", "--json").json["sets"]
    name: str = found["set"]
    return name


def resend(stage: Stage, *arguments: object, code: int = 0) -> Any:
    words = ("seed", "resend", f"{the_set(stage)[:8]}/2", *arguments, "--json")
    return stage.run(*words, code=code).json


def points(stage: Stage, program: str = "importer") -> list[Any]:
    found: list[Any] = stage.run(program, "points", "--vault", stage.vault, "--json").json
    return found


def test_what_the_source_still_has_makes_every_point_whole(halved: Stage, source: Path, room: Path) -> None:
    seeded = points(halved)[-1]["point"]
    assert not points(halved)[-1]["complete"]
    state = kept(source, room, "as exported")
    done = resend(halved)
    assert done["revised"] == [seeded]
    assert done["lost_files"] == 0
    assert done["archive_bytes"] > 0
    for program in ("importer", "seed"):
        found = points(halved, program)
        assert [(p["complete"], p["lost_files"], p["awaited_disks"]) for p in found] == [(True, 0, [])] * 2
        assert found[0]["point"] == seeded
    for point in (seeded, done["point"]):
        assert trees.differences(state, restored(halved, point, room, source)) == []
    numbers = [
        d["number"]
        for d in halved.run("importer", "status", "--vault", halved.vault, "--json").json[0]["sets"][0][
            "disks"
        ]
    ]
    assert numbers == [1], "the vault waits for it no longer"


def test_what_is_lost_is_named_and_the_rest_comes_back(halved: Stage, source: Path, room: Path) -> None:
    seeded = points(halved)[-1]["point"]
    was = kept(source, room, "as exported")
    waiting = restored(halved, seeded, room, source, code=3)
    on_disk_2 = [
        Path(os.path.relpath(folder, was)) / name
        for folder, _, names in os.walk(was)
        for name in names
        if (Path(folder) / name).is_file() and (Path(folder) / name).stat().st_size
        and not (waiting / os.path.relpath(folder, was) / name).exists()
    ]  # fmt: skip
    gone, edited = on_disk_2[:7], on_disk_2[7:12]
    for name in gone:
        (source / name).unlink()
    for name in edited:
        (source / name).write_bytes(b"other")
    done = resend(halved, code=3)
    named = {f["subject"] for f in done["findings"]}
    assert named == {f"{source}/{name}" for name in (*gone, *edited)}
    assert {f["code"] for f in done["findings"]} == {"content-lost"}
    first, last = points(halved)
    assert (first["complete"], first["lost_files"]) == (True, 12)
    assert (last["complete"], last["lost_files"]) == (True, 0)
    for name in (*gone, *edited):
        (was / name).unlink()
    shutil.rmtree(below(room / f"of {seeded[:8]} 3", Path("/")), ignore_errors=True)
    came = restored(halved, seeded, room, source, code=3)
    found = trees.differences(was, came)
    # The folders' own times came back as they were; ours were touched by the unlinking.
    assert [d for d in found if (was / d.split(":")[0]).is_file()] == []
    assert not any((came / name).exists() for name in (*gone, *edited))
    assert trees.differences(source, restored(halved, last["point"], room, source)) == []


def test_said_again_it_does_nothing_more(halved: Stage) -> None:
    resend(halved)
    before = {name for name in stored(halved) if name.startswith(("archives", "sets"))}
    done = resend(halved)
    assert done["revised"] == []
    assert {name for name in stored(halved) if name.startswith(("archives", "sets"))} == before


def test_to_a_further_disk(halved: Stage, source: Path, room: Path) -> None:
    state = kept(source, room, "as exported")
    further = halved.folder / "further"
    further.mkdir()
    done = resend(halved, "--to", further)
    assert done["added_disks"] == [3]
    found = points(halved)
    assert [[d["number"] for d in p["awaited_disks"]] for p in found] == [[3], [3]]
    status = halved.run("importer", "status", "--vault", halved.vault, "--json").json
    assert [d["number"] for d in status[0]["sets"][0]["disks"]] == [1, 3]
    more = backup(halved)
    assert more["promised"], "on disk 3"
    halved.run("importer", "inspect", further)
    said = halved.run("importer", "import", further, "--vault", halved.vault).stdout
    assert "may be erased" in said
    assert [p["complete"] for p in points(halved)] == [True] * 3
    for point in points(halved):
        assert trees.differences(state, restored(halved, point["point"], room, source)) == []


def test_a_disk_given_up_that_comes_after_all_does_no_harm(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB")
    stage.run("importer", "import", paths[0], "--vault", stage.vault)
    resend(stage)
    said = stage.run("importer", "import", paths[1], "--vault", stage.vault).stdout
    assert "may be erased" in said
    for point in points(stage):
        assert point["complete"]
        assert trees.differences(source, restored(stage, point["point"], room, source)) == []


def test_killed_it_goes_on(halved: Stage, source: Path, room: Path) -> None:
    """Killed by the second manifest that it puts: the new point is there, the old one is not revised yet."""
    words = (
        "strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=renameat2",
        "-e", "inject=renameat2:signal=SIGKILL:when=%d",
    )  # fmt: skip
    state = kept(source, room, "as exported")
    name = f"{the_set(halved)[:8]}/2"
    plain = halved.command
    for when in range(3, 40, 4):
        halved.command = lambda program, when=when: (
            *(w % when if "%d" in w else w for w in words),
            *plain(program),
        )  # type: ignore[misc]
        done = halved.run("seed", "resend", name, code=None)
        if done.code == 0:
            break
    halved.command = plain
    halved.run("seed", "resend", name)
    found = points(halved)
    assert all(p["complete"] and not p["lost_files"] for p in found)
    for point in found:
        assert trees.differences(state, restored(halved, point["point"], room, source)) == []


def test_what_cannot_be_given_up_is_said(halved: Stage, copy_of: Copy, opened: Stage, source: Path) -> None:
    name = the_set(halved)
    for words, code in (
        ((f"{name}/1",), "usage"),  # it has arrived
        ((f"{name}/9",), "usage"),
        ((name,), "usage"),
        ((f"{name}/2", "ffff/2"), "usage"),
        (("00ff/2",), "set-unknown"),
    ):
        refused(halved.run("seed", "resend", *words, "--json", code=2), code)
    subprocess.run(["rm", "-rf", "--", str(source)], check=True)
    done = resend(halved, code=3)
    assert done["point"] is None
    assert done["lost_files"] > 0
