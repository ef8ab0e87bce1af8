"""Items that are links: the link and its target are backed up, or a finding says why not."""

import errno
import os
import sys
from pathlib import Path

import pytest

from formats.monitor import Tally
from seed.source.links import LINKS_MAX, led_to, real_place
from seed.source.source_rules import Patterns, SourceRules
from seed.source.system import Walk

if sys.platform == "win32":
    pytest.skip("trees are not read on Windows yet", allow_module_level=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("real/folder/precious", "real/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def walked(folder: Path, *names: str, rules: SourceRules | None = None) -> tuple[list[str], Tally]:
    """Return the entries that a walk over items meets, relative to the folder, and its messages."""
    tally = Tally()
    items = [real_place(str(folder / name)) for name in names]
    paths = [Path("/", os.fsdecode(found.path)) for found in Walk(items, rules or SourceRules(), tally)]
    return [str(path.relative_to(folder)) for path in paths if path.is_relative_to(folder)][1:], tally


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_a_link_to_a_folder_brings_the_folder(folder: Path, slash: str) -> None:
    (folder / "link").symlink_to("real/folder")
    met, tally = walked(folder, "link" + slash)
    assert met == ["link", "real", "real/folder", "real/folder/precious"]
    assert tally.findings == []
    (notice,) = tally.notices
    assert notice == f"{folder}/link is a link: its target {folder}/real/folder is backed up as well"


def test_the_way_back_goes_from_where_a_link_leads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "link").symlink_to("real/folder")
    monkeypatch.chdir(folder)
    for path in ("link/../file", "./link//../file", f"{folder}/link/../file"):
        assert real_place(path) == os.fsencode(folder.resolve() / "real/file")
    assert real_place("link/..") == os.fsencode(folder.resolve() / "real")
    assert real_place("link/.") == os.fsencode(folder.resolve() / "real/folder")
    assert (real_place("/"), real_place("//usr/"), real_place("link")) == (
        b"/",
        b"/usr",
        os.fsencode(folder.resolve() / "link"),
    )


def test_links_behind_links_come_all(folder: Path) -> None:
    (folder / "real/hop").symlink_to(folder / "real/folder/..//folder")
    (folder / "way").symlink_to("real")
    (folder / "link").symlink_to("way/hop")
    assert walked(folder, "link")[0] == ["link", "real", "real/folder", "real/folder/precious", "real/hop"]


def test_a_link_to_a_file_brings_the_file(folder: Path) -> None:
    (folder / "link").symlink_to("real/file")
    assert walked(folder, "link")[0] == ["link", "real", "real/file"]


def test_links_below_an_item_are_not_followed(folder: Path) -> None:
    (folder / "item").mkdir()
    (folder / "item/link").symlink_to("../real")
    met, tally = walked(folder, "item")
    assert met == ["item", "item/link"]
    assert tally.notices == []


@pytest.mark.parametrize(
    ("target", "why"), [("none", errno.ENOENT), ("link", errno.ELOOP), ("real/file/x", errno.ENOTDIR)]
)
def test_a_link_that_leads_nowhere_is_a_finding(folder: Path, target: str, why: int) -> None:
    (folder / "link").symlink_to(target)
    met, tally = walked(folder, "link", "real/file")
    assert met == ["link", "real", "real/file"]
    (finding,) = tally.findings
    assert (finding.code, finding.subject) == ("source-unreadable", str(folder / "link"))
    assert finding.detail == f"the target of this link is not backed up: {os.strerror(why)}"


def test_a_chain_is_followed_as_far_as_the_kernel_does(folder: Path) -> None:
    for number in range(LINKS_MAX + 1):
        (folder / f"link{number}").symlink_to(f"link{number - 1}" if number else "real")
    assert len(led_to(os.fsencode(folder / f"link{LINKS_MAX - 1}"), {})) == LINKS_MAX
    with pytest.raises(OSError, match="Too many levels"):
        led_to(os.fsencode(folder / f"link{LINKS_MAX}"), {})


def test_what_a_link_leads_to_may_be_excluded(folder: Path) -> None:
    (folder / "link").symlink_to("real")
    met, _ = walked(folder, "link", rules=SourceRules(excludes=Patterns([f"{folder}/real/folder"])))
    assert met == ["link", "real", "real/file"]


def test_entries_of_the_kernel_are_not_followed(folder: Path) -> None:
    device = (folder / "real").stat().st_dev
    (folder / "link").symlink_to("real")
    assert led_to(os.fsencode(folder / "link"), {}) == [os.fsencode(folder / "real")]
    assert led_to(os.fsencode(folder / "link"), {device: "proc"}) == []
