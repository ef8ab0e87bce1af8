"""The main job: a tree goes onto a disk, the disk into a vault, and both give it back bit for bit.

The restore uses the vault or the disk alone, with the machine's home or with the passphrase only.
The disks are ext4 and exFAT. rsync compares the trees, and so does our own comparer.
The comparer also sees nanoseconds and holes.
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from formats.keyed.catalog import TYPES
from seed.source.file_types import TYPES as BY_MODE
from tests.conftest import LoopDisks
from tests.facilities import LoopDisk
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below

assert sys.platform == "linux"

ROUTES = ("vault, home", "vault, empty home", "disk alone", "disk, home")
BEYOND_INT64 = 1 << 63


@dataclass(frozen=True)
class Job:
    """A tree that was exported and imported."""

    stage: Stage
    source: Path

    @contextmanager
    def only(self, *, disk: bool) -> Iterator[None]:
        """Take the vault or the disk away for a while."""
        gone = self.stage.vault if disk else self.stage.disk
        away = gone.with_name("away")
        gone.rename(away)
        try:
            yield
        finally:
            away.rename(gone)

    def restored(self, target: Path, route: str) -> Path:
        """Restore by one of the routes, and return the place of the tree."""
        disk, keyless = route.startswith("disk"), route in ("vault, empty home", "disk alone")
        source = ["--from", self.stage.disk] if disk else ["--vault", self.stage.at]
        key = ["--passphrase-file", self.stage.secret] if keyless else []
        home = target.with_name("empty home") if keyless else self.stage.home
        with self.only(disk=disk):
            done = self.stage.restore(target, *source, *key, home=home)
        assert (done["failed"], done["left_alone"], done["findings"]) == (0, 0, [])
        assert not target.with_name("empty home").exists(), "reading needs no home, and makes none"
        return below(target, self.source)


def play(stage: Stage, source: Path) -> Job:
    exported = stage.export(source)
    assert exported["findings"] == []
    assert (exported["already"], exported["resumed"]) == (False, False)
    looked = stage.run("importer", "inspect", stage.disk, "--json").json
    assert [(d["points"], d["finished"], d["findings"]) for d in looked["disks"]] == [
        ([exported["point"]], True, 0)
    ]
    imported = stage.import_()
    (disk,) = imported["disks"]
    assert (disk["may_be_erased"], disk["copied"] + disk["already"], disk["findings"]) == (
        True,
        exported["archives"],
        0,
    )
    assert disk["already"] == 1, "the catalog was announced, the content has come by the disk"
    return Job(stage, source)


Jobs = Callable[[str], Job]

CASES = (
    *(pytest.param(f"odd: {route}", marks=pytest.mark.needs("root")) for route in ROUTES),
    "real: vault, empty home",
)


@pytest.fixture(scope="module")
def job(request: pytest.FixtureRequest, ground: Path, opened: Stage) -> Iterator[Jobs]:
    """Yield a function that does the job with the `odd` or the `real` tree, once for each."""

    @cache
    def done(corpus: str) -> Job:
        stage = opened.copy(ground / f"main job {corpus}")
        return play(stage, request.getfixturevalue(f"{corpus}_tree"))

    yield done
    for folder in ground.glob("main job *"):
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=CASES)
def restored(request: pytest.FixtureRequest, job: Jobs, ground: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the source and the tree restored by one of the routes."""
    corpus, _, route = request.param.partition(": ")
    target = ground / "restored" / "here"
    yield job(corpus).source, job(corpus).restored(target, route)
    shutil.rmtree(target.parent)


def test_restored_is_equal_to_the_nanosecond_and_the_hole(restored: tuple[Path, Path]) -> None:
    assert trees.differences(*restored) == []


@pytest.mark.needs("rsync", "root")
def test_rsync_finds_nothing_to_do(restored: tuple[Path, Path]) -> None:
    assert trees.rsync(*restored) == ""


@pytest.mark.needs("root")
def test_points_and_ls_say_the_same_wherever_they_read(job: Jobs) -> None:
    stage, source = job("odd").stage, job("odd").source
    seen = []
    for place in (("--vault", stage.at), ("--from", stage.disk)):
        for key in ((), ("--passphrase-file", stage.secret)):
            home = stage.folder / "none" if key else stage.home
            seen.append(stage.run("seed", "points", *place, *key, "--json", SEED_HOME=home).json)
    assert [points == seen[0] for points in seen] == [True] * 4
    at_vault = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert [(p["point"], p["sequence"], p["name"], p["complete"]) for p in at_vault] == [
        (p["point"], p["sequence"], p["name"], True) for p in seen[0]
    ]
    rows = stage.run("seed", "ls", f"latest:{source}", "--vault", stage.at, "--json").lines
    assert Counter(row["type"] for row in rows) == Counter(TYPES[kind] for kind in kinds(source))


def kinds(source: Path) -> Iterator[int]:
    """Yield the catalog's kind of everything at and below `source`."""
    yield BY_MODE[source.lstat().st_mode & 0o170000]
    for folder, folders, files in os.walk(os.fsencode(source)):
        for name in (*folders, *files):
            yield BY_MODE[os.lstat(os.path.join(folder, name)).st_mode & 0o170000]


def test_ls_shows_names_sizes_owners_and_times(exported: Stage, small_tree: Path) -> None:
    rows = exported.run("seed", "ls", f"latest:{small_tree}", "--from", exported.disk, "--json").lines
    for row in rows:
        status = os.lstat(row["path"])
        assert (row["mode"], row["uid"], row["gid"]) == (
            status.st_mode & 0o7777,
            status.st_uid,
            status.st_gid,
        )
        assert row["mtime_ns"] == status.st_mtime_ns
        assert row["type"] != "file" or row["size"] == status.st_size
    text = exported.run("seed", "ls", f"latest:{small_tree}", "--from", exported.disk).stdout
    assert len(text.splitlines()) == len(rows)
    assert " -> docs/4\n" in text


