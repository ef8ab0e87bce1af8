"""A process that reads small files for another: it takes batches from a pipe until that is closed.

The first message is the size of the shared space and the key of content ids; then each is where in the space a batch
goes, and its files. It answers each in turn. It ends when the other does, and leaves it to that to be interrupted.
"""

import mmap
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

assert sys.platform != "win32"
from seed.source.batch import Folders, Wanted, hear, read_batch, tell  # noqa: E402


def serve(jobs: int, answers: int, space: int) -> None:
    """Serve the pipes and the shared file with these numbers."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    source, sink = Connection(jobs, writable=False), Connection(answers, readable=False)
    with suppress(EOFError, BrokenPipeError):
        size, key = hear(source)
        shared = memoryview(mmap.mmap(space, size))
        folders = Folders()
        while True:
            start, length, files = hear(source)
            got = read_batch([Wanted(*file) for file in files], shared[start : start + length], key, folders)
            tell(sink, *(tuple(one) for one in got))


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
    os._exit(0)  # nothing is left to be put in order
