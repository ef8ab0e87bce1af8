"""The two reports after a damaged and a lost disk: they agree with the commands."""

import re
import sys
from pathlib import Path

import pytest

from tests.formats.test_reports import check_self_contained
from tests.journeys.stage import Copy, Stage, backup, disks, flip, refused, to

assert sys.platform == "linux"


def text(file: Path) -> str:
    """Return the text that a reader of the page sees."""
    return " ".join("".join(check_self_contained(file.read_text(encoding="utf-8")).texts).split())


@pytest.fixture
def worn(copy_of: Copy, opened: Stage, source: Path) -> tuple[Stage, str]:
    """Return a stage where three disks were sent, and two backups made afterwards.

    The first disk came damaged, the second whole, and the third is on its way.
    """
    stage = copy_of(opened)
    paths = disks(stage, 3)
    which = stage.run("seed", "export", source, "--use-at-most", "14MiB", *to(*paths), "--json").json["set"]
    stage.run("importer", "machines", "list", "--vault", stage.at)
    archive = max(paths[0].glob("offseed/*/archives/*/*"), key=lambda p: p.stat().st_size)
    flip(archive, archive.stat().st_size // 2)
    stage.run("importer", "import", *paths[:2], "--vault", stage.at, code=3)
    for number in range(2):
        (source / f"new {number}").write_bytes(bytes(1000))
        backup(stage)
    return stage, which[:8]


def test_both_sides_report(worn: tuple[Stage, str]) -> None:
    stage, which = worn
    seed, vault = stage.folder / "seed.html", stage.folder / "vault.html"
    here = stage.run("seed", "report", "--out", seed, "--json").json
    there = stage.run("importer", "report", "--vault", stage.at, "--out", vault, "--json").json
    assert (here["points"], here["disks"], there["points"], there["disks"]) == (3, 3, 3, 3)
    waits = f"disk 3 of 3 of set {which} of web1: 3 points wait for it"
    assert here["waiting"][0].startswith(waits)
    assert there["waiting"][0].startswith(waits)
    assert there["waiting"][1] == "1 record of damaged archives: `seed repair` on web1"
    for file in (seed, vault):
        said = text(file)
        assert waits in said
        for title in (
            "Recovery points over time",
            "Bytes stored by day",
            "Deduplication and compression",
            "Throughput of each disk",
            "Jobs",
        ):
            assert title in said
        assert re.search(rf"{which}/1 of web1, [^;]*; (\d+ arrived, )?1 damaged", said)
        assert f"{which}/3" in said
    assert "as it was imported" in text(vault)
    assert "prefers-color-scheme: dark" in seed.read_text()
    assert "width=device-width" in vault.read_text()


def test_a_report_is_made_of_what_can_be_had(copy_of: Copy, exported: Stage, room: Path) -> None:
    stage = copy_of(exported)
    away = stage.folder / "away"
    stage.vault.rename(away)
    stage.run("seed", "report", "--out", stage.folder / "a.html")
    assert "the vault was not reached" in text(stage.folder / "a.html")
    away.rename(stage.vault)
    stage.import_()
    stage.run(
        "importer", "report", "--vault", stage.at, "--out", room / "b.html", IMPORTER_HOME=room / "no home"
    )
    assert "Vault Backups" in text(room / "b.html")
    stage.run("importer", "report", "--vault", stage.at, "--machine", "web1", "--out", room / "b.html")
    assert "web1" in text(room / "b.html")


def test_of_nothing_there_is_little_to_say(opened: Stage, room: Path) -> None:
    opened.run("seed", "report", "--out", room / "a.html")
    assert "There are none yet" in text(room / "a.html")
    opened.run("importer", "report", "--vault", opened.at, "--out", room / "b.html")
    assert "No disk was written so far" in text(room / "b.html")


def test_where_no_report_can_be_written_it_is_said_before_the_work(exported: Stage, room: Path) -> None:
    for words in (("seed", "report"), ("importer", "report", "--vault", exported.at)):
        for out in (room, room / "none" / "a.html"):
            refused(exported.run(*words, "--out", out, "--json", code=2), "path-not-found")
    refused(
        exported.run(
            "importer",
            "report",
            "--vault",
            exported.at,
            "--machine",
            "web9",
            "--out",
            room / "c.html",
            "--json",
            code=None,
        ),
        "machine-unknown",
    )
    assert not (room / "c.html").exists()
