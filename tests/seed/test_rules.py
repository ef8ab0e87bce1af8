"""The paths that a run leaves out: usual globs, outermost paths, CACHEDIR.TAG, and the program's own files."""

import os
from pathlib import Path

import pytest

from formats.keyed.catalog import sort_key
from formats.monitor import Tally
from seed.source.source_rules import CACHE_TAG_SIGNATURE, Patterns, SourceRules, outermost
from seed.source.system import Walk

MATCHES = [
    ("*.log", b"/var/a.log", True),
    ("*.log", b"/a.log/b", False),
    ("*.log", b"/a.logs", False),
    ("cache", b"/home/u/cache", True),
    ("cache", b"/home/u/mycache", False),
    ("/var/tmp", b"/var/tmp", True),
    ("/var/tmp", b"/x/var/tmp", False),
    ("/var/tmp/", b"/var/tmp", True),
    ("a/b", b"/x/a/b", True),
    ("a/b", b"/xa/b", False),
    ("/home/*/x", b"/home/u/x", True),
    ("/home/*/x", b"/home/u/v/x", False),
    ("/home/**/x", b"/home/u/v/x", True),
    ("file?", b"/file1", True),
    ("file?", b"/file/", False),
    ("[ab].c", b"/b.c", True),
    ("[!ab].c", b"/b.c", False),
    ("[!ab].c", b"/c.c", True),
    ("a+b(1)", b"/a+b(1)", True),
    ("*", b"/\xff\n", True),
    ("[", b"/[", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_globs(pattern: str, path: bytes, expected: bool) -> None:
    assert Patterns([pattern]).match(path) is expected


def test_no_patterns_match_nothing() -> None:
    assert not Patterns(["", "/"]).match(b"/a")


def test_outermost_paths_are_sorted_and_not_inside_each_other() -> None:
    assert outermost([b"/b", b"/a.d", b"/a/x", b"/a", b"/a", b"/b/c/d"]) == [b"/a", b"/a.d", b"/b"]
    assert outermost([b"/a", b"/"]) == [b"/"]


def walked(root: Path, rules: SourceRules | None = None) -> tuple[list[bytes], Tally]:
    tally = Tally()
    below = os.fsencode(root).strip(b"/") + b"/"
    paths = [f.path for f in Walk([os.fsencode(root)], rules or SourceRules(), tally)]
    return [p[len(below) :] for p in paths if p.startswith(below)], tally


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/x", "a/y/z", "a.txt", "a-b", "b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_entries_come_sorted_by_components_with_their_folders_first(tree: Path) -> None:
    paths, _ = walked(tree)
    assert paths == [b"a", b"a/x", b"a/y", b"a/y/z", b"a-b", b"a.txt", b"b"]
    assert paths == sorted(paths, key=sort_key)


def test_the_folders_above_come_once_each(tree: Path) -> None:
    roots = [os.fsencode(tree / "a"), os.fsencode(tree / "b")]
    paths = [f.path for f in Walk(roots, SourceRules(), Tally())]
    assert len(paths) == len(set(paths))
    assert paths == sorted(paths, key=sort_key)
    assert os.fsencode(tree).strip(b"/") in paths


def test_what_is_excluded_is_left_out_with_all_below(tree: Path) -> None:
    assert walked(tree, SourceRules(excludes=Patterns(["y", "*.txt"])))[0] == [b"a", b"a/x", b"a-b", b"b"]


def test_caches_are_left_out_only_when_asked_for(tree: Path) -> None:
    (tree / "a" / "CACHEDIR.TAG").write_bytes(CACHE_TAG_SIGNATURE + b" more")
    (tree / "a.d").mkdir()
    (tree / "a.d" / "CACHEDIR.TAG").write_bytes(b"no signature")
    assert b"a/x" in walked(tree)[0]
    paths, tally = walked(tree, SourceRules(exclude_caches=True))
    assert b"a" in paths
    assert b"a/x" not in paths
    assert b"a.d/CACHEDIR.TAG" in paths
    assert any("cache" in n for n in tally.notices)


def test_own_folders_are_left_out_with_a_notice(tree: Path) -> None:
    status = os.stat(tree / "a")
    paths, tally = walked(tree, SourceRules(pruned=frozenset([(status.st_dev, status.st_ino)])))
    assert paths == [b"a", b"a-b", b"a.txt", b"b"]
    assert len(tally.notices) == 1
