"""The limits of reading from a disk: through no link, at no stray file, and in a limited number of folders."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from formats import layout
from formats.ids import SetId, hex_digest
from importer.intake import misplaced_objects
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, below, prepared, refused

assert sys.platform == "linux"


def test_a_restore_from_a_disk_follows_no_link(copy_of: Copy, exported: Stage, room: Path) -> None:
    """Follow no link, neither to the folder of all seeds nor to one of them.

    The target of such a link may belong to another machine, or to this one's home.
    """
    stage = copy_of(exported)
    elsewhere = room / "elsewhere"
    (stage.disk / "offseed").rename(elsewhere)
    (stage.disk / "offseed").symlink_to(elsewhere)
    words = ("restore", "latest", "--from", stage.disk, "--target", room / "back", "--json")
    refused(stage.run("seed", *words, code=1), "disk-empty")
    refused(stage.run("seed", "verify", stage.disk, "--json", code=None), "disk-empty")
    (stage.disk / "offseed").unlink()
    (stage.disk / "offseed").mkdir()
    (folder,) = elsewhere.iterdir()
    (stage.disk / "offseed" / folder.name).symlink_to(folder)
    refused(stage.run("seed", *words, code=1), "disk-empty")
    refused(stage.run("seed", "verify", stage.disk, "--json", code=None), "disk-empty")


def test_what_is_no_folder_of_ours_stops_no_restore(
    copy_of: Copy, exported: Stage, room: Path, small_tree: Path
) -> None:
    stage = copy_of(exported)
    top = stage.disk / "offseed"
    (top / f"{'ab' * 16}-1").write_bytes(b"a stray file")
    (top / f"{'cd' * 16}-1").symlink_to("/")
    os.mkfifo(top / f"{'ef' * 16}-1")
    (top / f"{'00' * 16}-1").mkdir()
    stage.restore(room / "back", "--from", stage.disk)
    assert trees.differences(small_tree, below(room / "back", small_tree)) == []
    stage.run("seed", "disks")


def test_a_disk_of_a_thousand_seeds_is_refused_by_name(copy_of: Copy, exported: Stage, room: Path) -> None:
    """Refuse a disk of a thousand seeds: all would be held open, until the system gives no more."""
    stage = copy_of(exported)
    for number in range(1100):
        (stage.disk / "offseed" / layout.disk_folder(SetId(f"{number:032x}"), 1)).mkdir()
    stage.command = prepared("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))")
    words = ("restore", "latest", "--from", stage.disk, "--target", room / "back", "--json")
    refused(stage.run("seed", *words, code=1), "disk-crowded")
    refused(stage.run("seed", "verify", stage.disk, "--json", code=None), "disk-crowded")
    stage.run("seed", "disks")


# The limits of a search for moved objects


def test_the_search_for_what_has_moved_stays_on_the_disk(copy_of: Copy, exported: Stage, room: Path) -> None:
    """Search for moved objects on the disk alone.

    A label at the top of the disk once made the search begin two folders above, among the datacenter's own
    files.
    """
    stage = copy_of(exported)
    for path in stage.seeded.iterdir():
        path.rename(stage.disk / path.name)
    stage.seeded.rmdir()
    (stage.disk / "offseed").rmdir()
    archive = max((stage.disk / "archives").rglob("*"), key=lambda p: p.stat().st_size)
    archive.rename(stage.folder / "of-the-datacenter")
    told = stage.import_(code=3)
    assert not [f for f in told["findings"] if "of-the-datacenter" in f["detail"]]
    assert [f for f in told["findings"] if archive.name in f["subject"]]
    assert not (stage.vault / "archives" / archive.name[:2] / archive.name).exists()


def test_what_has_moved_is_read_through_no_link(tmp_path: Path) -> None:
    """Read a moved object through no link, neither in the search nor later.

    A folder may become a link in between.
    """
    top, outside = tmp_path / "disk", tmp_path / "outside"
    data = b"an object"
    missing = {"needs/x": (len(data), hex_digest(data))}
    for folder in (top / "lost+found", outside):
        folder.mkdir(parents=True)
    (outside / "secret").write_bytes(data)
    (top / "link").symlink_to(outside)
    (top / "lost+found/link").symlink_to(outside / "secret")
    assert misplaced_objects.find(top, missing) == {}
    (top / "lost+found/secret").write_bytes(data)
    (stray,) = misplaced_objects.find(top, missing).values()
    assert stray.read() == data
    shutil.rmtree(top / "lost+found")
    (top / "lost+found").symlink_to(outside)
    with pytest.raises(OSError, match=r"\w"):
        stray.read()
