"""How both commands speak to people and scripts: results, errors, progress, exit codes.

Results go to stdout, as text or with --json as one document; all else goes to stderr. It lies in `formats` because
the two commands share nothing else; only their `cli` packages use it.
"""

import errno
import functools
import importlib.metadata
import inspect
import io
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from formats.errors import Interrupted, OffseedError
from formats.monitor import Finding, Tally
from formats.wire import Json

FINDINGS_SHOWN = 10
DONE, FAILED, WITH_FINDINGS, NOT_FINISHED = 0, 1, 3, 4


class Console(Tally):
    """The monitor of a command line, and its voice."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__()
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.signal_number = signal.SIGINT
        self._lock = threading.Lock()
        self._bar: Any = None

    def say(self, text: str = "") -> None:
        """A line of the human result."""
        if not self.as_json and not self.quiet:
            print(printable(text))

    def result(self, value: Json) -> None:
        """The result for scripts: the one document of --json."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=True))

    def aside(self, text: str) -> None:
        """A line on stderr, above the progress bar."""
        with self._lock:
            if self._bar is not None:
                self._bar.clear()
            print(printable(text), file=sys.stderr, flush=True)

    def finding(self, finding: Finding) -> None:
        with self._lock:
            super().finding(finding)
        if self.verbose:
            self.aside(f"{finding.code}: {finding.subject}: {finding.detail}")

    def notice(self, text: str) -> None:
        super().notice(text)
        if not self.quiet:
            self.aside(f"note: {text}")

    def progress(self, *, done: int = 0, files: int = 0, stored: int = 0) -> None:
        with self._lock:
            super().progress(done=done, files=files, stored=stored)
            if self._bar is not None:
                self._bar.update(done)
                if files or stored:
                    self._bar.set_postfix_str(
                        f"{self.files:,} files, {size(self.stored)} written", refresh=False
                    )

    @contextmanager
    def working(self, title: str, total: int | None = None) -> Iterator[None]:
        """Show progress while inside, and turn the first Ctrl-C, SIGTERM or SIGHUP into `stopping`."""
        if sys.stderr.isatty() and not self.quiet:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                desc=title,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                leave=False,
                mininterval=0.3,
            )
        before = {s: signal.signal(s, self._on_signal) for s in _stop_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True
        self.signal_number = signal.Signals(number)
        os.write(2, b"\nstopping: what is in flight is finished first; once more stops at once\n")

    def report_findings(self) -> None:
        """Count by cause, and show the first ten."""
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
        """Say an error once: on stderr, and with --json as the one document on stdout."""
        self.report_findings()
        lines = [f"{program}: {error} [{error.code}]"]
        if error.hint:
            lines.append(f"  what to do: {error.hint}")
        self.aside("\n".join(lines))
        self.result(
            {"error": {"code": error.code, "what": error.what, "subject": error.subject, "hint": error.hint}}
        )


def printable(text: str) -> str:
    """`text` as a terminal may show it: a file name cannot move the cursor, nor break a line or an encoding."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    if 0xDC80 <= ord(c) <= 0xDCFF:
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape").decode("ascii")


def one_line(text: str) -> str:
    """`printable`, newlines escaped too."""
    return printable(text).replace("\n", "\\n")


def size(count: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} TiB"


def moment(seconds: int) -> str:
    """A time in this machine's zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return f"@{seconds}"


def print_version(wanted: bool) -> None:
    """For `--version`: what is installed."""
    if wanted:
        print(f"offseed {importlib.metadata.version('offseed')}")
        raise typer.Exit


JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print every warning as it is met.")]

Command = Callable[..., int | None]


def command(app: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Register a command whose first parameter is the console; adds --json, --quiet and --verbose.

    The function returns an exit code, None for 0; findings turn 0 into 3.
    """

    def register(function: Command) -> Command:
        signature = inspect.signature(function)
        own = list(signature.parameters.values())[1:]
        common = {"as_json": JsonOption, "quiet": QuietOption, "verbose": VerboseOption}
        keyword = inspect.Parameter.KEYWORD_ONLY
        options = [inspect.Parameter(n, keyword, default=False, annotation=a) for n, a in common.items()]

        @functools.wraps(function)
        def wrapped(**arguments: Any) -> None:
            switches = {n: arguments.pop(n) for n in common}
            _consoles.append(console := Console(**switches))
            try:
                code = function(console, **arguments) or DONE
                sys.stdout.flush()
            except BrokenPipeError:  # who reads has seen enough, as `head` does
                _drop_output()
                raise typer.Exit(DONE) from None
            except OSError as error:
                if error.errno != errno.ENOSPC or error.filename is not None:
                    raise
                _drop_output()
                raise OffseedError(
                    "disk-full", "the output cannot be written", hint="send it where there is room"
                ) from error
            console.report_findings()
            raise typer.Exit(WITH_FINDINGS if code == DONE and console.findings else code)

        parameters = [p.replace(kind=keyword) for p in own]
        wrapped.__signature__ = signature.replace(parameters=[*parameters, *options])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in (*parameters, *options)}
        app.command(name)(wrapped)
        return function

    return register


_consoles: list[Console] = []


def run(program: str, app: typer.Typer, log_folder: Callable[[], Path]) -> int:
    """Run the command line; whatever happens becomes one message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  closed by who called us
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    _consoles.clear()
    try:
        code = app(standalone_mode=False, prog_name=program)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except typer.Exit as error:
        return error.exit_code
    except Interrupted as error:
        console = _console()
        console.fail(program, error)
        return 128 + console.signal_number
    except OffseedError as error:
        _console().fail(program, error)
        return NOT_FINISHED if error.code == "disk-full" else error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print(f"\n{program}: stopped", file=sys.stderr)
        return 130
    except Exception as error:  # the last line of defence: a user never sees a traceback
        if hasattr(
            error, "format_message"
        ):  # a usage error of the option parser; empty, it has shown the help
            if message := error.format_message():
                _console().fail(program, OffseedError("usage", message, hint=f"see {program} --help"))
            return 2
        path = _write_fault(log_folder())
        _console().fail(
            program,
            OffseedError("internal", f"a fault in {program} itself", subject=type(error).__name__,
                         hint=f"please report it; the details are in {path}"),
        )  # fmt: skip
        return FAILED


def _drop_output() -> None:
    """Nothing more reaches stdout, not even what the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _console() -> Console:
    return _consoles[-1] if _consoles else Console(as_json="--json" in sys.argv)


def _write_fault(folder: Path) -> Path | str:
    """Keep the traceback where a developer can ask for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / time.strftime("fault-%Y%m%d-%H%M%S.log")
        path.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
        return path
    except OSError:
        return "no log, for none could be written:\n" + traceback.format_exc()


def _stop_signals() -> list[signal.Signals]:
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    main = threading.current_thread() is threading.main_thread()
    return [getattr(signal, n) for n in names if hasattr(signal, n)] if main else []
