"""The most memory that a command needs at one moment, summed over all its processes.

The kernel tells for each process its share of every page: two processes that share a page have half of it each.
So the sum counts each page once. Pages of mapped files are counted apart: the kernel can drop those and read them
again. Files on tmpfs would count as shared memory, so the caller keeps all files of the command on another file system.
"""

import os
import re
import select
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

PAUSE = 0.003  # seconds between two readings, at least; or longer, as long as a reading takes
SHARES = re.compile(rb"^(Pss_Anon|Pss_Shmem|SwapPss|Pss_File): +(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """Bytes: `held` is anonymous and shared memory, swapped out or not; `mapped` is pages of mapped files."""

    held: int
    mapped: int


class Watch:
    """The highest memory of a process and its descendants. A reading lasts some milliseconds per process."""

    def __init__(self) -> None:
        self.peak = Memory(0, 0)

    def follow(self, pid: int) -> None:
        """Read the memory of process `pid` and its descendants again and again, until `pid` has ended."""
        if sys.platform != "linux":
            raise NotImplementedError("only Linux tells the memory of processes")
        process = psutil.Process(pid)
        handle = os.pidfd_open(pid)
        try:
            before: dict[int, Memory] = {}
            pause = PAUSE
            while not select.select([handle], [], [], pause)[0]:
                began = time.perf_counter()
                now = _read(process)
                pause = max(PAUSE, time.perf_counter() - began)
                if before.keys() <= now.keys():
                    self._keep(before)
                before = now
        finally:
            os.close(handle)

    def _keep(self, shares: dict[int, Memory]) -> None:
        """Take in a reading if its processes all lived on until the next one.

        If a process ends during a reading, its pages go to those that share them, and would count twice.
        """
        held = sum(share.held for share in shares.values())
        mapped = sum(share.mapped for share in shares.values())
        self.peak = Memory(max(self.peak.held, held), max(self.peak.mapped, mapped))


def _read(process: psutil.Process) -> dict[int, Memory]:
    """Return the shares of a process and of its descendants, those that ended meanwhile left out."""
    found: dict[int, Memory] = {}
    try:
        alive = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return found
    for one in alive:
        try:
            text = Path(f"/proc/{one.pid}/smaps_rollup").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes = {name: int(size) << 10 for name, size in SHARES.findall(text)}
        if sizes:
            mapped = sizes.pop(b"Pss_File")
            found[one.pid] = Memory(sum(sizes.values()), mapped)
    return found
