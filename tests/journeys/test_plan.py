"""`seed plan`: a forecast before the registration, which the later commands confirm."""

from pathlib import Path

from tests.journeys.stage import Copy, Stage, refused

MIB = 1 << 20


def test_what_is_planned_is_what_is_written(copy_of: Copy, opened: Stage, real_tree: Path) -> None:
    stage = copy_of(opened)
    planned = stage.run("seed", "plan", real_tree, "--uplink", "20mbit", "--json").json
    exported = stage.export(real_tree)
    assert (planned["entries"], planned["files"]) == (exported["entries"], exported["files"])
    assert planned["file_bytes"] == exported["file_bytes"]
    seed = planned["seed_bytes"]
    spread = seed["high"] - seed["estimate"]
    assert abs(exported["archive_bytes"] - seed["estimate"]) < 2 * spread + MIB
    assert spread < 0.15 * seed["estimate"]
    assert planned["advice"] == "send"


def test_plan_dry_run_and_export_tell_one_figure_of_holes(
    copy_of: Copy, opened: Stage, small_tree: Path, room: Path
) -> None:
    stage = copy_of(opened)
    source = room / "source"
    source.mkdir()
    for name, size in (("lastlog", 1 << 40), ("small", 64 << 10)):
        with (source / name).open("wb") as file:
            file.truncate(size)
            file.seek(size // 2)
            file.write(b"login")
    (source / "further name").hardlink_to(source / "lastlog")
    planned = stage.run("seed", "plan", source, "--json").json
    counted = stage.run("seed", "export", source, "--to", stage.disk, "--dry-run", "--json").json
    assert stage.export(source)["read_bytes"] == counted["file_bytes"] == planned["file_bytes"] < MIB
    assert counted["lacking_bytes"] == 0


def test_it_needs_neither_a_machine_nor_a_word_more(stage: Stage, small_tree: Path) -> None:
    said = stage.run("seed", "plan", small_tree).stdout
    for words in (
        "duplicates",
        "1 of 1 TB, 1 of 2 TB",
        "by the line",
        "at 10 Mbit/s",
        "by disks",
        "--uplink",
    ):
        assert words in said
    assert "--thorough" not in said  # every file is small enough to be read anyway
    assert stage.run("seed", "plan", small_tree, "--thorough", "--json").json["read_through"]
    assert not stage.home.exists()


def test_what_is_backed_up_anyway_need_not_be_named(copy_of: Copy, exported: Stage) -> None:
    stage = copy_of(exported)
    before = stage.run("seed", "items", "show").stdout
    planned = stage.run("seed", "plan", "--uplink", "100kbit", "--courier-days", "0", "--json").json
    assert planned["files"] > 0
    assert stage.run("seed", "items", "show").stdout == before


def test_what_cannot_be_planned_is_refused(stage: Stage, small_tree: Path) -> None:
    refused(stage.run("seed", "plan", "--json", code=2), "nothing-to-back-up")
    refused(stage.run("seed", "plan", "/not/there", "--json", code=2), "path-not-found")
    refused(stage.run("seed", "plan", small_tree, "--uplink", "fast", "--json", code=2), "rate-unreadable")
    refused(stage.run("seed", "plan", small_tree, "--uplink", "0mbit", "--json", code=2), "rate-unreadable")
    refused(stage.run("seed", "plan", small_tree, "--disk-size", "0", "--json", code=2), "usage")
    refused(stage.run("seed", "plan", small_tree, "--disk-size", "big", "--json", code=2), "usage")
