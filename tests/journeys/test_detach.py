"""`seed backup --detach`: early errors are shown at once, and the rest runs where no terminal can end it."""

import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PATIENCE
from tests.journeys import trees
from tests.journeys.stage import Copy, Result, Stage, backup, below, ended, prepared, refused
from tests.journeys.terminal import Terminal

assert sys.platform == "linux"

WORDS = ("seed", "backup", "--detach")


@pytest.fixture
def source(room: Path) -> Path:
    return trees.varied_tree(room / "source")


@pytest.fixture
def slow(copy_of: Copy, opened: Stage) -> Iterator[Stage]:
    """Yield a stage with a vault that takes no archive while the file `gate` exists.

    While the file has content, the vault refuses archives with the error `denied`.
    """
    stage = copy_of(opened)
    gate = stage.folder / "gate"
    gate.touch()
    stage.command = prepared(
        "import time\n"
        "from pathlib import Path\n"
        "from formats.errors import StoreError\n"
        "from formats.store.local import LocalStore as S\n"
        "put = S.put_new\n"
        "def put_new(self, name, data):\n"
        "    while 'vault' in self.address and 'archives' in name:\n"
        # Read once, because the gate may vanish between two reads.
        f"        try: said = Path({str(gate)!r}).read_text()\n"
        "        except FileNotFoundError: break\n"
        "        if said: raise StoreError('denied', 'no more', hint='ask for it')\n"
        "        time.sleep(0.01)\n"
        "    return put(self, name, data)\n"
        "S.put_new = put_new"
    )
    yield stage
    gate.unlink(missing_ok=True)
    if (last := detached(stage)) and last["running"]:
        with suppress(ProcessLookupError):
            os.kill(last["pid"], signal.SIGKILL)


def detached(stage: Stage) -> Any:
    return stage.run("seed", "status", "--json").json["detached"]


def await_end(stage: Stage) -> dict[str, Any]:
    """Return the state of the detached job after its end."""
    return awaited(lambda: None if (found := detached(stage))["running"] else found)


