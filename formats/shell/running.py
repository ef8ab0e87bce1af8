"""The run of a command line: each foreseen error becomes one message and an exit code."""

import signal
import sys
from collections.abc import Callable
from typing import Any

import typer

from formats.errors import GOES_ON, Interrupted, OffseedError, UsageError, fault
from formats.shell.console import DONE, FAILED, NOT_FINISHED, Console, consoles, job_homes
from formats.shell.jobs.log import JobLog
from formats.shell.streams import drop_output

STOPPED = 128 + signal.SIGINT
MORE_ROOM = ("disk-full", "disk-needed", "disk-small")  # nothing is wrong: the same command continues


def run(program: str, app: typer.Typer, ended: Callable[[Console], None] | None = None) -> int:
    """Run the command line and return its exit code; each foreseen error becomes one message.

    `ended` is called after a job that was logged.
    """
    consoles.clear()
    code = FAILED
    try:
        code = _run(program, app)
    except KeyboardInterrupt:
        code = STOPPED
        raise
    except Exception as error:
        _console().error = fault(error)
        raise
    finally:
        console = _console()
        console.output.flush()
        if console.log is not None and (console.log.is_begun or code in (FAILED, NOT_FINISHED)):
            console.log.end(code, console.error, console)
            if ended is not None:
                ended(console)
    return code


def _run(program: str, app: typer.Typer) -> int:
    try:
        code = app(standalone_mode=False, prog_name=program)
        sys.stdout.flush()
    except typer.Exit as error:
        return error.exit_code
    except Interrupted as error:
        console = _console()
        if console.log is None:  # a command that is no job starts again from the beginning
            error.what = error.what.removesuffix(GOES_ON)
        console.fail(program, error)
        return 128 + console.signal_number
    except OffseedError as error:
        _console().fail(program, error)
        needs_a_disk = all(one.code in MORE_ROOM for one in (error, *error.others))
        return NOT_FINISHED if needs_a_disk else error.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        if consoles:
            raise
        drop_output()  # a help text was printed
        return DONE
    except Exception as error:
        if not hasattr(error, "format_message"):
            _console().report_findings()
            raise
        return _fail_usage(program, error)
    if code == STOPPED and not _console().stop:  # typer has swallowed the Ctrl-C
        raise KeyboardInterrupt
    return code if isinstance(code, int) else DONE


def _fail_usage(program: str, error: Any) -> int:
    """Report an error of the option parser as one of our errors."""
    context = getattr(error, "ctx", None)
    path, name = getattr(context, "command_path", program), getattr(context, "info_name", None)
    console = _console()
    if (
        "--scheduled" in sys.argv and name in job_homes
    ):  # nobody watches a command that the system's timer starts
        consoles.append(console)
        console.log = JobLog(job_homes[name](), name)
        console.log.begin()
    console.fail(program, UsageError("usage", error.format_message(), hint=f"see {path} --help"))
    return UsageError.exit_code


def _console() -> Console:
    return consoles[-1] if consoles else Console(as_json="--json" in sys.argv)
