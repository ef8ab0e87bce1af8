"""The two commands as processes for tests: forked from a server that has imported everything, or started cold.

Most tests run them through `Forks`. Only `installed` commands show the very start of an interpreter.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

PATIENCE: Final = 60.0
FOLDER: Final = Path(sys.executable).parent
SERVER: Final = Path(__file__).with_name("forkserver.py")
# A change of these reaches the interpreter before any code of ours: such a command cannot be a fork.
EARLY: Final = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "OPENSSL_")
MAIN: Final = "from PROGRAM.cli import main; main()"

Program = Callable[[str], tuple[str, ...]]


def installed(program: str) -> tuple[str, ...]:
    """Return the words that start the installed script of a command."""
    script = FOLDER / program
    found = str(script) if script.exists() else shutil.which(program)
    assert found, f"the command {program} is not installed"
    return (found,)


def cold(prelude: str) -> Program:
    """Return the commands in interpreters of their own, with some lines of Python run before them."""
    return lambda program: (sys.executable, "-c", f"{prelude}\n{_main(program)}")


def _main(program: str) -> str:
    return f"import sys; sys.argv[0] = '{program}'; {MAIN.replace('PROGRAM', program)}"


class Forks:
    """The commands as forks of the server, after some lines of Python and with the rights of a user.

    A call with a program returns the words that start the same command cold, with the rights of this process.
    """

    def __init__(self, prelude: str = "", user: int | None = None) -> None:
        self.prelude = prelude
        self.user = user

    def __call__(self, program: str) -> tuple[str, ...]:
        return cold(self.prelude)(program) if self.prelude else installed(program)

    def can_start(self, environment: Mapping[str, str]) -> bool:
        """Return whether a fork can take this environment instead of the server's own."""
        names = {name for name in (*environment, *os.environ) if name.startswith(EARLY)}
        return sys.platform == "linux" and all(environment.get(n) == os.environ.get(n) for n in names)

    def start(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        streams: Sequence[int],
        *,
        session: bool = False,
        terminal: bool = False,
    ) -> "Fork":
        """Start a fork for these words, the program first; its standard streams are the three descriptors `streams`."""
        program, *arguments = words
        words_cold = self(program)
        wanted = {
            "prelude": self.prelude,
            "main": MAIN.replace("PROGRAM", program),
            "argv": [program if self.prelude else words_cold[0], *arguments],
            "orig_argv": [*(() if self.prelude else (sys.executable,)), *words_cold, *arguments],
            "environment": dict(environment),
            "folder": str(folder),
            "user": self.user,
            "session": session or terminal,
            "terminal": terminal,
        }
        return Fork(_server(), json.dumps(wanted).encode(), streams)


class Fork:
    """One process that the server has forked: its `pid`, signals, exit code and processor time."""

    _lock: threading.Lock
    _code: int | None
    pid: int
    worked: float  # seconds, once it has ended
    _answers: socket.socket
    _handle: int  # a pidfd: the pid may be another's once the process has ended

    def __init__(self, server: socket.socket, request: bytes, streams: Sequence[int]) -> None:
        if sys.platform != "linux":
            raise NotImplementedError
        self._lock = threading.Lock()
        self._code = None
        self.worked = 0.0
        self._answers, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far, open(os.memfd_create("request"), "w+b", buffering=0) as file:
            file.write(request)
            file.seek(0)
            socket.send_fds(server, [b"?"], [file.fileno(), *streams, far.fileno()])
        answer, handles, _, _ = socket.recv_fds(self._answers, 32, 1)
        if not handles:
            raise OSError("the fork server has ended")
        (self._handle,) = handles
        self.pid = int(answer)

    def code(self, timeout: float) -> int | None:
        """Return the exit code, negative for a signal; None if the process has not ended after so many seconds."""
        with self._lock:
            if self._code is None:
                self._answers.settimeout(timeout)
                try:
                    code, worked = self._answers.recv(64).split()
                except (TimeoutError, BlockingIOError):
                    return None
                self._code, self.worked = int(code), float(worked)
                self._answers.close()
                os.close(self._handle)
            return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if sys.platform == "linux" and self.code(0) is None:
            try:
                signal.pidfd_send_signal(self._handle, number)
            except ProcessLookupError:
                self.code(PATIENCE)


