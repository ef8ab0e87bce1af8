"""A source that changes all the time: files grow, shrink, vanish and change their kind under the reader.

Threads change it while the real command reads, or the command changes it itself at chosen moments.
The export always ends with 0, or with 3 and a list. Untouched files stay equal bit for bit.
The restore returns the entries of the catalog.
"""

import itertools
import os
import random
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.commands import installed
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below

assert sys.platform == "linux"

MIB = 1 << 20
ROUNDS = 2
REST = 0.0005  # seconds between two changes, so that the reader also makes progress
NAMES = 60
# Between two exports most of the bytes may go.
KNOWN = {"source-changed", "source-unreadable", "source-xattrs", "item-doubted"}


def grow(folder: Path, turn: int) -> None:
    path = folder / f"log {turn % 3}"
    with path.open("ab") as file:
        file.write(b"one more line\n" * (1 + turn % 5000))
    if path.stat().st_size > 8 * MIB:
        os.truncate(path, 100_000)


def shrink(folder: Path, turn: int) -> None:
    path = folder / f"shrinks {turn % 5}"
    if turn // 5 % 2:
        os.truncate(path, random.choice((0, 1, 5000, 300_000, 3 * MIB)))
    else:
        path.write_bytes(trees.incompressible(4 * MIB if turn % 2 else 200_000, turn % 3))


def rewrite(folder: Path, turn: int) -> None:
    """Write in place, so that size and inode stay."""
    path = folder / f"database {turn % 2}"
    path.touch()
    with path.open("rb+") as file:
        file.seek(turn * 4096 % (6 * MIB))
        file.write(os.urandom(4096))


def punch(folder: Path, turn: int) -> None:
    """Write a sparse file, and move its holes and its end."""
    with (folder / "sparse").open("ab") as file:
        size = random.choice((0, 1 << 20, 1 << 30, 5 << 30))
        os.ftruncate(file.fileno(), size)
        for _ in range(turn % 20):
            os.ftruncate(file.fileno(), size := size + random.randrange(1, 1 << 24))
            file.write(b"data at the end")
            file.flush()


