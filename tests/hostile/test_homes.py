"""Attacks through a home that another user owns or could replace, and through files in one's own home."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.homes import check_own, make_private
from formats.records import write_private
from formats.shell.jobs.notifications import Notify
from seed.home.schedule import Schedule
from tests.journeys.stage import NOBODY, Copy, Stage, prepared, refused

assert sys.platform == "linux"

pytestmark = pytest.mark.needs("root")


def link_the_state(stage: Stage, victim: Path) -> None:
    """Put a link at the name through which the next state is written."""
    (stage.home / ".state.json.new").symlink_to(victim)


def link_the_cache(stage: Stage, victim: Path) -> None:
    shutil.rmtree(stage.home / "cache", ignore_errors=True)
    (stage.home / "cache").symlink_to(victim.parent)


def set_a_hook(stage: Stage, victim: Path) -> None:
    Schedule(times=(540,), before=f"echo hooked >{victim}").save(stage.home)


def set_a_notice(stage: Stage, victim: Path) -> None:
    Notify(command=f"echo told >{victim}", events=("failure", "warning")).save(stage.home)


def set_the_metrics(stage: Stage, victim: Path) -> None:
    Notify(metrics=str(victim)).save(stage.home)


ATTACKS: dict[str, tuple[Callable[[Stage, Path], None], tuple[str, ...]]] = {
    "a state that is a link": (link_the_state, ("items", "set", "/etc")),
    "a cache that is a link": (link_the_cache, ("backup",)),
    "a hook": (set_a_hook, ("backup", "--scheduled")),
    "a command that hears of failures": (set_a_notice, ("backup", "/nothing-there", "--once")),
    "a file of metrics": (set_the_metrics, ("notify", "check")),
}


def give_to_nobody(*paths: Path) -> None:
    subprocess.run(["chown", "-Rh", f"{NOBODY}:{NOBODY}", *map(str, paths)], check=True)


@pytest.mark.parametrize("attack", ATTACKS)
def test_root_does_not_work_on_the_home_of_another_user(
    copy_of: Copy, imported: Stage, tmp_path: Path, attack: str
) -> None:
    """Refuse to work as root on the home of another user.

    The user wrote its content. Root would run its commands, and write where its links lead.
    """
    make, words = ATTACKS[attack]
    stage = copy_of(imported)
    victim = tmp_path / "of-root" / "victim"
    victim.parent.mkdir()
    victim.write_bytes(b"of root alone")
    make(stage, victim)
    give_to_nobody(stage.home)
    before = {p: p.lstat() for p in [stage.home, *stage.home.rglob("*")]}
    result = stage.run("seed", *words, "--json", code=None)
    assert victim.read_bytes() == b"of root alone"
    assert [p.name for p in victim.parent.iterdir()] == ["victim"]
    assert victim.stat().st_uid == 0
    assert {p: p.lstat() for p in [stage.home, *stage.home.rglob("*")]} == before, "nothing there was touched"
    assert "nobody" in refused(result, "home-foreign").json["error"]["hint"]


def test_nor_does_the_importer(copy_of: Copy, bare: Stage) -> None:
    stage = copy_of(bare)
    give_to_nobody(stage.importer_home)
    refused(stage.run("importer", "points", "--vault", stage.at, "--json", code=1), "home-foreign")
    words = ("credentials", "issue", "--vault", stage.at, "--out", stage.folder / "x")
    refused(stage.run("importer", *words, "--json", code=1), "home-foreign")
    assert not (stage.folder / "x").exists()


def whose(path: Path, owner: int = 0, mode: int = 0o755) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    os.chown(path, owner, owner)
    return path


def test_a_home_that_another_user_could_replace_is_refused(tmp_path: Path) -> None:
    """Refuse a home that another user could replace.

    It may be the owner of the home, of a folder above it, or of a link to it. Or anybody may write there.
    """
    from formats.errors import HomeError

    below = whose(tmp_path / "anna", NOBODY)
    open_to_all = whose(tmp_path / "open", 0, 0o777)
    link = tmp_path / "link"
    link.symlink_to(whose(tmp_path / "good"))
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    through = tmp_path / "through"
    through.symlink_to(below)
    world = whose(tmp_path / "world", 0, 0o1777)
    for home in (below, below / "seed", below / "not-there/seed", open_to_all / "seed", link, link / "seed",
                 through / "seed", world):  # fmt: skip
        with pytest.raises(HomeError, match="another user") as caught:
            check_own(home)
        assert caught.value.code == "home-foreign", home
    for home in (tmp_path, tmp_path / "good/not-there/seed", world / "seed"):
        check_own(home)


def test_what_is_written_into_a_home_goes_through_no_link(tmp_path: Path) -> None:
    """Write through no link, even in one's own home: an old copy may have been laid there."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"another's")
    home = tmp_path / "home"
    make_private(home)
    (home / ".state.json.new").symlink_to(victim)
    write_private(home / "state.json", b"new")
    assert victim.read_bytes() == b"another's"
    assert (home / "state.json").read_bytes() == b"new"


def test_metrics_go_through_no_link(copy_of: Copy, opened: Stage, tmp_path: Path) -> None:
    """Write metrics through no link.

    The folder belongs to the collector's user, and the name of the temporary file could be guessed.
    """
    stage = copy_of(opened)
    folder = whose(tmp_path / "collector", NOBODY)
    victim = tmp_path / "victim"
    victim.write_bytes(b"of root alone")
    ident = (
        "import os, threading; here = f'{os.getpid()}.{threading.get_ident()}'; os.symlink(%r, f'%s.{here}')"
    )
    metrics = folder / "offseed.prom"
    stage.command = prepared(ident % (str(victim), metrics))
    stage.run("seed", "notify", "set", "--metrics", metrics)
    assert victim.read_bytes() == b"of root alone"
    assert metrics.stat().st_mode & 0o777 == 0o644
    assert b"# HELP" in metrics.read_bytes() or metrics.read_bytes() == b""


def test_with_a_home_no_slot_is_tried(copy_of: Copy, imported: Stage) -> None:
    """Try no slot if the home has the key, so that nobody can influence a command by slots."""
    stage = copy_of(imported)
    stage.command = prepared("import seed.points.machine_keys as m; m.open_slot = m.find_slots = None")
    stage.run("seed", "points", "--vault", stage.at)
    stage.run("seed", "ls", "latest", "--vault", stage.at)
    stage.run("seed", "restore", "latest", "--vault", stage.at, "--target", stage.folder / "back")
    stage.run("seed", "verify", stage.disk)
