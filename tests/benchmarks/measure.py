"""The measurement of one process: wall clock, processor time, peak memory of it and all its children."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


class StepFailedError(Exception):
    """The error of a measured process that failed; the text has its exit code and its last words."""


@dataclass(frozen=True)
class Usage:
    """The usage of one process. `peak_bytes` is the largest resident size of any single process among its children."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Totals:
    """Regular files below a folder, and the sum of their sizes."""

    files: int
    file_bytes: int


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    *,
    codes: Sequence[int] = (0,),
    follow: Callable[[int], None] = lambda _: None,
) -> Usage:
    """Run `command` in `folder` to its end. Its words go to `log`. Raises StepFailedError.

    `follow` is called with the id of the process as soon as it runs; its caller waits for both.
    """
    if sys.platform != "linux":
        raise StepFailedError("the benchmarks run on Linux")
    with log.open("wb") as words:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=words, stderr=words
        )
        try:
            follow(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        last = log.read_text("utf-8", errors="replace")[-2000:]
        raise StepFailedError(f"exit code {process.returncode}: {' '.join(command)}\n{last}")
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


@contextmanager
def pinned(cores: int) -> Iterator[None]:
    """Let this process, and those that it starts meanwhile, use the first `cores` of its cores alone. 0: all of them.

    Raises StepFailedError if there are fewer.
    """
    if sys.platform != "linux":
        raise StepFailedError("the benchmarks run on Linux")
    before = os.sched_getaffinity(0)
    if len(before) < cores:
        raise StepFailedError(f"cannot pin a program to {cores} cores: there are {len(before)}")
    os.sched_setaffinity(0, sorted(before)[: cores or None])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def totals(folder: Path) -> Totals:
    """Count the files below `folder`, with the sizes of the files, not of their storage."""
    files = file_bytes = 0
    todo = [os.fspath(folder)]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    files += 1
                    file_bytes += entry.stat(follow_symlinks=False).st_size
    return Totals(files, file_bytes)


def words(command: Sequence[str | Path]) -> list[str]:
    return [str(word) for word in command]


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder below `parent`, which is always removed afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
