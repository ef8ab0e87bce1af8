"""What a terminal and a shell do to a command: pipes that end early, an odd locale, signals, a closed window."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import Process, Program
from tests.journeys import trees
from tests.journeys.stage import Copy, Result, Stage, await_, below, ended, in_parallel, judged, prepared
from tests.journeys.terminal import Terminal

assert sys.platform == "linux"

AT_ONCE = 1.5


def shell(stage: Stage, line: str, code: int = 0, **environment: str) -> Result:
    """Run a line in a shell that fails where any command of a pipe does."""
    words = ("bash", "-o", "pipefail", "-c", line)
    names = {name: stage.command(name)[0] for name in ("seed", "importer")}
    done = subprocess.run(
        words,
        env=stage.environment({**names, "disk": str(stage.disk), "vault": str(stage.vault), **environment}),
        cwd=stage.folder,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return judged(words, done.returncode, done.stdout, done.stderr, 0, code)


@pytest.mark.parametrize("command", ["$seed ls --from $disk", "$seed ls --from $disk --json"])
def test_a_pipe_that_ends_early_is_no_error(exported: Stage, command: str) -> None:
    result = shell(exported, f"for i in 1 2; do {command} | head -1 || exit; done")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == ""


@pytest.mark.parametrize(
    "command",
    ["$seed ls --from $disk", "$seed --help", "$importer inspect $disk", "$importer points --vault $vault"],
)
def test_a_closed_output_is_no_fault(exported: Stage, command: str) -> None:
    result = shell(exported, f"{command} >&-")
    assert result.stderr == ""


def test_a_full_output_is_told(exported: Stage) -> None:
    """A listing into a full disk must not seem to have succeeded."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    result = shell(exported, "$seed ls --from $disk >/dev/full", code=4)
    assert result.stderr


def test_a_closed_input_is_no_fault(exported: Stage) -> None:
    shell(exported, "$seed points --from $disk <&-")


def test_the_c_locale_shows_all_names(exported: Stage) -> None:
    for locale in ("C", "C.UTF-8"):
        result = shell(exported, "$seed ls --from $disk", LC_ALL=locale, LANG=locale, PYTHONUTF8="0")
        assert "docs" in result.stdout


def test_quiet_says_nothing_and_errors_all_the_same(exported: Stage) -> None:
    assert shell(exported, "$importer inspect $disk --quiet").stdout == ""
    failed = shell(exported, "$importer inspect /none --quiet", code=1)
    assert "[disk-missing]" in failed.stderr


def test_json_is_one_document_and_the_only_thing_on_stdout(exported: Stage) -> None:
    for line in ("$importer inspect $disk --json", "$seed points --from $disk --json"):
        assert shell(exported, line).json
    failed = shell(exported, "$seed nonsense --json", code=2)
    assert failed.json["error"]["code"] == "usage"


def test_a_group_without_a_command_shows_its_help(exported: Stage) -> None:
    shown = shell(exported, "$importer vault", code=2)
    assert shown.stderr.startswith("Usage:")
    assert "[usage]" not in shown.stderr


def said(running: Process, text: bytes) -> None:
    """Read its stderr up to a line with this text."""
    assert running.stderr is not None
    while text not in (line := running.stderr.readline()):
        assert line, "it ended without saying so"