def awaited(attempt: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE
    while (found := attempt()) is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def log(last: dict[str, Any]) -> str:
    return Path(last["log"]).read_text()


def points(stage: Stage) -> list[str]:
    return [p["point"] for p in stage.run("seed", "points", "--json").json]


def test_it_is_followed_to_its_end_and_the_point_is_there(
    copy_of: Copy, opened: Stage, source: Path, room: Path
) -> None:
    stage = copy_of(opened)
    assert detached(stage) is None
    begun = stage.run(*WORDS, source, "--json").json
    end = await_end(stage)
    assert end == {"running": False, **begun, "ended": end["ended"], "code": 0}
    (point,) = points(stage)
    assert f'"point": "{point}"' in log(end).splitlines()[-1]
    stage.restore(room / "restored", "--vault", stage.at)
    assert trees.differences(source, below(room / "restored", source)) == []
    shown = stage.run("seed", "status").stdout
    assert f"with exit code 0; its log: {end['log']}" in shown


def test_its_log_says_what_the_foreground_says(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)
    shown = stage.run(*WORDS, source).stdout
    last = await_end(stage)
    path = Path(last["log"])
    assert str(last["pid"]) in shown
    assert str(path) in shown
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert log(last).startswith("Backed up in ")
    for number in range(20):
        (path.parent / f"backup-200001{number:02}.log").touch()
    stage.run(*WORDS, "--quiet")
    assert log(await_end(stage)) == ""
    assert len(list(path.parent.iterdir())) == 10
    assert path.exists(), "older ones go"


def test_the_terminal_may_be_closed(slow: Stage, source: Path) -> None:
    terminal = Terminal(slow, *WORDS, source)
    assert terminal.end() == 0
    assert b"may be closed" in terminal.shown
    os.close(terminal.window)
    running = detached(slow)
    assert running["running"]
    os.kill(running["pid"], signal.SIGHUP)
    (slow.folder / "gate").unlink()
    assert await_end(slow)["code"] == 0
    assert len(points(slow)) == 1


def test_what_is_wrong_is_told_at_once(copy_of: Copy, opened: Stage, source: Path) -> None:
    stage = copy_of(opened)

    def attempt(*words: object, code: int) -> Result:
        result = stage.run(*WORDS, *words, "--json", code=code)
        assert detached(stage) is None
        assert not (stage.home / "logs").exists()
        return result

    refused(attempt(source, "--vault", stage.folder / "none", code=1), "store-missing")
    refused(attempt(source / "none", code=2), "path-not-found")
    refused(attempt(code=2), "nothing-to-back-up")
    refused(attempt(source, "--exclude-from", source / "none", code=2), "path-not-found")
    refused(stage.run(*WORDS, source, "--json", code=1, SEED_HOME=stage.folder / "none"), "home-missing")
    told = stage.run(*WORDS, source / "none", code=2)
    assert told.stdout == ""
    assert told.stderr.count("[path-not-found]") == 1


def test_what_goes_wrong_later_is_in_the_log(slow: Stage, source: Path) -> None:
    slow.run(*WORDS, source, "--json")
    (slow.folder / "gate").write_text("denied")
    end = await_end(slow)
    assert end["code"] == 1
    assert "[denied]" in log(end)
    assert "what to do: " in log(end)
    assert log(end).splitlines()[-1].startswith('{"error": ')
    assert "Traceback" not in log(end)


def test_while_it_runs_status_tells_of_it_and_others_are_told_to_wait(slow: Stage, source: Path) -> None:
    begun = slow.run(*WORDS, source, "--json").json
    assert detached(slow) == {"running": True, **begun, "ended": None, "code": None}
    assert "runs in the background since " in slow.run("seed", "status").stdout
    for words in (("backup",), ("backup", "--detach")):
        busy = refused(slow.run("seed", *words, "--json", code=1), "home-busy").json["error"]
        assert str(begun["pid"]) in busy["hint"]
        assert begun["log"] in busy["hint"]
    assert detached(slow)["pid"] == begun["pid"]
    (slow.folder / "gate").unlink()
    assert await_end(slow)["code"] == 0


def test_sigterm_stops_it_cleanly_and_the_next_goes_on(slow: Stage, room: Path) -> None:
    source = trees.long_tree(room / "long")
    begun = slow.run(*WORDS, source, "--json").json
    os.kill(begun["pid"], signal.SIGTERM)
    awaited(lambda: begun if "stopping" in log(begun) else None)
    (slow.folder / "gate").unlink()
    end = await_end(slow)
    assert end["code"] == 143
    assert "[interrupted]" in log(end)
    assert points(slow) == []
    slow.run("seed", "backup")
    assert len(points(slow)) == 1


def test_one_that_was_killed_is_told_of(slow: Stage, source: Path) -> None:
    begun = slow.run(*WORDS, source, "--json").json
    os.kill(begun["pid"], signal.SIGKILL)
    end = await_end(slow)
    assert end == {"running": False, **begun, "ended": None, "code": None}
    assert "was killed" in slow.run("seed", "status").stdout
    (slow.folder / "gate").unlink()
    slow.run("seed", "backup")
    assert len(points(slow)) == 1


def test_ctrl_c_before_it_has_begun_leaves_nothing_behind(copy_of: Copy, opened: Stage, source: Path) -> None:
    """Leave nothing behind after Ctrl-C while the vault does not answer."""
    stage = copy_of(opened)
    stage.command = prepared(
        "import sys, threading\n"
        "from formats.store.local import LocalStore as S\n"
        "S.head = lambda self, name: (print('asked', file=sys.stderr, flush=True), threading.Event().wait())"
    )
    waiting = stage.start(*WORDS, source)
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == b"asked\n"
    stopped = ended(waiting, signal.SIGINT)
    assert (stopped.code, stopped.stderr) == (130, "\nseed: stopped\n")
    stage.command = opened.command
    assert detached(stage) is None
    backup(stage, source)
