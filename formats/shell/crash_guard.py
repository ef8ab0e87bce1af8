"""The frame around both commands: each unforeseen error ends in one message and a code, in imports and threads too.

Importing this module is fast, because until the frame stands nothing is caught. So it imports the rest only
where it needs it.
"""

import os
import sys

TYPE_CHECKING = False  # for mypy; importing typing takes longer than all of this
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO

FAILED, STOPPED = 1, 130


def framed(program: str, work: "Callable[[], int]", logs: "Callable[[], Path]") -> int:
    """Return the exit code of `work`. Log a fault in the folder `logs` and report it without a traceback.

    Ctrl-C is reported too.
    """
    try:
        return _framed(program, work, logs)
    except KeyboardInterrupt:  # it came after the work, before `_let_go` had ended
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
        if isinstance(fault.__cause__, KeyboardInterrupt):  # Python wraps it while it makes a class
            raise fault.__cause__ from None
        tell_fault(program, fault, logs)
        return FAILED
    finally:
        _let_go()


def tell_fault(program: str, fault: BaseException, logs: "Callable[[], Path]") -> None:
    """Report that the program itself is at fault, and where the details are."""
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
    """Make both streams accept any text, in any encoding, even if the caller has closed a stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  for good
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _leave_no_core() -> None:
    """Allow no core file, because it would hold the keys.

    If the system pipes cores to a program, only that program decides.
    """
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _write_for_few() -> None:
    """Deny users outside owner and group the right to write to new files, under any umask.

    Vaults and timers get their rights from the umask alone.
    """
    os.umask(os.umask(0o077) | 0o002)


def _catch_elsewhere(program: str, logs: "Callable[[], Path]") -> None:
    """Catch the faults that reach no caller.

    Python would only print them, and the command would wait for a dead thread.
    """
    import threading

    def in_thread(fault: "threading.ExceptHookArgs") -> None:
        if fault.exc_value is not None and fault.exc_type is not SystemExit:
            tell_fault(program, fault.exc_value, logs)
            os._exit(FAILED)

    def in_callback(fault: "sys.UnraisableHookArgs") -> None:
        if isinstance(fault.exc_value, KeyboardInterrupt):  # the import system loses a Ctrl-C in this way
            _tell_stop(program)
            os._exit(STOPPED)

    threading.excepthook = in_thread
    sys.unraisablehook = in_callback


def _let_go() -> None:
    """Let Ctrl-C end the process directly from here on: at the interpreter's end nothing would catch it."""
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
        pass  # the caller does not listen


def _write_log(fault: BaseException, logs: "Callable[[], Path]") -> str | None:
    """Keep the traceback for a developer: in `logs`, or else among the temporary files."""
    import tempfile
    import time
    import traceback
    from contextlib import suppress
    from pathlib import Path

    from formats.homes import make_private

    text = "".join(traceback.format_exception(fault))
    prefix = time.strftime("fault-%Y%m%d-%H%M%S-")
    for folder in (logs, lambda: Path(tempfile.gettempdir())):
        with suppress(Exception):  # the fault may lie in the code that finds the folder
            path = folder()
            make_private(path)
            handle, name = tempfile.mkstemp(prefix=prefix, suffix=".log", dir=path)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return name
    return None
