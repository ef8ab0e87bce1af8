"""A server that forks the commands `seed` and `importer`: real processes, without the time of their imports.

It imports everything once and forks for each request. A fork has its own pid, descriptors, signals, folder
and environment, and on request its own session and terminal. It runs the same `main` as the installed script.
`tests.commands` sends the requests.

Run it as a script with the number of an inherited socket: `python -P forkserver.py 7`. It ends when that
socket closes.
"""

import atexit
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import tempfile
import termios
import threading
import time
import traceback
from contextlib import suppress

assert sys.platform == "linux"

PACKAGES = ("formats", "importer", "seed")
WHOLE = (*PACKAGES, "typer._click")
OF_OTHER_SYSTEMS = {"windows", "macos", "_winconsole", "_winterm", "__main__"}
# The packages import these late, in functions.
LATE = (
    "encodings.ascii", "encodings.idna", "encodings.latin_1",
    "azure.storage.blob", "concurrent.futures.thread", "cryptography.hazmat.backends.openssl.backend", "importlib.metadata",
    "multiprocessing.connection", "pyarrow.compute", "pyarrow.parquet", "tqdm", "typer.completion", "zoneinfo",
)  # fmt: skip
PR_SET_DUMPABLE = 4
DESCRIPTORS = 4  # the three standard ones, and the socket that hears how the fork ends


def main() -> None:
    asked = socket.socket(fileno=int(sys.argv[1]))
    preload()
    selector = selectors.DefaultSelector()
    selector.register(asked, selectors.EVENT_READ)
    forks: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: the pid, and the socket
    while True:
        for key, _ in selector.select():
            if key.fileobj is not asked:
                pid, answers = forks.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                _, status, used = os.wait4(pid, 0)
                code, worked = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
                with suppress(OSError):  # the client may have stopped listening
                    answers.send(b"%d %f" % (code, worked))
                answers.close()
                continue
            message, descriptors, _, _ = socket.recv_fds(asked, 1, DESCRIPTORS + 1)
            if not message:
                return
            request, *given = descriptors
            with open(request, "rb") as file:
                wanted = json.loads(file.read())
            pid = os.fork()
            if not pid:
                run(wanted, given)
            for descriptor in given[:3]:
                os.close(descriptor)
            answers = socket.socket(fileno=given[3])
            pidfd = os.pidfd_open(pid)
            forks[pidfd] = pid, answers
            socket.send_fds(answers, [b"%d" % pid], [pidfd])
            selector.register(pidfd, selectors.EVENT_READ)


def preload() -> None:
    """Import all modules of the product, and make keys as cheap to derive as readers accept."""
    for package in WHOLE:
        importlib.import_module(package)
        for module in pkgutil.walk_packages(sys.modules[package].__path__, f"{package}."):
            if not set(module.name.split(".")[1:]) & OF_OTHER_SYSTEMS:
                importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    from formats.keyed import slots

    slots.make_slot.__defaults__ = (slots.KdfCost(memory_kib=19 << 10, time=1, lanes=1),)
    gc.collect()
    gc.freeze()


def run(wanted: dict[str, object], descriptors: list[int]) -> None:
    """Become the command, and end as an interpreter does. Never returns."""
    code = 1
    try:
        become(wanted, descriptors)
        names: dict[str, object] = {"__name__": "__main__"}
        if wanted["prelude"]:
            before = bindings()
            exec(compile(str(wanted["prelude"]), "<prelude>", "exec"), names)
            rebind(before)
        exec(compile(str(wanted["main"]), "<string>", "exec"), names)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(end(code))


def bindings() -> dict[str, dict[str, object]]:
    """Return the objects in every module of the product, by the names of module and attribute."""
    ours = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    return {name: dict(vars(sys.modules[name])) for name in ours}


def rebind(before: dict[str, dict[str, object]]) -> None:
    """Carry the changes of a prelude on to all modules that had imported the changed name.

    In a cold start these modules are imported after the prelude, and so see its change.
    """
    changed = [
        (name, old, new)
        for module, held in before.items()
        for name, old in held.items()
        if (new := vars(sys.modules[module]).get(name)) is not old
        and getattr(old, "__module__", module) == module
    ]
    for name, old, new in changed:
        for module, held in before.items():
            if held.get(name) is old:
                setattr(sys.modules[module], name, new)


def become(wanted: dict[str, object], descriptors: list[int]) -> None:
    """Take on descriptors, signals, session, environment, folder and arguments."""
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if wanted["session"]:
        os.setsid()
    if wanted["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.environ.clear()
    os.environ.update(wanted["environment"])  # type: ignore[call-overload]
    time.tzset()
    tempfile.tempdir = None
    os.chdir(str(wanted["folder"]))
    if isinstance(user := wanted["user"], int):
        turn_into(user)
    sys.argv[:] = wanted["argv"]  # type: ignore[call-overload]
    sys.orig_argv[:] = wanted["orig_argv"]  # type: ignore[call-overload]
    open_streams()


def turn_into(user: int) -> None:
    """Give up all rights but those of a user, like a program that this user has started."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # The kernel now hides this process's own files below /proc from it, as after a change of rights from outside.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)


def open_streams() -> None:
    """Open the standard streams anew, as the interpreter does at its start."""
    for number, name, mode, errors in (
        (0, "stdin", "r", "strict"),
        (1, "stdout", "w", "strict"),
        (2, "stderr", "w", "backslashreplace"),
    ):
        raw = open(number, f"{mode}b", closefd=False)  # noqa: SIM115  for the whole run
        stream = io.TextIOWrapper(
            raw, encoding="utf-8", errors=errors, line_buffering=number == 2 or raw.isatty()
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def end(code: int) -> int:
    """Await threads, run the functions registered for the exit, and flush; return the exit code."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return 120
    return code


if __name__ == "__main__":
    main()