class ForkedProcess:
    """A fork with the part of `subprocess.Popen` that tests use: both outputs are pipes, the input is empty."""

    def __init__(
        self,
        forks: Forks,
        words: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        session: bool = False,
    ) -> None:
        self.args = list(words)
        out, err = os.pipe(), os.pipe()
        self.stdout: IO[bytes] = open(out[0], "rb")  # noqa: SIM115  read by the test
        self.stderr: IO[bytes] = open(err[0], "rb")  # noqa: SIM115
        with open(os.devnull, "rb") as nothing, open(out[1], "wb"), open(err[1], "wb"):
            streams = (nothing.fileno(), out[1], err[1])
            self._fork = forks.start(words, environment, folder, streams, session=session)
        self.pid = self._fork.pid
        self.returncode: int | None = None

    @property
    def worked(self) -> float:
        """The seconds for which processors worked for it, once it has ended."""
        return self._fork.worked

    def poll(self) -> int | None:
        self.returncode = self._fork.code(0)
        return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired if the process has not ended by then."""
        self.returncode = self._fork.code(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout: float = PATIENCE) -> tuple[bytes, bytes]:
        """Return the rest of both outputs, once the process has ended. Raises subprocess.TimeoutExpired."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.kill()

        kill = threading.Timer(timeout, end)
        said: list[bytes] = []
        reader = threading.Thread(target=lambda: said.append(self.stderr.read()), daemon=True)
        kill.daemon = True
        kill.start()
        reader.start()
        with self.stdout, self.stderr:
            shown = self.stdout.read()
            reader.join()
            self.wait(timeout)
        kill.cancel()
        if late.is_set():
            raise subprocess.TimeoutExpired(self.args, timeout, shown, said[0])
        return shown, said[0]

    def send_signal(self, number: int) -> None:
        self._fork.send_signal(number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(9)

    def __enter__(self) -> "ForkedProcess":
        return self

    def __exit__(self, *_: Any) -> None:
        with self.stdout, self.stderr:
            self.wait()


Process = ForkedProcess | subprocess.Popen[bytes]


def at_terminal(
    command: Program, words: Sequence[str], environment: Mapping[str, str], folder: Path
) -> tuple[int, Callable[[], int]]:
    """Start a command at its own terminal; return the terminal's near end, and a function that awaits the exit code."""
    if sys.platform != "linux":
        raise NotImplementedError
    import pty

    if isinstance(command, Forks) and command.can_start(environment):
        window, terminal = pty.openpty()
        fork = command.start(words, environment, folder, (terminal,) * 3, terminal=True)
        os.close(terminal)
        return window, lambda: _awaited(fork)
    started = (*command(words[0]), *words[1:])
    pid, window = pty.fork()
    if pid == 0:
        hear_signals()
        os.chdir(folder)
        os.execve(started[0], started, environment)
    return window, lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _awaited(fork: Fork) -> int:
    code = fork.code(PATIENCE)
    assert code is not None, "it does not end"
    return code


def processor_seconds(run: Callable[[], object]) -> float:
    """Return how long processors worked for the processes that `run` starts and awaits; forks do not count."""
    if sys.platform == "win32":
        raise NotImplementedError
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def hear_signals() -> None:
    """Restore the signals that a shell at a terminal leaves on, though the tests may run under `nohup`."""
    if sys.platform == "linux":
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)


_starting = threading.Lock()


def _server() -> socket.socket:
    """Return the socket of this process's server, which ends when this process does."""
    with _starting:
        return _started()


@cache
def _started() -> socket.socket:
    if sys.platform != "linux":
        raise NotImplementedError
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        words = (sys.executable, "-P", SERVER, str(far.fileno()))
        subprocess.Popen(
            words, pass_fds=(far.fileno(),), stdin=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )
    return near
