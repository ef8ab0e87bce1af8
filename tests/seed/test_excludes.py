"""Excludes leave out the target of the typed path, and nothing else; one that matches nothing is reported."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import UsageError
from formats.monitor import Tally
from seed.home.home import LeftOut
from seed.home.items import Scope, in_any_folder
from seed.source.excludes import escaped
from seed.source.source_rules import Patterns
from seed.source.system import Walk

if sys.platform == "win32":
    pytest.skip("trees are not read on Windows yet", allow_module_level=True)

ALL = {"real", "real/public", "real/secret", "real/secret/key", "real/x[1]", "real/x1", "way", "vault"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path.resolve() / "item"
    for name in ("real/secret/key", "real/public", "real/x[1]", "real/x1"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / "way").symlink_to("real")
    (top / "vault").symlink_to("real/secret")
    (tmp_path / "outside").symlink_to("item/real")
    return top


def left(folder: Path, *globs: str) -> tuple[set[str], list[str]]:
    """Return the entries of the tree that are left out, without those below them, and the messages to the user."""
    tally = Tally()
    scope = Scope((os.fsencode(folder),), in_any_folder(LeftOut(excludes=tuple(map(os.fsencode, globs)))))
    begin = os.fsencode(folder)[1:] + b"/"
    met = {
        os.fsdecode(found.path[len(begin) :])
        for found in Walk(scope.items, scope.rules(set()), tally)
        if found.path.startswith(begin)
    }
    assert met <= ALL
    gone = ALL - met
    assert not tally.findings
    return {name for name in gone if os.path.dirname(name) not in gone}, tally.notices


TYPED = [
    ("{}/way/secret", {"real/secret"}),
    ("{}/way/secret/", {"real/secret"}),
    ("{}/../outside/secret", {"real/secret"}),
    ("{}//real///secret", {"real/secret"}),
    ("{}/./real/./secret/.", {"real/secret"}),
    ("{}/real/secret/../secret", {"real/secret"}),
    ("{}/vault/../secret", {"real/secret"}),
    ("{}/vault/../../secret", set()),
    ("{}/way/s*", {"real/secret"}),
    ("{}/way/*/key", {"real/secret/key"}),
    ("{}/vault", {"vault", "real/secret"}),
    ("{}/vault/", {"vault", "real/secret"}),
    ("{}/vault/key", {"real/secret/key"}),
    ("{}/way/x[1]", {"real/x[1]", "real/x1"}),
    ("{}/real/x[1]", {"real/x[1]", "real/x1"}),
    ("real//secret", {"real/secret"}),
    ("./real/secret", {"real/secret"}),
    ("../item/way/secret", {"real/secret"}),
    ("real/x1", {"real/x1"}),
    ("secret", {"real/secret"}),
]


@pytest.mark.parametrize(("glob", "expected"), TYPED)
def test_a_typed_path_leaves_out_what_the_system_finds_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, glob: str, expected: set[str]
) -> None:
    monkeypatch.chdir(folder)
    gone, notices = left(folder, glob.format(folder))
    assert gone == expected
    assert any("no path matched" in notice for notice in notices) == (not expected)


def test_a_path_from_the_current_folder_is_remembered_as_a_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "real")
    kept = in_any_folder(LeftOut(excludes=(b"./secret", b"*.tmp")))
    assert kept.excludes == (os.fsencode(folder / "real") + b"/./secret", b"*.tmp")
    monkeypatch.chdir("/")
    assert in_any_folder(kept) == kept


def test_what_a_link_leads_to_is_told_where_it_is_left_out(folder: Path) -> None:
    assert left(folder, f"{folder}/vault")[1] == [
        f"left out: {folder}/real/secret, the target of {folder}/vault"
    ]


@pytest.mark.parametrize("target", [".", "..", "/", "way/..", "../outside/.."])
def test_a_link_to_a_folder_around_it_is_left_out_alone(folder: Path, target: str) -> None:
    (folder / "real/x1").unlink()
    (folder / "real/x1").symlink_to(folder / target)
    gone, notices = left(folder, f"{folder}/real/x1")
    assert gone == {"real/x1"}
    assert notices == []


def test_the_target_of_an_excluded_link_stays_where_it_was_named(folder: Path) -> None:
    items = (os.fsencode(folder / "real/secret"), os.fsencode(folder / "vault"))
    rules = Scope(items, LeftOut(excludes=(os.fsencode(folder / "vault"),))).rules(set())
    paths = [found.path for found in Walk(items, rules, Tally())]
    assert os.fsencode(folder / "real/secret/key").strip(b"/") in paths
    assert os.fsencode(folder / "vault").strip(b"/") not in paths


def test_each_exclude_that_matched_nothing_is_told_once(folder: Path) -> None:
    _, notices = left(folder, "*.none", "public", "/nowhere/*", "pub*")
    assert notices == [
        "no path matched these excludes, or others left it out already: '*.none', '/nowhere/*', 'pub*'"
    ]
    many = [f"none{number}" for number in range(15)]
    (notice,) = left(folder, *many)[1]
    assert notice.endswith("'none9' and 5 more")


def test_an_item_that_an_exclude_matches_is_told(folder: Path) -> None:
    assert left(folder, "item")[1] == [
        f"left out: everything below {folder} (by an exclude, though it was named)"
    ]


@pytest.mark.parametrize("glob", ["a/../b", "/a/*/../b", "*/.."])
def test_a_way_back_behind_what_may_be_many_is_refused(glob: str) -> None:
    with pytest.raises(UsageError, match="go back"):
        Patterns([glob])
    if "*" in glob:
        with pytest.raises(UsageError, match="go back"):
            in_any_folder(LeftOut(excludes=(os.fsencode(glob),)))


NAMES = st.text(st.sampled_from("ab[]*?!^-\\\n é"), min_size=1, max_size=6)


@given(NAMES, NAMES)
def test_an_escaped_path_matches_itself_alone(one: str, other: str) -> None:
    patterns = Patterns([escaped(f"/{one}")])
    assert patterns.match(os.fsencode(f"/{one}"))
    assert patterns.match(os.fsencode(f"/{other}")) == (one == other)
