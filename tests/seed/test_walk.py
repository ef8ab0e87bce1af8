"""A tree that changes between two steps of the walk: a missing entry is a finding, each other comes once."""

import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.keyed.catalog import FILE, FOLDER, PATH_MAX, sort_key
from formats.monitor import Tally
from seed.source import folder_stack, posix
from seed.source.source_rules import SourceRules
from seed.source.system import FoundEntry, Walk, data_extents, read_into

if sys.platform != "linux":
    pytest.skip("counts handles in /proc", allow_module_level=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/file", "b/one", "b/sub/two", "b/three", "c/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def met(tree: Path, moment: str, act: Callable[[Path], object]) -> tuple[dict[str, FoundEntry], Tally]:
    """Walk, and act once `moment` was met; return the entries by name below the tree, and the messages."""
    tally = Tally()
    found: dict[str, FoundEntry] = {}
    before = b""
    for one in Walk([os.fsencode(tree)], SourceRules(), tally):
        assert sort_key(one.path) > before
        before = sort_key(one.path)
        name = os.path.relpath("/" + os.fsdecode(one.path), tree)
        found[name] = one
        if name == moment:
            act(tree)
        if one.type == FILE:
            content(one, tally)
    return {name: one for name, one in found.items() if not name.startswith("..")}, tally


def content(found: FoundEntry, tally: Tally) -> bytes:
    """Return the bytes that an export would read, without a wait."""
    try:
        handle = found.open()
    except OSError as error:
        tally.notice(str(error))
        return b""
    try:
        space = memoryview(bytearray(100))
        return bytes(space[: read_into(handle, space)])
    except OSError as error:
        tally.notice(str(error))
        return b""
    finally:
        os.close(handle)


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def act(tree: Path) -> None:
        path = tree / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return act


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, lambda p: p.symlink_to("c/file"), lambda p: p.symlink_to(p), os.mkfifo, lambda p: None],
)
def test_a_file_becomes_something_else_before_it_is_opened(
    tree: Path, make: Callable[[Path], object]
) -> None:
    found, _ = met(tree, "b/one", replaced("b/one", make))
    assert list(found) == [".", "a", "a/file", "b", "b/one", "b/sub", "b/sub/two", "b/three", "c", "c/file"]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p.write_text("a file"),
        lambda p: p.symlink_to("/"),
        os.mkfifo,
        Path.mkdir,
        lambda p: None,
    ],
)
def test_a_folder_becomes_something_else_before_it_is_entered(
    tree: Path, make: Callable[[Path], object]
) -> None:
    # The open folder holds the number of the inode, so that the new folder is another.
    handle = os.open(tree / "b", os.O_RDONLY)
    found, tally = met(tree, "b", replaced("b", make))
    os.close(handle)
    assert list(found) == [".", "a", "a/file", "b", "c", "c/file"]
    assert [(f.code, f.subject) for f in tally.findings] == [("source-unreadable", str(tree / "b"))]


def test_a_folder_vanishes_while_it_is_walked(tree: Path) -> None:
    found, tally = met(tree, "b/one", lambda tree: shutil.rmtree(tree / "b"))
    assert list(found) == [".", "a", "a/file", "b", "b/one", "c", "c/file"]
    assert {f.subject for f in tally.findings} == {str(tree / "b" / n) for n in ("sub", "three")}


def test_a_folder_is_moved_while_it_is_walked(tree: Path) -> None:
    found, tally = met(tree, "b/sub", lambda tree: (tree / "b").rename(tree / "d"))
    assert list(found)[4:] == ["b/one", "b/sub", "b/sub/two", "b/three", "c", "c/file"]
    assert tally.findings == []


def test_a_name_listed_twice_comes_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda handle: [*listdir(handle), *listdir(handle)])
    found, tally = met(tree, "", print)
    assert len(found) == 10
    assert tally.findings == []


def test_a_root_and_a_folder_above_it_may_vanish(tree: Path) -> None:
    def roots(*names: str) -> list[bytes]:
        return [os.fsencode(tree / name) for name in names]

    tally = Tally()
    paths = [f.path for f in Walk(roots("a", "gone", "none/below", "b/one/below", "c"), SourceRules(), tally)]
    assert os.fsencode(tree / "c/file")[1:] in paths
    assert [f.subject for f in tally.findings] == [str(tree / n) for n in ("b/one", "gone", "none")]


