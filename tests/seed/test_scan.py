"""The count beside an export agrees with the walk under all rules; it stops when told, and never fails."""

import os
import stat
import sys
from pathlib import Path

import pytest

from formats.keyed.catalog import FILE
from formats.monitor import Tally
from seed.source import scan
from seed.source.scan import measure
from seed.source.source_rules import CACHE_TAG_SIGNATURE, Patterns, SourceRules
from seed.source.system import Walk

KIB = 1 << 10

if sys.platform == "win32":
    pytest.skip("there is no walk to agree with", allow_module_level=True)


class Told:
    """A callback that remembers each message, and stops the count after `last` messages."""

    def __init__(self, last: int = sys.maxsize) -> None:
        self.told: list[tuple[int, int]] = []
        self.last = last

    def __call__(self, files: int, size: int) -> bool:
        self.told.append((files, size))
        return len(self.told) < self.last


def counted(roots: list[bytes], rules: SourceRules) -> tuple[int, int]:
    told = Told()
    assert measure(roots, rules, told)
    return told.told[-1]


def walked(roots: list[bytes], rules: SourceRules) -> tuple[int, int]:
    """Return the same numbers by the walk: the files of the catalog, and each inode's bytes outside its holes."""
    files = [found.described() for found in Walk(roots, rules, Tally()) if found.type == FILE]
    sizes = {}
    for entry in files:
        status = os.lstat(b"/" + entry.path)
        whole = entry.size <= scan.WHOLE_MAX
        sizes[entry.device, entry.inode] = entry.size if whole else min(entry.size, status.st_blocks * 512)
    return len(files), sum(sizes.values())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number in range(600):
        path = tmp_path / f"{number % 7}/{number % 3}/{number}.{'log' if number % 5 else 'txt'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    for name in ("3/1", "5"):
        (tmp_path / name / "CACHEDIR.TAG").write_bytes(CACHE_TAG_SIGNATURE)
    os.link(tmp_path / "0/0/0.txt", tmp_path / "linked.txt")
    os.link(tmp_path / "4/1/25.txt", tmp_path / "linked too.txt")
    (tmp_path / "link").symlink_to("1")
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.write(b"x" * 300 * KIB)
    (tmp_path / os.fsdecode(b"not utf-8 \xff")).write_bytes(b"odd")
    return tmp_path


@pytest.mark.parametrize(
    "rules",
    [
        SourceRules(),
        SourceRules(excludes=Patterns(["*.log", "2", "/**/6/1"])),
        SourceRules(exclude_caches=True, excludes=Patterns(["linked*"])),
        SourceRules(one_file_system=True),
    ],
)
def test_it_agrees_with_the_walk(tree: Path, rules: SourceRules) -> None:
    root = os.fsencode(tree)
    for roots in ([root], [root + b"/3", root + b"/3/1", root + b"/linked.txt", root + b"/fifo"]):
        assert counted(roots, rules) == walked(roots, rules)


def test_own_folders_are_not_counted(tree: Path) -> None:
    status = os.stat(tree / "1")
    rules = SourceRules(pruned=frozenset([(status.st_dev, status.st_ino)]))
    assert counted([os.fsencode(tree)], rules) == walked([os.fsencode(tree)], rules)


def test_holes_are_not_counted_and_linked_files_once(tree: Path) -> None:
    before = counted([os.fsencode(tree)], SourceRules())
    assert before[1] < 1 << 20
    os.link(tree / "4/1/25.txt", tree / "again")
    assert counted([os.fsencode(tree)], SourceRules()) == (before[0] + 1, before[1])


def test_it_tells_in_between_and_stops_when_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SEEN_EVERY", 0.0)
    monkeypatch.setattr(scan, "LOOK_EVERY", 10)
    all_of_it, some = Told(), Told(3)
    assert measure([os.fsencode(tree)], SourceRules(), all_of_it)
    assert all_of_it.told == sorted(all_of_it.told)
    assert len(all_of_it.told) > 20
    assert not measure([os.fsencode(tree)], SourceRules(), some)
    assert some.told == all_of_it.told[:3]


def test_what_cannot_be_looked_at_is_passed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert counted([b"/there/is/no/such/path", os.fsencode(tree / "0")], SourceRules())[0] > 0
    monkeypatch.setattr(os, "scandir", _refused)
    assert counted([os.fsencode(tree)], SourceRules()) == (0, 0)


def _refused(path: bytes) -> None:
    raise PermissionError(13, "Permission denied", path)


def test_it_never_leaves_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "away").symlink_to("/usr")
    assert counted([os.fsencode(tmp_path / "away")], SourceRules()) == (0, 0)
    assert stat.S_ISLNK(os.lstat(tmp_path / "away").st_mode)
