"""Effects of a terminal and a shell: pipes that end early, an odd locale, signals, a closed window."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from formats.shell.console import ONE_REQUEST
from tests.commands import Process
from tests.effort import seeded
from tests.journeys import moments, trees
from tests.journeys.stage import Copy, Result, Stage, below, ended, flip, in_parallel, judged, prepared
from tests.journeys.terminal import Terminal

assert sys.platform == "linux"


def shell(stage: Stage, line: str, code: int = 0, **environment: str) -> Result:
    """Run a line in a shell that fails if any command of a pipe fails."""
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
    """Report an error if a listing goes into a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    result = shell(exported, "$seed ls --from $disk >/dev/full", code=4)
    assert result.stderr


def test_what_is_written_after_the_output_is_written_where_nobody_reads(
    exported: Stage, copy_of: Copy
) -> None:
    """Do all work and keep the exit code of a finding, even if a pipe's reader left before the first line."""
    stage = copy_of(exported)
    largest = stage.objects("archives")[0]
    flip(largest, largest.stat().st_size // 2)
    words = "$importer import $disk --vault $vault --report report.json"
    told = shell(stage, f"({words}; echo $? >code) | true")
    assert json.loads((stage.folder / "report.json").read_text())["disks"]
    assert (stage.folder / "code").read_text() == "3\n", told
    for command, file in (
        ("$importer report --vault $vault --out page.html", "page.html"),
        ("$seed report --out own.html", "own.html"),
        ("$seed set labels --out labels", "labels/slip.html"),
        ("$importer credentials issue --vault $vault --out second.credential", "second.credential"),
    ):
        shell(stage, f"({command}; echo $? >code) | true")
        assert (stage.folder / file).stat().st_size, command
        assert (stage.folder / "code").read_text() == "0\n", command


def test_a_full_output_keeps_nothing_from_being_done(exported: Stage, copy_of: Copy) -> None:
    stage = copy_of(exported)
    words = "$importer import $disk --vault $vault --report report.json --json"
    result = shell(stage, f"{words} >/dev/full", code=4)
    assert "the output cannot be written" in result.stderr
    assert json.loads((stage.folder / "report.json").read_text())["disks"]


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


# The disk hangs for ever at its first archive. The command reports when its main thread waits for it too.
# After that no thread reads or draws any more.
STUCK = """
import os, threading
from formats.store.local import LocalStore as S
hung, put, free = threading.Event(), S.put_new, S.free_bytes
def hang():
    if threading.current_thread() is threading.main_thread():
        os.write(2, b"the disk hangs\\n")
    while True:
        threading.Event().wait(0.05)  # as the product waits for its disks, for a while and again
def put_new(self, name, data):
    if "offseed" in self.address and name.startswith("archives/"):
        hung.set()
        hang()
    return put(self, name, data)
def free_bytes(self):
    if "offseed" in self.address and hung.is_set():
        hang()
    return free(self)
S.put_new, S.free_bytes = put_new, free_bytes
"""
HANGS = b"the disk hangs"
# A bar that draws every picture.
ALWAYS_SHOWN = "import formats.shell.progress; formats.shell.progress.PAUSE = 0\n"
# Two threads that are always at work, beside the command.
BUSY = """
import threading
def spin():
    while True: pass
for _ in range(2): threading.Thread(target=spin).start()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_signal_ends_it_at_once(
    copy_of: Copy, opened: Stage, long_tree: Path, room: Path, number: signal.Signals
) -> None:
    """End at the second signal, even where the disk hangs: the first signal waits for the disk.

    The same command then goes on. The end of the command is the proof: it would wait for the disk for ever.
    """
    stage = copy_of(opened)
    stage.command = prepared(STUCK)
    running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    said(running, HANGS)
    running.send_signal(number)
    said(running, b"stopping")
    time.sleep(2 * ONE_REQUEST)  # an earlier signal would be the same request
    assert running.poll() is None, "the disk does not hang"
    stopped = ended(running, number)
    assert stopped.code == 128 + number
    assert "stopped at once" in stopped.stderr

    stage.command = opened.command
    stage.export(long_tree)
    stage.restore(room / "restored", "--from", stage.disk)
    assert trees.differences(long_tree, below(room / "restored", long_tree)) == []


def test_the_second_signal_ends_busy_threads_too(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    """End threads at the second signal that never end otherwise, while the disk does not answer."""
    stage = copy_of(opened)
    stage.command = prepared(BUSY + STUCK)
    running = stage.start("seed", "export", long_tree, "--to", stage.disk)
    said(running, HANGS)
    running.send_signal(signal.SIGINT)
    said(running, b"stopping")
    stopped = ended(running, signal.SIGINT)
    assert stopped.code == 130
    assert "stopped at once" in stopped.stderr


def test_a_signal_that_is_sent_twice_at_once_is_one_request(
    copy_of: Copy, opened: Stage, long_tree: Path
) -> None:
    """Take two signals at once for one request, as `timeout` sends them to the process and to its group.

    In this story such a moment lasts for ever.
    """
    stage = copy_of(opened)
    twice = moments.at("asked", signal.SIGTERM, stage.disk, times=2)
    one_request = "import formats.shell.console; formats.shell.console.ONE_REQUEST = float('inf')"
    stage.command = prepared(f"{one_request}; {twice.prelude}")
    stopped = stage.run("seed", "export", long_tree, "--to", stage.disk, code=128 + signal.SIGTERM)
    assert stopped.stderr.count("stopping") == 1
    assert "[interrupted]" in stopped.stderr
    assert stage.run("importer", "inspect", stage.disk, "--json").json["disks"][0]["closed"]


def test_nohup_is_obeyed(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    stage = copy_of(opened)
    struck = moments.at("asked", signal.SIGHUP, stage.disk)
    stage.command = lambda program: ("/usr/bin/env", "nohup", *struck(program))
    stage.run("seed", "export", long_tree, "--to", stage.disk)


def test_at_a_terminal_a_bar_shows_and_ctrl_c_twice_clears_it(
    copy_of: Copy, opened: Stage, long_tree: Path
) -> None:
    """End at once after the second Ctrl-C, although the awaited disk never answers."""
    stage = copy_of(opened)
    stage.command = prepared(ALWAYS_SHOWN + STUCK)
    terminal = Terminal(stage, "seed", "export", long_tree, "--to", stage.disk)
    terminal.until(b" files, ")
    terminal.until(HANGS)
    os.write(terminal.window, b"\x03")
    terminal.until(b"stopping")
    os.write(terminal.window, b"\x03")
    assert terminal.end() == 130
    assert terminal.shown.endswith(b"\r\x1b[Kstopped at once; the same command goes on\r\n")


def test_a_bar_shows_how_fast_it_goes(opened: Stage) -> None:
    stage = Stage(opened.folder)
    stage.command = prepared(
        "import time; from formats.shell.progress import Bar, PAUSE; bar = Bar('export')\n"
        "for n in range(4): bar.show(n << 20, 9 << 20, True, ['3 files']); time.sleep(1.5 * PAUSE)\n"
        "bar.close()"
    )
    terminal = Terminal(stage, "seed", "--version")
    terminal.until(b"B/s")
    assert terminal.end() == 0


def test_a_terminal_that_is_closed_stops_it_cleanly(copy_of: Copy, opened: Stage, long_tree: Path) -> None:
    """Close the disk after the terminal went away, so that it can be shipped or resumed."""
    stage = copy_of(opened)
    paused = moments.at("writing", 0, stage.disk)
    with moments.using(stage, prepared(ALWAYS_SHOWN + paused.prelude)):
        terminal = Terminal(stage, "seed", "export", long_tree, "--to", stage.disk)
    terminal.until(b" files, ")
    terminal.until(moments.REACHED.strip())
    os.close(terminal.window)
    assert terminal.end() == 128 + signal.SIGHUP
    assert stage.run("importer", "inspect", stage.disk, "--json").json["disks"][0]["closed"]
    assert stage.export(long_tree)["resumed"]
    assert not (stage.home / "logs").exists()


# Ctrl-C as the n-th function begins; or a count of all functions, for n = 0. From our first code on.
CALLED = """
import atexit, signal, sys
from pathlib import Path
left = {nth}
def called(frame, event, _):
    global left
    if event == "call":
        left -= 1
        if not left:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)
def begin(frame, event, _):
    if event == "call" and frame.f_code.co_name == "_work":
        sys.setprofile(called)
if not left:
    atexit.register(lambda: (sys.setprofile(None), Path({counted!r}).write_text(str(-left))))
sys.setprofile(begin)
"""


def test_ctrl_c_at_any_moment_is_told_in_a_line(exported: Stage, room: Path) -> None:
    """Report Ctrl-C in one line at any call of a function.

    The last moments of the interpreter, after all output, end without a word.
    """
    words = ("seed", "points", "--from", exported.disk)

    def interrupted(nth: int) -> Result:
        own = Stage(exported.folder)
        own.command = prepared(CALLED.format(nth=nth, counted=str(room / "counted")))
        return own.run(*words, code=None)

    assert interrupted(0).code == 0
    calls = int((room / "counted").read_text())
    print(calls, "calls of a function")

    def attempt(nth: int) -> None:
        result = interrupted(nth)
        assert result.code in (130, 0, -signal.SIGINT), result
        assert result.code != 130 or result.stderr == "\nseed: stopped\n", result

    in_parallel(attempt, seeded().sample(range(1, calls + 1), 40))