def vanish(folder: Path, turn: int) -> None:
    path = folder / str(turn % NAMES)
    path.write_bytes(b"here for a moment")
    (folder / str((turn + NAMES // 2) % NAMES)).unlink(missing_ok=True)


def replace(folder: Path, turn: int) -> None:
    """Replace a file by rename, as editors and databases do."""
    temporary = folder / ".new"
    temporary.write_bytes(b"saved %d\n" % turn * (turn % 3000))
    temporary.rename(folder / f"config {turn % NAMES}")


def become(folder: Path, turn: int) -> None:
    """Give one name a new kind at each round: a file, a folder with files, a FIFO, a link, a file again."""
    path = folder / f"thing {turn % NAMES}"
    with suppress(FileNotFoundError):
        path.unlink() if not path.is_dir() or path.is_symlink() else shutil.rmtree(path)
    kind = turn // NAMES % 5
    if kind == 0:
        path.write_bytes(b"a file")
    elif kind == 1:
        (path / "below" / "deeper").mkdir(parents=True)
        (path / "below" / "file").write_bytes(b"below")
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        path.symlink_to(random.choice(("/etc", path.name, "nowhere", "..")))
    else:
        path.write_bytes(trees.compressible(400_000))


def uproot(folder: Path, turn: int) -> None:
    """Make whole trees, then move and remove them while a command may walk them."""
    path = folder / f"tree {turn % 4}"
    if turn // 4 % 2:
        path.rename(folder / "going")
        shutil.rmtree(folder / "going")
    else:
        for number in range(30):
            trees.small_file(path / f"{number % 3}/{number % 7}/{number}", b"leaf")


def link(folder: Path, turn: int) -> None:
    first = folder / "first"
    if turn % 50 == 0:
        first.unlink(missing_ok=True)
    if not first.exists():
        first.write_bytes(b"linked %d" % turn)
    name = folder / f"also {turn % 20}"
    name.unlink() if name.exists() else os.link(first, name)


ACTS: tuple[Callable[[Path, int], None], ...] = (
    grow, shrink, rewrite, punch, vanish, replace, become, uproot, link,
)  # fmt: skip


@contextmanager
def moving(source: Path) -> Iterator[None]:
    """Run all of `ACTS` in the context, each in its own folder, before and after the unchanging files."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def act(deed: Callable[[Path, int], None], folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        try:
            for turn in itertools.count():
                if stop.wait(REST):
                    return
                deed(folder, turn)
        except BaseException as error:  # a thread that ended would prove nothing
            failures.append(error)

    threads = [
        threading.Thread(target=act, args=(deed, source / f"{number % 2 * 'z'}{deed.__name__}"))
        for number, deed in enumerate(ACTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.fixture
def source(room: Path) -> Path:
    source = room / "source"
    still = trees.small_tree(source / "still")
    for number in range(600):
        trees.small_file(still / f"more/{number}", trees.compressible(50 * number, number))
    return source


def test_whatever_moves_the_export_ends_and_what_it_says_comes_back(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    met: Counter[str] = Counter()
    for turn in range(ROUNDS):
        with moving(source):
            done = stage.run("seed", "export", source, "--to", stage.disk, "--again", "--json", code=None)
        findings = done.json["findings"]
        assert done.code == (3 if findings else 0), done
        assert {f["code"] for f in findings} <= KNOWN
        assert not [f for f in findings if "/source/still" in f["subject"]]
        met.update(f["code"] for f in findings)
        restored = room / f"restored {turn}"
        assert stage.restore(restored, "--from", stage.disk)["findings"] == []
        assert trees.differences(source / "still", below(restored, source) / "still") == []
        kept = {path.name for path in below(restored, source).iterdir()}
        assert kept >= {"still", "grow", "zshrink", "rewrite"}
        trees.remove(restored)
    assert met, "nothing moved while it was read"
    stage.import_()
    stage.restore(room / "from the vault", "--vault", stage.at)


SIZES = {"small": 100_000, "large": 9 * MIB, "sparse": 1 << 30}
LEFT_OUT = ("vanish", "folder", "symlink", "fifo", "spoken", "other", "device")
KEPT = ("empty", "shorter", "longer")
CUT = {"empty": 0, "shorter": 70_000}
BEGINS = b"as it was "


def story(folder: Path, name: str) -> None:
    path = trees.small_file(folder / name, BEGINS * 10_000)
    size = SIZES[name.split()[-1]]
    with path.open("rb+") as file:
        if name.endswith("large"):
            file.seek(0, os.SEEK_END)
            file.write(trees.incompressible(size - file.tell(), 1))
        file.truncate(size)
        for offset in (400 * MIB, size - 4096) if name.endswith("sparse") else ():
            file.seek(offset)
            file.write(BEGINS)


def acting(program: str) -> tuple[str, ...]:
    return (sys.executable, str(Path(__file__).with_name("acting.py")))


def test_at_every_moment_of_its_being_read_a_file_may_become_another(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    folder = room / "source"
    moments = {"before": (*LEFT_OUT, *KEPT), "after": ("vanish", "other", *KEPT), "between": KEPT}
    names = [f"{when} {what} {size}" for when, acts in moments.items() for what in acts for size in SIZES]
    for name in names:
        story(folder, name)
    trees.small_file(folder / "untouched", b"whole")
    stage = copy_of(opened)
    stage.command = acting
    findings = stage.export(folder, code=3)["findings"]
    told = {Path(f["subject"]).name: f["code"] for f in findings}
    gone = {name for name in names if name.startswith("before") and name.split()[1] in LEFT_OUT}
    assert told == {name: "source-unreadable" if name in gone else "source-changed" for name in names}

    stage.command = installed
    assert stage.restore(room / "restored", "--from", stage.disk)["findings"] == []
    restored = below(room / "restored", folder)
    assert {p.name for p in restored.iterdir()} == {*names, "untouched"} - gone
    assert (restored / "untouched").read_bytes() == b"whole"
    for name in {*names} - gone:
        when, what, _ = name.split()
        with (restored / name).open("rb") as file:
            assert BEGINS.startswith(file.read(len(BEGINS))), name
        if when != "between" and what in CUT:
            assert (restored / name).stat().st_size == CUT[what], name