def stuck() -> Program:
    """The commands, with archives that are never placed: the disk hangs, and soon all wait for it."""
    hang = "S.put_new = lambda self, name, *a, **k: threading.Event().wait() if 'archive' in name else put(self, name, *a, **k)"
    return prepared(
        f"import threading; from formats.store.local import LocalStore as S; put = S.put_new; {hang}"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_signal_ends_it_at_once(
    copy_of: Copy, opened: Stage, long_tree: Path, room: Path, number: signal.Signals
) -> None:
    """Even where the disk hangs: the first signal waits for it. The same command then goes on."""
    stage = copy_of(opened)
    stage.command = stuck()
    running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    assert await_(lambda: list((stage.disk / "offseed").glob("*/label")), running)
    time.sleep(1)  # until it waits for the disk
    running.send_signal(number)
    said(running, b"stopping")
    time.sleep(0.3)
    assert running.poll() is None, "the disk does not hang"
    began = time.monotonic()
    stopped = ended(running, number)
    assert time.monotonic() - began < AT_ONCE
    assert stopped.code == 128 + number
    assert "stopped at once" in stopped.stderr

    stage.command = opened.command
    stage.export(long_tree)
    stage.restore(room / "restored", "--from", stage.disk)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []


def test_the_second_signal_ends_busy_threads_too(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    stage = copy_of(opened)
    stage.command = prepared(
        "import threading\n"
        "def spin():\n"
        "    while True: pass\n"
        "for _ in range(2): threading.Thread(target=spin).start()"
    )
    running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    assert await_(lambda: list((stage.disk / "offseed").glob("*/label")), running)
    running.send_signal(signal.SIGINT)
    said(running, b"stopping")
    began = time.monotonic()
    assert ended(running, signal.SIGINT).code == 130
    assert time.monotonic() - began < 2 * AT_ONCE


def test_a_signal_that_is_sent_twice_at_once_is_one_request(
    copy_of: Copy, opened: Stage, long_tree: Path
) -> None:
    """As `timeout` sends it, to the process and to its group; for this story a moment is a long one."""
    stage = copy_of(opened)
    stage.command = prepared("import formats.console; formats.console.ONE_REQUEST = 30")
    running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    assert await_(lambda: list((stage.disk / "offseed").glob("*/label")), running)
    running.send_signal(signal.SIGTERM)
    said(running, b"stopping")
    stopped = ended(running, signal.SIGTERM)
    assert stopped.code == 128 + signal.SIGTERM
    assert "[interrupted]" in stopped.stderr
    assert stage.run("importer", "inspect", stage.disk, "--json").json["disks"][0]["closed"]


def test_nohup_is_obeyed(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    stage = copy_of(opened)
    plain = stage.command
    stage.command = lambda program: ("/usr/bin/env", "nohup", *plain(program))
    running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    assert await_(lambda: list((stage.disk / "offseed").glob("*/label")), running)
    assert ended(running, signal.SIGHUP).code == 0


def test_at_a_terminal_a_bar_shows_and_ctrl_c_twice_clears_it(
    copy_of: Copy, opened: Stage, long_tree: Path
) -> None:
    stage = copy_of(opened)
    stage.command = stuck()
    terminal = Terminal(stage, "seed", "export", long_tree, "--to", stage.disk)
    terminal.until(
        b" files, "
    )  # how fast is told from the second picture on, and by then all may wait for the disk
    time.sleep(1)
    os.write(terminal.window, b"\x03")
    terminal.until(b"stopping")
    os.write(terminal.window, b"\x03")
    began = time.monotonic()
    assert terminal.end() == 130
    assert time.monotonic() - began < AT_ONCE
    assert terminal.shown.endswith(b"\r\x1b[Kstopped at once; the same command goes on\r\n")


def test_a_bar_shows_how_fast_it_goes(opened: Stage) -> None:
    stage = Stage(opened.folder)
    stage.command = prepared(
        "import time; from formats.progress import Bar, PAUSE; bar = Bar('export')\n"
        "for n in range(4): bar.show(n << 20, 9 << 20, True, ['3 files']); time.sleep(1.5 * PAUSE)\n"
        "bar.close()"
    )
    terminal = Terminal(stage, "seed", "--version")
    terminal.until(b"B/s")
    assert terminal.end() == 0


def test_a_terminal_that_is_closed_stops_it_cleanly(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    """Nothing can be said any more, and still the disk is closed, to be shipped or gone on with."""
    for _ in range(3):  # on a busy machine it may have ended before
        stage = copy_of(opened)
        terminal = Terminal(stage, "seed", "export", long_tree, "--to", stage.disk)
        terminal.until(b" files, ")
        os.close(terminal.window)
        if code := terminal.end():
            break
    assert code == 128 + signal.SIGHUP
    assert stage.run("importer", "inspect", stage.disk, "--json").json["disks"][0]["closed"]
    assert stage.export(long_tree)["resumed"]
    assert not (stage.home / "logs").exists()


FIRST_IMPORT = 0.1  # seconds, on a busy machine, from the line that starts us to the first line of ours


def test_ctrl_c_at_any_moment_is_told_in_a_line(exported: Stage) -> None:
    """From the first import on; the last moments of the interpreter, when all is said, end without a word."""
    exported.run("seed", "points", "--from", exported.disk)
    seed = int.from_bytes(os.urandom(4), "little")
    print("random seed", seed)
    delays = random.Random(seed)
    stage = Stage(exported.folder)
    stage.command = prepared("print(end='begun', flush=True)")

    def attempt(delay: float) -> None:
        running = stage.start("seed", "points", "--from", stage.disk)
        assert running.stdout is not None
        assert running.stdout.read(5) == b"begun"
        time.sleep(delay)
        result = ended(running, signal.SIGINT)
        assert result.code in (130, 0, -signal.SIGINT), result
        assert result.code != 130 or result.stderr == "\nseed: stopped\n", result

    in_parallel(attempt, [delays.uniform(FIRST_IMPORT, 0.8) for _ in range(40)])
