"""Power cuts during a restore, or right after "restored": every file that is there is whole.

Each time the file system shuts down without a flush of data.
Its journal is lost too, or reaches the disk first.
So ext4 and xfs meet an immediate cut and also a cut some seconds later.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.effort import seeded
from tests.facilities import LoopDisk
from tests.journeys import devices, moments, trees
from tests.journeys.stage import Copy, Result, Stage, backup, below, prepared

assert sys.platform == "linux"

pytestmark = pytest.mark.needs("root", "loop", "xfs")

MIB = devices.MIB
SIZE = 320 * MIB  # xfs has no smaller file systems
FILES = 300

# At the n-th such step the process cuts the power of the target, and ends as if with it, or goes on.
CUT = """
import fcntl, os, shutil
import seed.restore.file_writer as contents, seed.restore.parallel as sharing, seed.restore.tree.posix as posix
from itertools import count
sharing.FILES_MIN = {least}
calls, disk = count(1), os.open({disk!r}, os.O_RDONLY)
def cutting(step):
    def stepping(*words):
        if next(calls) == {nth}:
            {deed}
        return step(*words)
    return stepping
owner, name = {{
    "write": (contents.FileWriter, "_write_chunk"),
    "flush": (posix, "make_durable"),
    "name": (posix, "give_name"),
    "folder": (posix.TreeWriter, "finish_folder"),
}}[{step!r}]
setattr(owner, name, cutting(getattr(owner, name)))
"""

SHUT_DOWN = 'fcntl.ioctl(disk, {shutdown}, ({journal}).to_bytes(4, "little"))'
END = "; os._exit(9)"
STEPS = {"write": 4, "flush": 2, "name": FILES, "folder": 12}
LOST, WRITTEN = 2, 1  # the two fates of the journal


def tree(root: Path) -> Path:
    for number in range(FILES):
        trees.small_file(root / f"{number % 10}" / f"{number}", os.urandom(20 + 97 * number))
    (root / "empty").touch()
    (root / "large").write_bytes(os.urandom(3 * MIB))
    with (root / "holes").open("wb") as file:
        file.truncate(4 * MIB)
        file.seek(MIB)
        file.write(os.urandom(MIB))
    os.link(root / "1/1", root / "linked")
    os.symlink("large", root / "pointing")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def saved(opened: Stage, copy_of: Copy, room: Path) -> tuple[Stage, Path]:
    """Return a stage, and the tree that is backed up in it."""
    stage, source = copy_of(opened), tree(room / "source")
    backup(stage, source)
    return stage, source


def wrong(source: Path, target: Path) -> list[str]:
    """Return the files under their own names with a content that differs from the source."""
    found = [p for p in below(target, source).rglob("*") if p.is_file() and not p.is_symlink()]
    return [
        str(p)
        for p in found
        if p.read_bytes() != (source / p.relative_to(below(target, source))).read_bytes()
    ]


def struck(stage: Stage, disk: LoopDisk, step: str, nth: int, deed: str, least: int = 1_000) -> Result:
    """Restore onto a disk, and run this code at the n-th step."""
    prelude = CUT.format(step=step, nth=nth, deed=deed, least=least, disk=str(disk.path))
    with moments.using(stage, prepared(prelude)):
        words = ("restore", "latest", "--vault", stage.at, "--target", disk.path / "back")
        return stage.run("seed", *words, code=None)


def cut(stage: Stage, disk: LoopDisk, step: str, nth: int, journal: int, *, least: int = 1_000) -> bool:
    """Restore onto a disk, cut its power at the n-th step or at the end, and mount it again.

    Return whether the cut came before the end.
    """
    deed = SHUT_DOWN.format(shutdown=devices.SHUTDOWN, journal=journal) + END
    in_the_middle = struck(stage, disk, step, nth, deed, least).code != 0
    if not in_the_middle:
        devices.cut_power(disk.path, journal=journal)
    devices.mend(disk)
    return in_the_middle


def check(stage: Stage, source: Path, disk: LoopDisk) -> None:
    """Check that all present files are whole, and that the next restore adds the rest without a finding."""
    target = disk.path / "back"
    assert wrong(source, target) == []
    done = stage.restore(target, "--vault", stage.at)
    assert (done["failed"], done["left_alone"], done["findings"]) == (0, 0, [])
    assert trees.differences(source, below(target, source)) == []
    assert [p for p in target.iterdir() if p.name.startswith(".offseed")] == []


@pytest.mark.parametrize("journal", [LOST, WRITTEN])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_is_said_to_be_restored_is_on_the_disk(
    saved: tuple[Stage, Path], rack: devices.Rack, kind: str, journal: int
) -> None:
    stage, source = saved
    disk = rack.disk(SIZE, kind)
    done = stage.restore(disk.path / "back", "--vault", stage.at)
    devices.cut_power(disk.path, journal=journal)
    devices.mend(disk)
    assert trees.differences(source, below(disk.path / "back", source)) == []
    again = stage.restore(disk.path / "back", "--vault", stage.at)
    assert again["same"] == done["files"] + done["folders"] + done["others"]


@pytest.mark.parametrize(
    ("kind", "step", "nth", "journal"),
    [
        ("ext4", "name", FILES // 2, WRITTEN),
        ("ext4", "flush", 1, WRITTEN),
        ("xfs", "name", FILES // 2, WRITTEN),
        ("xfs", "folder", 3, LOST),
    ],
)
def test_what_has_its_name_when_the_power_fails_is_whole(
    saved: tuple[Stage, Path], rack: devices.Rack, kind: str, step: str, nth: int, journal: int
) -> None:
    stage, source = saved
    disk = rack.disk(SIZE, kind)
    assert cut(stage, disk, step, nth, journal)
    check(stage, source, disk)


@pytest.mark.parametrize("step", ["write", "flush", "name", "folder"])
def test_a_target_that_goes_in_the_middle_ends_the_restore(
    saved: tuple[Stage, Path], rack: devices.Rack, step: str
) -> None:
    """End the restore with an I/O error, and say neither "Restored" nor a fault of the program."""
    stage, source = saved
    disk = rack.disk(SIZE, "ext4")
    deed = SHUT_DOWN.format(shutdown=devices.SHUTDOWN, journal=LOST)
    done = struck(stage, disk, step, 1, deed)
    assert done.code == 1, done
    assert "[io-error]" in done.stderr
    assert "Restored" not in done.stdout
    devices.mend(disk)
    check(stage, source, disk)


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.needs(k)) for k in ("exfat", "ntfs")])
@pytest.mark.parametrize("step", ["name", "end"])
def test_behind_fuse_too_what_has_its_name_is_whole(
    saved: tuple[Stage, Path], rack: devices.Rack, kind: str, step: str
) -> None:
    """Keep every named file whole behind FUSE too.

    A copy of the device at that moment shows the result of a power cut: the story mounts the copy.
    """
    stage, source = saved
    disk, copy = rack.disk(64 * MIB, kind), rack.disk(64 * MIB, kind)
    copy.unmount()
    words = f"shutil.copyfile({str(disk.image)!r}, {str(copy.image)!r})"
    if step == "end":
        stage.run("seed", "restore", "latest", "--vault", stage.at, "--target", disk.path / "back", code=None)
        shutil.copyfile(disk.image, copy.image)
    else:
        assert struck(stage, disk, step, FILES // 2, words + END).code == 9
    copy.mount()
    assert wrong(source, copy.path / "back") == []
    if step == "end":
        back = below(copy.path / "back", source)
        lacking = [
            p for p in source.rglob("*") if p.is_file() and not (back / p.relative_to(source)).exists()
        ]
        assert [p for p in lacking if not p.is_symlink()] == []


@pytest.mark.nightly
@pytest.mark.parametrize("least", [1_000, 2], ids=["one process", "forks"])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_the_power_fails_again_and_again(
    saved: tuple[Stage, Path], rack: devices.Rack, kind: str, least: int
) -> None:
    """Keep all files whole through ten cuts at random moments on one disk, also files already there."""
    stage, source = saved
    disk, draw = rack.disk(SIZE, kind), seeded()
    for _ in range(10):
        step = draw.choice([*STEPS])
        cut(stage, disk, step, draw.randint(1, STEPS[step]), draw.choice([LOST, WRITTEN]), least=least)
        assert wrong(source, disk.path / "back") == []
        for path in below(disk.path / "back", source).rglob("*"):
            if path.is_file() and path.lstat().st_nlink == 1 and draw.random() < 0.5:
                path.unlink()  # so that the next restore has something to write
    check(stage, source, disk)
