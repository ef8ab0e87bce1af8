"""Kinds of files that `odd_tree` cannot hold: too deep for a path, mounted, sparse beyond any disk.

The tree lies on a file system in memory, which keeps every time and large attributes.
Other file systems are mounted in it. The story restores from the vault and from the disk into another one.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LoopDisks
from tests.journeys import moments, trees
from tests.journeys.stage import NOBODY, Copy, Stage, as_nobody, below, prepared

assert sys.platform == "linux"

GIB = 1 << 30
QUICK = 10.0  # seconds of processors: to read 100 GB of holes takes twice that on the fastest machine

PARTS = (
    "deep in short steps",
    "deep in long steps",
    "sparse",
    "times",
    "attributes",
    "bound folder",
    "bound file",
    "bound ancestor",
    "mounted",
    "closed",
    "devices",
    "linked",
)
FIXED = ("immutable", "append only", "immutable folder", "immutable folder/inside")


class Mounts(ExitStack):
    """Mounts for a while, which are unmounted in the reverse order."""

    def memory(self, path: Path, *options: str) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        return self._mount(path, "-t", "tmpfs", "none", *options)

    def bind(self, source: Path, path: Path) -> Path:
        return self._mount(path, "--bind", str(source))

    def kernel(self, kind: str, path: Path) -> Path:
        path.mkdir()
        return self._mount(path, "-t", kind, "none")

    def _mount(self, path: Path, *arguments: str) -> Path:
        subprocess.run(["mount", *arguments, str(path)], check=True)
        self.callback(subprocess.run, ["umount", "-l", str(path)], check=False)
        return path


@pytest.fixture(scope="module")
def mounts() -> Iterator[Mounts]:
    with Mounts() as stack:
        yield stack


@pytest.fixture(scope="module")
def strange(ground: Path, mounts: Mounts) -> Path:
    root = mounts.memory(ground / "strange")
    builders: Sequence[Callable[[Path], None]] = (deep, sparse, times, attributes, closed, devices, linked)
    for build in builders:
        build(root)
    (root / "mounted").mkdir()
    within = mounts.memory(root / "mounted" / "here")
    trees.small_tree(within / "tree")
    os.link(within / "tree" / "run.sh", within / "run.sh")
    for name in ("bound folder", "bound ancestor/loop"):
        (root / name).mkdir(parents=True)
    (root / "bound file").write_bytes(b"covered")
    mounts.bind(root / "linked", root / "bound folder")
    mounts.bind(root / "linked" / "first", root / "bound file")
    mounts.bind(root / "bound ancestor", root / "bound ancestor" / "loop")
    mounts.kernel("proc", root / "proc")
    return root


@pytest.fixture(scope="module")
def fixed(ground: Path) -> Iterator[Path]:
    """Yield a folder of files that even root cannot change."""
    root = ground / "fixed"
    for name in ("immutable", "append only", "immutable folder/inside"):
        trees.small_file(root / name, os.fsencode(name))
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["chattr", "-R", "-i", "-a", str(root)], check=False)
        for flag, name in (("+i", FIXED[0]), ("+a", FIXED[1]), ("+i", FIXED[3]), ("+i", FIXED[2])):
            done = subprocess.run(["chattr", flag, str(root / name)], capture_output=True, check=False)
            if done.returncode:
                pytest.skip(f"NOT TESTED: this file system has no such flag: {done.stderr!r}")
        yield root


def deep(root: Path) -> None:
    for kind, names in (("short", [b"d"] * 2500), ("long", [b"%03d" % n + b"n" * 252 for n in range(40)])):
        top = root / f"deep in {kind} steps"
        handle = trees.deep_folder(top, names)
        for name in ("file", "e" * 255):
            with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=handle), "wb") as file:
                file.write(name.encode())
        os.setxattr(f"/proc/self/fd/{handle}/file", "user.deep", b"down\0here")
        os.symlink("file", "link", dir_fd=handle)
        os.mkfifo("fifo", dir_fd=handle)
        os.link(f"/proc/self/fd/{handle}/file", top / "the same")
        os.close(handle)


def sparse(root: Path) -> None:
    folder = root / "sparse"
    folder.mkdir()
    kinds = {
        "nothing": (),
        "at the end": (100 * GIB - 4096,),
        "scattered": range(0, 100 * GIB, 100 * GIB // 256),
    }
    for name, offsets in kinds.items():
        with (folder / name).open("wb") as file:
            file.truncate(100 * GIB)
            for offset in offsets:
                file.seek(offset)
                file.write(os.urandom(4096))


def times(root: Path) -> None:
    folder = root / "times"
    folder.mkdir()
    day = 86400 * trees.SECOND
    for name, moment in {"2500": 530 * 365 * day + 1, "1900": -70 * 365 * day - 1, "just before": -1}.items():
        (folder / name).write_bytes(b"x")
        os.link(folder / name, folder / f"{name} too")
        (folder / f"folder {name}").mkdir()
        os.symlink(name, folder / f"link {name}")
        for one in (name, f"folder {name}", f"link {name}"):
            os.utime(folder / one, ns=(moment, moment), follow_symlinks=False)


def attributes(root: Path) -> None:
    file = trees.small_file(root / "attributes", b"x")
    for name, value in (
        ("trusted.nul", b"\0a\0"),
        ("trusted.large", os.urandom(60_000)),
        ("trusted.none", b""),
    ):
        os.setxattr(file, name, value)


def closed(root: Path) -> None:
    trees.small_file(root / "closed" / "inside", b"x").chmod(0)
    (root / "closed").chmod(0)


def devices(root: Path) -> None:
    folder = root / "devices"
    folder.mkdir()
    os.mkfifo(folder / "fifo", 0o600)
    for number in range(3):
        with suppress(PermissionError):  # not permitted in every container
            os.mknod(folder / f"null {number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))


def linked(root: Path) -> None:
    first = trees.small_file(root / "linked" / "first", b"linked\n")
    os.link(first, root / "linked" / "second")


# At its end the command writes the processor time of itself and its helpers: other load does not count.
MEASURED = """
import atexit, resource
from pathlib import Path
def measure():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    Path({path!r}).write_text(str(sum(one.ru_utime + one.ru_stime for one in used)))
atexit.register(measure)
"""


def measured(stage: Stage, path: Path, *words: object) -> tuple[Any, float]:
    """Run a command, and return the document that it prints and its seconds of processor time."""
    with moments.using(stage, prepared(MEASURED.format(path=str(path)))):
        done = stage.run(*map(str, words), "--json").json
    return done, float(path.read_text())


@dataclass(frozen=True)
class Played:
    stage: Stage
    exported: dict[str, object]
    seconds: float


@pytest.fixture(scope="module")
def played(ground: Path, opened: Stage, strange: Path, fixed: Path) -> Played:
    stage = opened.copy(ground / "every kind")
    done, seconds = measured(stage, ground / "seconds", "seed", "export", strange, fixed, "--to", stage.disk)
    stage.import_()
    return Played(stage, done, seconds)


@pytest.fixture(scope="module", params=["vault", "disk"])
def back(request: pytest.FixtureRequest, played: Played, ground: Path, mounts: Mounts) -> tuple[Path, float]:
    """Restore onto another file system in memory; return the folder and the seconds of processor time."""
    stage = played.stage
    target = mounts.memory(ground / f"from {request.param}")
    source = ("--vault", stage.at) if request.param == "vault" else ("--from", stage.disk)
    words = ("seed", "restore", "latest", *source, "--target", target)
    done, seconds = measured(stage, ground / "seconds", *words)
    assert (done["findings"], done["failed"], done["left_alone"]) == ([], 0, 0)
    return target, seconds


pytestmark = pytest.mark.needs("root")


def test_nothing_is_found_amiss_and_nothing_is_read_of_holes(played: Played) -> None:
    assert played.exported["findings"] == []
    assert played.seconds < QUICK


@pytest.mark.parametrize("part", PARTS)
def test_every_kind_comes_back(back: tuple[Path, float], strange: Path, part: str) -> None:
    assert trees.differences(strange / part, below(back[0], strange) / part) == []
    assert back[1] < QUICK


def test_files_that_may_not_change_come_back_as_files_that_may(back: tuple[Path, float], fixed: Path) -> None:
    restored = below(back[0], fixed)
    assert trees.differences(fixed, restored) == []
    for name in FIXED:
        (restored / name).rename(restored / f"{name} moved")
        (restored / f"{name} moved").rename(restored / name)


def test_what_the_kernel_makes_up_is_left_out(back: tuple[Path, float], strange: Path) -> None:
    assert list((strange / "proc").iterdir())
    assert not list((below(back[0], strange) / "proc").iterdir())


def test_a_kernel_file_system_that_is_named_itself_is_left_out(copy_of: Copy, opened: Stage) -> None:
    stage = copy_of(opened)
    told = stage.run("seed", "export", "/proc", "--to", stage.disk)
    assert told.stderr.count("note: left out: everything below /proc (kernel file system proc)") == 1


def test_a_folder_of_a_hundred_thousand_files_comes_back(
    copy_of: Copy, opened: Stage, ground: Path, mounts: Mounts
) -> None:
    room = mounts.memory(ground / "very many")
    source = room / "source"
    source.mkdir()
    handle = os.open(source, os.O_RDONLY)
    for number in range(100_000):
        os.close(os.open(f"file {number}", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=handle))
    os.close(handle)
    (source / "file 77777").write_bytes(b"not empty")
    stage = copy_of(opened)
    assert stage.export(source)["files"] == 100_000
    assert stage.restore(room / "restored", "--from", stage.disk)["files"] == 100_000
    restored = below(room / "restored", source)
    assert set(os.listdir(restored)) == set(os.listdir(source))
    assert (restored / "file 77777").read_bytes() == b"not empty"


@pytest.fixture
def common() -> Iterator[Path]:
    """Yield a folder that every user may enter, unlike the folders of the tests."""
    path = Path(tempfile.mkdtemp(prefix="offseed-kinds-"))
    path.chmod(0o755)
    yield path
    trees.remove(path)


def test_another_user_reads_what_it_may_and_makes_what_it_may(opened: Stage, common: Path) -> None:
    """Report one notice for all devices, and a finding for each closed file, even one with an odd name."""
    source = common / "source"
    source.mkdir()
    devices(source)
    for name in (b"closed \xff\nand odd", b"open"):
        trees.small_file(Path(os.fsdecode(os.fsencode(source) + b"/" + name)), name)
    os.chmod(os.fsencode(source) + b"/closed \xff\nand odd", 0o600)
    closed(source)
    stage = opened.copy(common / "stage")
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(stage.folder)], check=True)
    stage.command = as_nobody
    done = stage.export(source, code=3)
    assert [f["subject"].rpartition("source/")[2] for f in done["findings"]] == [
        "closed",
        "closed \\xff\nand odd",
    ]
    target = common / "stage" / "restored"
    told = stage.run("seed", "restore", "latest", "--from", stage.disk, "--target", target)
    assert told.stderr.count("note: devices were left out") == 1
    restored = below(target, source)
    assert sorted(p.name for p in restored.iterdir()) == ["closed", "devices", "open"]
    assert [p.name for p in (restored / "devices").iterdir()] == ["fifo"]


def test_a_target_of_mounts_and_of_access_lists_of_its_own(
    copy_of: Copy, opened: Stage, room: Path, mounts: Mounts
) -> None:
    """Restore no link across two mounts of one file system, and let restored files inherit no access list."""
    source = room / "source"
    for folder in ("one", "two"):
        linked(source / folder)
    os.unlink(source / "two/linked/first")
    os.link(source / "one/linked/first", source / "two/linked/first")
    stage = copy_of(opened)
    stage.export(source)
    target = room / "target"
    restored = below(target, source)
    (restored / "two").mkdir(parents=True)
    if shutil.which("setfacl"):
        subprocess.run(["setfacl", "-R", "-m", "u:7:rwx,d:u:7:rwx", str(target)], check=True)
    (room / "elsewhere").mkdir()
    mounts.bind(room / "elsewhere", restored / "two")
    done = stage.restore(target, "--from", stage.disk, code=3)
    (finding,) = done["findings"]
    assert finding["detail"].startswith("restored as a file of its own")
    assert finding["subject"].endswith("two/linked/first")
    assert done["failed"] == 0
    found = trees.differences(source, restored)
    assert [line for line in found if ": links: " not in line] == []
    assert len(found) == 2 + 1


@pytest.mark.needs("exfat")
def test_a_target_that_knows_files_and_folders_only_gets_all_content(
    copy_of: Copy, opened: Stage, room: Path, loop_disk: LoopDisks
) -> None:
    source = trees.small_tree(room / "source")
    os.mkfifo(source / "fifo")
    stage = copy_of(opened)
    stage.export(source)
    target = loop_disk(32 << 20, "exfat")
    done = stage.restore(target, "--from", stage.disk, code=3)
    found = {Path(f["subject"]).name for f in done["findings"]}
    assert found - {"tmp"} == {"fifo", "latest", "run.sh"}  # `tmp`: the tests may lie in a sticky folder
    restored = below(target, source)
    lost = [
        line
        for line in trees.differences(source, restored, owner=False)
        if ": content:" in line or "missing" in line
    ]
    assert lost == ["missing: b'fifo'", "missing: b'latest'"]
