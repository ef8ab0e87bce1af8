"""The traffic between a backup and the vault: every call is counted."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.journeys import trees
from tests.journeys.recording import Recorder
from tests.journeys.stage import Copy, Stage, backup, disks, to

assert sys.platform == "linux"

PUTS_MAX, SENT_MAX = 4, 8 << 10  # of a run that found nothing changed
SAMPLE, SAMPLE_REBUILT = 16, 64  # records that a run opens before it relies on them


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


@pytest.fixture
def backed(copy_of: Copy, opened: Stage, source: Path) -> Stage:
    """Return a stage with a point in the vault, sent whole over the network."""
    stage = copy_of(opened)
    assert backup(stage, source)["archives"]
    return stage


def stored(stage: Stage) -> dict[str, int]:
    return {str(p.relative_to(stage.vault)): p.stat().st_size for p in stage.vault.rglob("*") if p.is_file()}


def quiet(stage: Stage, calls: Recorder) -> None:
    """Run a backup without changes, and check that it sends only the record of its run."""
    before = stored(stage)
    done = backup(stage)
    assert (done["read_bytes"], done["archives"]) == (0, 0)
    puts = calls.vault("put")
    assert [c for c in puts if c.name.startswith("archives")] == []
    assert 0 < len(puts) <= PUTS_MAX
    assert sum(c.bytes for c in puts) < SENT_MAX
    new = {name: size for name, size in stored(stage).items() if name not in before}
    assert new == {c.name: c.bytes for c in puts}, "nothing is sent that was there, and nothing else appears"
    calls.clear()


def test_what_did_not_change_is_not_sent(backed: Stage) -> None:
    calls = Recorder(backed)
    for _ in range(2):
        quiet(backed, calls)


def test_nor_what_changes_beside_it(backed: Stage, source: Path) -> None:
    """Send nothing for changes beside an item, although they change the folders above it."""
    calls = Recorder(backed)
    for number in range(2):
        (source.parent / f"beside {number}").mkdir()
        quiet(backed, calls)


def test_nor_while_disks_travel_or_have_come(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    paths = disks(stage, 2)
    stage.run("seed", "export", source, *to(*paths), "--use-at-most", "18MiB")
    backup(stage)
    stage.run("importer", "import", paths[0], "--vault", stage.at)
    calls = Recorder(stage)
    quiet(stage, calls)
    stage.run("importer", "import", paths[1], "--vault", stage.at)
    calls.clear()
    quiet(stage, calls)


def sampled(stage: Stage, calls: Recorder) -> int:
    """Return the number of records that an unchanged run fetched; it reads nothing else of known archives."""
    calls.clear()
    assert backup(stage)["read_bytes"] == 0
    return len(calls.vault("part", "archives"))


def test_each_run_opens_some_of_what_it_reuses(backed: Stage) -> None:
    calls = Recorder(backed)
    assert [sampled(backed, calls) for _ in range(2)] == [SAMPLE, SAMPLE]
    assert calls.vault("get") == [], "all that it needs to know is at home"
    records = [(c.name, c.bytes) for c in calls.vault("part", "archives")]
    assert len(set(records)) > 1, "not one and the same"


@pytest.mark.parametrize("lost", ["", "archives", "indexes", "manifests", "needs"])
def test_a_run_that_lost_what_it_knew_opens_more_of_it_once(backed: Stage, lost: str) -> None:
    calls = Recorder(backed)
    shutil.rmtree(backed.home / "cache" / lost)
    assert sampled(backed, calls) == SAMPLE_REBUILT
    assert calls.vault("get", lost), "it came from the vault"
    assert sampled(backed, calls) == SAMPLE
    assert calls.vault("get") == [], "and is at home again"


def test_so_does_a_run_that_lost_the_sets(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    stage.export(source)
    stage.import_()
    shutil.rmtree(stage.home / "sets")
    backup(stage, source)
    calls = Recorder(stage)
    assert sampled(stage, calls) == SAMPLE
    shutil.rmtree(stage.home / "cache")
    assert [sampled(stage, calls) for _ in range(2)] == [SAMPLE_REBUILT, SAMPLE]
