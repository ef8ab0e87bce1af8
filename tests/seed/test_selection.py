"""The part of a point that a command takes: matches, the entries below them, and no folder without a match."""

from hypothesis import given
from hypothesis import strategies as st

from formats.keyed.catalog import FILE, FOLDER, CatalogEntry, sort_key
from seed.points.selection import Selection
from seed.source.source_rules import Patterns

NAMES = st.sampled_from([b"a", b"b", b"c.py"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
GLOBS = st.lists(st.sampled_from(["a", "b", "/a", "*.py", "a/b", "/b/*", "zzz"]), min_size=1, max_size=2)


def catalog(files: set[bytes]) -> list[CatalogEntry]:
    """Return rows as a catalog has them: every folder before its entries, a long file in two rows."""
    folders = {b"/".join(f.split(b"/")[:n]) for f in files for n in range(f.count(b"/") + 1)} | {b""}
    rows = [CatalogEntry(p, FOLDER) for p in folders]
    rows += [CatalogEntry(f, FILE, part=part) for f in files - folders for part in (0, 1)]
    return sorted(rows, key=lambda e: (sort_key(e.path), e.part))


def matches(patterns: Patterns, path: bytes) -> bool:
    parts = path.split(b"/")
    return any(patterns.match(b"/" + b"/".join(parts[: n + 1])) for n in range(len(parts)))


@given(st.sets(PATHS, max_size=8), GLOBS, GLOBS)
def test_taken_is_what_matches_with_the_folders_above_it(
    files: set[bytes], includes: list[str], excludes: list[str]
) -> None:
    rows = catalog(files)
    wanted, unwanted = Patterns(includes), Patterns(excludes)
    full = {e.path for e in rows if matches(wanted, e.path) and not matches(unwanted, e.path)}
    above = {b"/".join(p.split(b"/")[:n]) for p in full for n in range(p.count(b"/") + 1)} | (
        {b""} if full else set()
    )
    taken = list(Selection(b"", wanted, unwanted).select(rows))
    assert taken == [e for e in rows if e.path in full | above]


@given(st.sets(PATHS, max_size=8))
def test_without_globs_all_is_taken(files: set[bytes]) -> None:
    selection = Selection()
    assert selection.is_all
    assert list(selection.select(catalog(files))) == catalog(files)