def test_a_folder_above_a_root_that_became_a_link_is_not_followed(tree: Path) -> None:
    (tree / "b").rename(tree / "d")
    (tree / "b").symlink_to("d")
    tally = Tally()
    paths = [f.path for f in Walk([os.fsencode(tree / "b/sub")], SourceRules(), tally)]
    assert not any(b"/b" in path[len(os.fsencode(tree)) - 1 :] for path in paths)
    assert [f.subject for f in tally.findings] == [str(tree / "b")]


def deep(tree: Path, depth: int) -> None:
    handle = os.open(tree, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=handle)
        for name in ("a", "z"):
            os.close(os.open(name, os.O_CREAT, dir_fd=handle))
        deeper = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = deeper
    os.close(handle)


def test_a_tree_deeper_than_handles_may_be_held(tmp_path: Path) -> None:
    depth = 5 * folder_stack.OPEN_MAX
    deep(tmp_path, depth)
    tally = Tally()
    before = len(os.listdir("/proc/self/fd"))
    held = 0
    kinds = []
    for found in Walk([os.fsencode(tmp_path)], SourceRules(), tally):
        kinds.append(found.type)
        held = max(held, len(os.listdir("/proc/self/fd")) - before)
    assert tally.findings == []
    assert kinds.count(FILE) == 2 * depth
    assert kinds.count(FOLDER) == depth + len(tmp_path.parts) - 1
    assert held < folder_stack.OPEN_MAX + 64


@pytest.mark.parametrize("allowed", [64, 256])
def test_a_tree_is_walked_with_few_handles(tmp_path: Path, allowed: int) -> None:
    deep(tmp_path, 200)
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    allowed += before  # other tests of this process may hold more than a walk may use
    held, kinds, tally = 0, [], Tally()
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, usual[1]))
    try:
        for found in Walk([os.fsencode(tmp_path)], SourceRules(), tally):
            kinds.append(found.type)
            held = max(held, len(os.listdir("/proc/self/fd")) - before)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    assert tally.findings == []
    assert kinds.count(FILE) == 400
    assert held <= allowed // 4


def test_a_path_too_long_to_be_kept_is_a_finding_and_costs_what_lies_below(tmp_path: Path) -> None:
    longest = "n" * 255
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(PATH_MAX // 256 + 2):
        os.mkdir(longest, dir_fd=folder)
        below = os.open(longest, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    (tmp_path / "z").write_text("the rest")
    tally = Tally()
    paths = [found.path for found in Walk([os.fsencode(tmp_path)], SourceRules(), tally)]
    assert max(map(len, paths)) <= PATH_MAX
    assert paths[-1] == os.fsencode(tmp_path / "z").strip(b"/")
    (finding,) = tally.findings
    assert (finding.code, finding.detail) == ("source-unreadable", "File name too long")
    assert PATH_MAX < len(finding.subject) - 1 <= PATH_MAX + 256


def test_folders_moved_out_of_a_deep_tree_cost_their_own_rest(tmp_path: Path) -> None:
    deep(tmp_path, 3 * folder_stack.OPEN_MAX)
    tally = Tally()
    files = 0
    for found in Walk([os.fsencode(tmp_path)], SourceRules(), tally):
        files += found.type == FILE
        if found.path.count(b"/d") == 3 * folder_stack.OPEN_MAX:
            (tmp_path / "d/d").rename(tmp_path / "moved")
            (tmp_path / "d/d").mkdir()
    assert [f.subject for f in tally.findings] == [str(tmp_path / "d/d")]
    assert 3 * folder_stack.OPEN_MAX + 2 < files < 6 * folder_stack.OPEN_MAX


def test_more_regions_than_can_be_kept_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "EXTENTS_MAX", 20)
    size = 400 << 20
    with (tmp_path / "comb").open("wb+") as file:
        file.truncate(size)
        for number in range(100):
            os.pwrite(file.fileno(), b"x" * 4096, number * (4 << 20))
        regions = data_extents(file.fileno(), size)
        assert len(regions) <= 20
        assert regions == sorted(regions)
        for number in range(100):
            assert any(o <= number * (4 << 20) and number * (4 << 20) + 4096 <= o + n for o, n in regions)
        os.ftruncate(file.fileno(), 0)
        assert data_extents(file.fileno(), size) == [(0, size)], "the reader will see where it ends"
