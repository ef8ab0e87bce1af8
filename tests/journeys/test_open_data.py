"""`seed ls --parquet`: a point's list for other programs, and the guide's questions answered by DuckDB."""

import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pyarrow.parquet as pq
import pytest

from tests.journeys.stage import Copy, Stage, backup, refused
from tests.pages import text_of_pages

assert sys.platform == "linux"

QUERIES = re.compile(r"^<!-- sql -->\n```sql\n(.*?)^```", re.DOTALL | re.MULTILINE)


def table(stage: Stage, name: str, *which: str) -> Path:
    told = stage.run("seed", "ls", *which, "--parquet", stage.folder / name, "--json").json
    found = pq.read_table(stage.folder / name)
    assert told["entries"] == found.num_rows > 0
    return stage.folder / name


@pytest.fixture
def two_points(copy_of: Copy, opened: Stage, room: Path) -> tuple[Stage, Path]:
    """Return a tree with two backups, for the questions of its owner."""
    stage, source = copy_of(opened), room / "source"
    (source / "large").mkdir(parents=True)
    (source / "small").mkdir()
    (source / "large" / "film").write_bytes(os.urandom(3 << 20))
    (source / "large" / "copy of film").write_bytes((source / "large" / "film").read_bytes())
    (source / "small" / "note").write_text("one")
    (source / "small" / "goes").write_text("two")
    stage.export(source)
    stage.import_()
    table(stage, "before.parquet", "latest")
    (source / "small" / "note").write_text("one and more")
    (source / "small" / "goes").unlink()
    (source / "small" / "comes").write_text("three")
    os.chown(source / "small" / "comes", 65534, 65534)
    backup(stage)
    table(stage, "after.parquet", "latest")
    return stage, source


@pytest.mark.needs("root")
def test_the_guide_asks_and_duckdb_answers(
    two_points: tuple[Stage, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, source = two_points
    monkeypatch.chdir(stage.folder)
    (text,) = QUERIES.findall(text_of_pages())
    queries = [query for query in text.split(";") if query.strip()]
    assert len(queries) == 4
    folders, owners, copies, changed = (duckdb.execute(query).fetchall() for query in queries)
    assert sum(row[2] for row in folders) == sum(p.stat().st_size for p in source.rglob("*") if p.is_file())
    assert {row[0]: row[1] for row in owners} == {"root": 3, "nobody": 1}
    assert [(row[1], Path(row[2]).name, row[3]) for row in copies] == [(2, "copy of film", 3 << 20)]
    files = {Path(path).name: (before, now) for path, before, now in changed}
    assert files == {"note": (3, 12), "goes": (3, None), "comes": (None, 5)}


def test_pandas_reads_times_and_kinds(two_points: tuple[Stage, Path]) -> None:
    stage, source = two_points
    frame: Any = pandas.read_parquet(stage.folder / "after.parquet").set_index("path")
    film = source / "large" / "film"
    row = frame.loc[str(film)]
    assert row["mtime"].value // 1000 == film.stat().st_mtime_ns // 1000
    assert (row["type"], row["size"], row["inode"]) == ("file", 3 << 20, film.stat().st_ino)
    assert set(frame["type"]) == {"file", "folder"}
    assert frame["point"].nunique() == 1


def test_every_name_is_there_however_odd(copy_of: Copy, opened: Stage, odd_tree: Path) -> None:
    stage = copy_of(opened)
    stage.export(odd_tree)
    file = table(stage, "odd.parquet", "latest", "--from", str(stage.disk))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = pq.read_table(file, columns=["path", "path_bytes", "size", "type"]).to_pylist()
    there = {os.fsencode(path) for path in odd_tree.rglob("*")}
    assert there <= {row["path_bytes"] for row in found}
    for row in found:
        assert row["path"] == row["path_bytes"].decode("utf-8", "backslashreplace")
        if row["type"] == "file":
            assert row["size"] == os.lstat(row["path_bytes"]).st_size


def test_a_folder_alone(copy_of: Copy, exported: Stage, small_tree: Path) -> None:
    stage = copy_of(exported)
    listed = stage.run("seed", "ls", f"latest:{small_tree}", "--from", stage.disk, "--json").lines
    file = table(stage, "below.parquet", f"latest:{small_tree}", "--from", str(stage.disk))
    assert pq.read_table(file)["path"].to_pylist() == [row["path"] for row in listed]


def test_nothing_is_left_of_a_table_that_cannot_be_made(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    (there := stage.folder / "there.parquet").write_text("mine")
    from_disk = ("--from", stage.disk, "--json")
    before = sorted(os.listdir(stage.folder))
    refused(stage.run("seed", "ls", "--parquet", there, *from_disk, code=2), "file-exists")
    assert there.read_text() == "mine"
    no_folder = stage.folder / "no folder" / "a.parquet"
    refused(stage.run("seed", "ls", "--parquet", no_folder, *from_disk, code=2), "path-not-found")
    nothing = stage.folder / "nothing.parquet"
    refused(
        stage.run("seed", "ls", "latest:/not/there", "--parquet", nothing, *from_disk, code=2),
        "path-not-found",
    )
    after = sorted(os.listdir(stage.folder))
    assert after == before
