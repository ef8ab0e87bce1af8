"""The way in which both commands speak to people and scripts: results, errors, progress, exit codes.

Results go to stdout, as text or with --json as one document; everything else goes to stderr. This module lies
in `formats` because the two commands share nothing else. Only their `cli` packages use it.
"""

import errno
import functools
import inspect
import json
import os
import signal
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from formats.errors import GOES_ON, Interrupted, OffseedError
from formats.monitor import Finding, Tally
from formats.shell.jobs.log import JobLog
from formats.shell.platforms import warnings
from formats.shell.progress import Bar, Rate, every
from formats.shell.streams import Output, write_error
from formats.store.clock import SYSTEM
from formats.store.failures import meaning
from formats.untrusted import Json
from formats.words import counted, one_line, printable, size

FINDINGS_SHOWN = 10
STOPPING = "stopping: what is in flight is finished first; once more stops at once"
ONE_REQUEST = 0.1  # seconds: `timeout`, or a terminal that closes, sends a signal twice at once
DONE, FAILED, WITH_FINDINGS, NOT_FINISHED = 0, 1, 3, 4
_HANDLES = {errno.EMFILE, errno.ENFILE}
_MACHINE = {errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, *_HANDLES}


class Console(Tally):
    """The monitor of a command line. It prints all output of the command."""

    interval = 60.0  # seconds between two lines of progress if stderr is no terminal

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__()
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.signal_number = signal.SIGINT
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self._stopped_at = 0.0
        self._said = b""
        self.output = Output()
        self.only_tells = False  # the command does nothing except print
        self.log: JobLog | None = None  # the log of a job; it records from the moment when the work begins
        self.error: OffseedError | None = None
        self._noun = "file"
        self.seconds = 0.0  # that the last work took: see `working`

    def say(self, text: str = "", *, at_once: bool = False) -> None:
        """Print one line of the human result; any name in it is safe.

        With `at_once`, a pipe gets it immediately.
        """
        if not self.as_json and not self.quiet:
            self._put(one_line(text), at_once)

    def result(self, value: Json, *, at_once: bool = False) -> None:
        """Print the result for scripts: the one document of --json."""
        if self.as_json:
            self._put(json.dumps(value, ensure_ascii=True), at_once)

    def _put(self, text: str, at_once: bool) -> None:
        self.output.write(text, flush=at_once)
        if self.only_tells and not self.output.is_heard and self.output.lost is None:
            raise typer.Exit(DONE)  # the reader, such as `head`, has seen enough

    def aside(self, *lines: str, end: str = "\n") -> None:
        """Print lines on stderr, above the progress bar. It is no error if nobody reads them."""
        with self._lock, suppress(OSError):
            if self._bar is not None:
                self._bar.clear()
            print("\n".join(map(one_line, lines)), file=sys.stderr, end=end, flush=True)

    def finding(self, finding: Finding) -> None:
        with self._lock:
            super().finding(finding)
            if self.log is not None:
                self.log.finding(finding)
        if self.verbose:
            self.aside(f"{finding.code}: {finding.subject}: {finding.detail}")

    def notice(self, text: str) -> None:
        super().notice(text)
        if self.log is not None:
            self.log.notice(text)
        if not self.quiet:
            self.aside(f"note: {text}")

    def progress(self, *, done: int = 0, files: int = 0, stored: int = 0, kept: int = 0) -> None:
        with self._lock:
            super().progress(done=done, files=files, stored=stored, kept=kept)
            if self.log is not None:
                self.log.progress(self)
            self._show()

    def expect(self, *, total: int, files: int, final: bool) -> None:
        with self._lock:
            super().expect(total=total, files=files, final=final)
            self._show()

    def left(self) -> str:
        """Return the amount still to read, such as "at least 1.40 TiB left"; "" if it is not known."""
        least = "" if self.expected_final else "at least "
        return f"{least}{size(self.expected - self._met)} left" if self._met < self.expected else ""

    @property
    def _met(self) -> int:
        return self.done + self.kept

    @contextmanager
    def working(self, title: str, total: int | None = None, noun: str = "file") -> Iterator[None]:
        """Show progress while inside, and heed the signals to stop.

        The first Ctrl-C, SIGTERM or SIGHUP sets `stopping`; the second ends the process. `total` bytes are
        expected. `noun` names the counted things. Afterwards, `seconds` is the duration of the work. A command
        that was started with `nohup` continues when the terminal closes.
        """
        self._noun = noun
        if self.log is not None:
            self.log.begin()
        if total is not None:
            self.expect(total=total, files=0, final=True)
        began = SYSTEM.elapsed()
        with self.heeding(), self._shown(title):
            yield
        self.seconds = SYSTEM.elapsed() - began

    @contextmanager
    def heeding(self, said: str = STOPPING) -> Iterator[None]:
        """Take the first signal to stop as a request while inside, and confirm it by printing `said`.

        The second signal ends the process.
        """
        self._said = f"\n{said}\n".encode()
        before = {number: signal.signal(number, self._on_signal) for number in _heard_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop_in_order(self) -> None:
        """Let a signal to stop end this command at once from now on, but in order.

        The command undoes and reports the work that it has begun.
        """
        for number in _heard_signals():
            signal.signal(number, self._on_order)

    def _on_order(self, number: int, _: FrameType | None) -> None:
        if self.stop and time.monotonic() - self._stopped_at <= ONE_REQUEST:
            return
        self.stop, self._stopped_at = True, time.monotonic()
        self.signal_number = signal.Signals(number)
        raise Interrupted(number)

    @contextmanager
    def _shown(self, title: str) -> Iterator[None]:
        if self.quiet:
            yield
        elif sys.stderr.isatty():
            self._bar = Bar(title)
            try:
                yield
            finally:
                with self._lock:
                    self._bar.close()
                    self._bar = None
        else:
            with every(self.interval, functools.partial(self._say_progress, title, Rate(self.done))):
                yield

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.show(self._met, self.expected, self.expected_final, self._counts())

    def _say_progress(self, title: str, rate: Rate) -> None:
        least = "" if self.expected_final else "≥ "
        of = f" of {least}{size(self.expected)}" if self._met < self.expected else ""
        parts = [f"{title}: {size(self._met)}{of} read", *self._counts(), f"{size(rate.of(self.done))}/s"]
        self.aside(", ".join(parts))

    def _counts(self) -> list[str]:
        files = [counted(self.files, self._noun)] if self.files else []
        return [*files, f"{size(self.stored)} written"] if self.stored else files

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        """Handle a signal to stop.

        It takes no lock, and no call in it may fail, because it runs between any two steps of the main
        thread.
        """
        if not self.stop:
            self.stop = True
            self.signal_number = signal.Signals(number)
            self._stopped_at = time.monotonic()
            write_error(self._said)
        elif number == signal.SIGINT or time.monotonic() - self._stopped_at > ONE_REQUEST:
            clear = b"\n" if self._bar is None else b"\r\x1b[K"
            goes_on = GOES_ON if self.log is not None else ""
            write_error(clear + f"stopped at once{goes_on}\n".encode())
            os._exit(128 + number)

    def report_findings(self) -> None:
        """Print the number of findings by cause, and the first ten."""
        if not self.findings or self.as_json:
            return
        counts = Counter(f.code for f in self.findings)
        self.aside("with warnings: " + ", ".join(f"{n} × {code}" for code, n in counts.most_common()))
        if not self.verbose:
            for finding in self.findings[:FINDINGS_SHOWN]:
                self.aside(f"  {finding.code}: {finding.subject}: {finding.detail}")
            if len(self.findings) > FINDINGS_SHOWN:
                self.aside(f"  and {len(self.findings) - FINDINGS_SHOWN} more; --verbose shows all")

    def findings_json(self) -> list[Json]:
        return [{"code": f.code, "subject": printable(f.subject), "detail": f.detail} for f in self.findings]

    def fail(self, program: str, error: OffseedError) -> None:
        """Report an error, and the errors beside it, once.

        It goes to stderr, and with --json also to stdout, as the one document.
        """
        self.error = error
        self.only_tells = False  # the command ends already
        self.report_findings()
        told: list[Json] = []
        for one in (error, *error.others):
            lines = [f"{program}: {one} [{one.code}]"]
            if one.hint:
                lines.append(f"  what to do: {one.hint}")
            self.aside(*lines)
            told.append({"code": one.code, "what": one.what, "subject": one.subject, "hint": one.hint})
        shown: dict[str, Json] = {"error": told[0], **({"others": told[1:]} if told[1:] else {})}
        self.result(shown | ({"findings": self.findings_json()} if self.findings else {}))


JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and warnings.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print every warning as it is met.")]

Command = Callable[..., int | None]

consoles: list[Console] = []  # of the commands of this process that have begun
job_homes: dict[str, Callable[[], Path]] = {}  # the home of each command that is a job


def command(
    app: typer.Typer,
    name: str,
    job: Callable[[], Path] | None = None,
    example: str = "",
    *,
    only_tells: bool = False,
) -> Callable[[Command], Command]:
    """Register a command, which gets the console as its first parameter; add --json, --quiet and --verbose.

    The function returns an exit code, None for 0; findings turn 0 into 3. A `job` is logged in the home at
    that path. A command that `only_tells` ends when nobody reads its output any longer. The docstring is the
    help. An `example` follows it if both programs have the command.
    """

    def register(function: Command) -> Command:
        if job is not None:
            job_homes[name] = job
        program = function.__module__.partition(".")[0]
        signature = inspect.signature(function)
        own = list(signature.parameters.values())[1:]
        common = {"as_json": JsonOption, "quiet": QuietOption, "verbose": VerboseOption}
        keyword = inspect.Parameter.KEYWORD_ONLY
        options = [inspect.Parameter(n, keyword, default=False, annotation=a) for n, a in common.items()]

        @functools.wraps(function)
        def wrapped(**arguments: Any) -> None:
            switches = {n: arguments.pop(n) for n in common}
            consoles.append(console := Console(**switches))
            console.only_tells = only_tells
            if job is not None and not _only_looks({n for n, v in arguments.items() if v}):
                console.log = JobLog(job(), name)
                if arguments.get("scheduled"):
                    console.log.begin()
                    console.stop_in_order()
            if job is not None:
                for text in warnings(sys.platform, f"{program} {name}"):
                    console.notice(text)
            try:
                code = function(console, **arguments) or DONE
            except OSError as error:
                raise _refused(error) from error
            console.output.finish()
            console.report_findings()
            raise typer.Exit(WITH_FINDINGS if code == DONE and console.findings else code)

        parameters = [p.replace(kind=keyword) for p in own]
        wrapped.__signature__ = signature.replace(parameters=[*parameters, *options])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in (*parameters, *options)}
        about = f"{function.__doc__ or ''}\n\nExample: {example}" if example else function.__doc__ or ""
        app.command(name, help=_unwrapped(about))(wrapped)
        return function

    return register


