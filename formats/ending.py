"""The frame around both commands: what nobody foresaw, in imports and threads too, ends in one message and a code.

To import it takes no time, for until it stands nothing is caught; so it imports the rest only where it is needed.
"""

import os
import sys

TYPE_CHECKING = False  # for mypy; to import typing takes longer than all this
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO

FAILED, STOPPED = 1, 130


def framed(program: str, work: "Callable[[], int]", logs: "Callable[[], Path]") -> int:
    """Return the exit code of `work`. A fault is logged in the folder `logs` and told without a traceback; Ctrl-C is told."""
    try:
        return _framed(program, work, logs)
    except KeyboardInterrupt:  # it came when the work was done, before `_let_go` had ended
        _tell_stop(program)
        return STOPPED


def _framed(program: str, work: "Callable[[], int]", logs: "Callable[[], Path]") -> int:
    try:
        _open_streams()
        _leave_no_core()
        _write_for_few()
        _catch_elsewhere(program, logs)
        return work()
    except Exception as fault:
        if isinstance(fault.__cause__, KeyboardInterrupt):  # Python wraps what comes while it makes a class
            raise fault.__cause__ from None
        tell_fault(program, fault, logs)
        return FAILED
    finally:
        _let_go()


def tell_fault(program: str, fault: BaseException, logs: "Callable[[], Path]") -> None:
    """Say that the program itself is at fault, and where the details are."""
    import json

    log = _write_log(fault, logs)
    what, name = f"a fault in {program} itself", type(fault).__name__
    hint = (
        f"please report it; the details are in {log}" if log else "please report it; no log could be written"
    )
    _say(f"{program}: {what}: {name} [internal]\n  what to do: {hint}")
    if "--json" in sys.argv:
        error = {"code": "internal", "what": what, "subject": name, "hint": hint}
        _print(json.dumps({"error": error}), sys.stdout)


def _open_streams() -> None:
    """Anything can be printed, whatever the encoding, and though who called us has closed a stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  for good
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _leave_no_core() -> None:
    """A core file would hold the keys. Where cores are piped to a program, the system asks that program alone."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _write_for_few() -> None:
    """Whatever the umask, not every user may write in what a command makes: vaults and timers are made by the umask alone."""
    os.umask(os.umask(0o077) | 0o002)


def _catch_elsewhere(program: str, logs: "Callable[[], Path]") -> None:
    """Faults that reach no caller: Python would print them, and the command would wait for a dead thread."""
    import threading

    def in_thread(fault: "threading.ExceptHookArgs") -> None:
        if fault.exc_value is not None and fault.exc_type is not SystemExit:
            tell_fault(program, fault.exc_value, logs)
            os._exit(FAILED)

    def in_callback(fault: "sys.UnraisableHookArgs") -> None:
        if isinstance(fault.exc_value, KeyboardInterrupt):  # the import system loses it so
            _tell_stop(program)
            os._exit(STOPPED)

    threading.excepthook = in_thread
    sys.unraisablehook = in_callback


def _let_go() -> None:
    """Ctrl-C ends the process by itself from here on: at the interpreter's end nobody would catch it."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _tell_stop(program: str) -> None:
    _say(f"\n{program}: stopped")


def _say(text: str) -> None:
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    _print(clear + text, sys.stderr)


def _print(text: str, stream: "TextIO") -> None:
    try:
        print(text, file=stream, flush=True)
    except OSError:
        pass  # who called us does not listen


def _write_log(fault: BaseException, logs: "Callable[[], Path]") -> str | None:
    """Keep the traceback where a developer can ask for it: in `logs`, else among the temporary files."""
    import tempfile
    import time
    import traceback
    from contextlib import suppress
    from pathlib import Path

    from formats.homes import make_private

    text = "".join(traceback.format_exception(fault))
    prefix = time.strftime("fault-%Y%m%d-%H%M%S-")
    for folder in (logs, lambda: Path(tempfile.gettempdir())):
        with suppress(Exception):  # what is at fault may be what finds the folder
            path = folder()
            make_private(path)
            handle, name = tempfile.mkstemp(prefix=prefix, suffix=".log", dir=path)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return name
    return None