def test_a_name_never_breaks_a_line_or_moves_the_cursor(copy_of: Copy, opened: Stage, room: Path) -> None:
    source = room / "source"
    source.mkdir()
    for name in (b"two\nlines", b"\x1b[31mred", b"not utf-8 \xff", "\u202egnp.exe".encode()):
        (Path(os.fsdecode(os.fsencode(source) + b"/" + name))).write_bytes(b"x")
    stage = copy_of(opened)
    stage.export(source)
    shown = stage.run("seed", "ls", f"latest:{source}", "--from", stage.disk).stdout
    assert len(shown.splitlines()) == 5
    assert shown.replace("\n", "").isprintable()


def test_a_subpath_is_restored_into_the_target_itself(exported: Stage, small_tree: Path, room: Path) -> None:
    target = room / "docs"
    exported.run("seed", "restore", f"latest:{small_tree}/docs", "--from", exported.disk, "--target", target)
    found = [d for d in trees.differences(small_tree / "docs", target) if "run-too.sh': links" not in d]
    assert found == []


def test_one_file_is_restored_by_its_path(exported: Stage, small_tree: Path, room: Path) -> None:
    target = room / "one"
    path = small_tree / "media/photo.raw"
    exported.run("seed", "restore", f"latest:{path}", "--from", exported.disk, "--target", target)
    assert [p.name for p in target.iterdir()] == ["photo.raw"]
    assert (target / "photo.raw").read_bytes() == path.read_bytes()


def test_include_and_exclude_choose_what_is_restored(exported: Stage, small_tree: Path, room: Path) -> None:
    exported.run(
        "seed", "restore", f"latest:{small_tree}", "--from", exported.disk, "--target", room / "some",
        "--include", "media", "--exclude", "*.tiff",
    )  # fmt: skip
    restored = sorted(p.relative_to(room / "some") for p in (room / "some").rglob("*"))
    assert restored == [Path("media"), Path("media/photo.raw")], (
        "and no folder in which nothing was asked for"
    )


@pytest.mark.needs("loop", "rsync", "root")
def test_a_disk_of_ext4_is_imported_and_restored_from_read_only(
    copy_of: Copy, opened: Stage, odd_tree: Path, room: Path
) -> None:
    stage = copy_of(opened)
    with ExitStack() as stack:
        (room / "loop").mkdir()
        disk = LoopDisk(room / "loop", 256 << 20, "ext4")
        stack.callback(disk.unmount)
        disk.mount()
        stage.disk = disk.path
        stage.export(odd_tree)
        disk.read_only()
        stage.run("importer", "inspect", disk.path)
        assert stage.import_()["disks"][0]["may_be_erased"]
        stage.restore(room / "from disk", "--from", disk.path)
        assert trees.rsync(odd_tree, below(room / "from disk", odd_tree)) == ""
    stage.restore(room / "from vault", "--vault", stage.at)
    assert trees.differences(odd_tree, below(room / "from vault", odd_tree)) == []


@pytest.mark.needs("exfat", "loop", "root")
def test_a_disk_of_exfat_does_as_well(
    copy_of: Copy, opened: Stage, odd_tree: Path, room: Path, loop_disk: LoopDisks
) -> None:
    stage = copy_of(opened)
    stage.disk = loop_disk(256 << 20, "exfat")
    stage.export(odd_tree)
    assert stage.import_()["disks"][0]["may_be_erased"]
    stage.restore(room / "from disk", "--from", stage.disk)
    assert trees.differences(odd_tree, below(room / "from disk", odd_tree)) == []


def test_a_file_of_five_gibibytes_of_nothing_costs_nothing(copy_of: Copy, opened: Stage, room: Path) -> None:
    source = room / "source"
    source.mkdir()
    with (source / "huge").open("wb") as file:
        file.truncate(5 << 30)
        file.seek(3 << 30)
        file.write(b"far in")
    stage = copy_of(opened)
    assert stage.export(source)["written_bytes"] < 64 << 10
    stage.restore(room / "restored", "--from", stage.disk)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_a_time_beyond_64_bits_of_nanoseconds_comes_back(copy_of: Copy, opened: Stage, room: Path) -> None:
    source = room / "source"
    source.mkdir()
    moment = 530 * 365 * 86400 * trees.SECOND + 1
    (source / "late").write_bytes(b"late")
    os.utime(source / "late", ns=(moment, moment))
    if os.stat(source / "late").st_mtime_ns < BEYOND_INT64:
        pytest.skip("this file system has no such times")
    stage = copy_of(opened)
    stage.export(source)
    stage.restore(room / "restored", "--from", stage.disk)
    assert trees.differences(source, below(room / "restored", source)) == []


def test_many_sources_are_one_point_and_what_lies_in_another_is_read_once(
    copy_of: Copy, opened: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(opened)
    stage.export(small_tree / "media", small_tree / "docs", small_tree / "docs/1", small_tree / "run.sh")
    stage.restore(room / "restored", "--from", stage.disk)
    back = below(room / "restored", small_tree)
    assert sorted(p.name for p in back.iterdir()) == ["docs", "media", "run.sh"]
    for name in ("docs", "media"):
        assert trees.differences(small_tree / name, back / name) == []
    assert (back / "run.sh").read_bytes() == (small_tree / "run.sh").read_bytes()