def _only_looks(options: set[str]) -> bool:
    """Return whether the command changes nothing itself: it only looks, or another process does the work."""
    return "dry_run" in options or ("detach" in options and "detached" not in options)


def _refused(error: OSError) -> Exception:
    """Return the error for a refusal of the operating system, or `error` itself if the program is at fault.

    No stage of the work has handled such a refusal. It comes mostly from the home.
    """
    if error.errno not in _MACHINE or (error.filename is None and error.errno not in _HANDLES):
        return error
    return meaning(error, os.fsdecode(error.filename or ""))


def _unwrapped(text: str) -> str:
    """Return a docstring as help. Its example stays on one line, so that a user can copy it."""
    return inspect.cleandoc(text).replace("\n\nExample:", "\n\n\b\nExample:")


def _heard_signals() -> list[signal.Signals]:
    """Return the signals to stop, without those that the caller has told this command to ignore."""
    if threading.current_thread() is not threading.main_thread():
        return []
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    there = [signal.Signals(getattr(signal, n)) for n in names if hasattr(signal, n)]
    return [s for s in there if signal.getsignal(s) != signal.SIG_IGN or s == signal.SIGINT]


def warn_if_open(console: Console, path: Path) -> None:
    """Warn if other users than the owner can read a file with a secret."""
    with suppress(OSError):
        status = path.stat()
        if sys.platform != "win32" and stat.S_ISREG(status.st_mode) and status.st_mode & 0o044:
            console.notice(
                f"other users can read {path}, which holds a secret: `chmod 600` closes it to them"
            )
