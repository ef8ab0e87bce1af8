"""The part of `moments` that runs inside a command: it wraps the store, counts, and sends the signal.

A command runs this file before any of its own code. So the file imports nothing from the tests.
"""

import os
import signal
import sys
import threading
from collections import Counter
from importlib import import_module
from types import FrameType
from typing import Any

assert sys.platform == "linux"

FIRST_BYTES = 1 << 20
NO_FURTHER = (signal.SIGKILL, signal.SIGSTOP)
REACHED = b"the moment has come\n"


class Striker:
    """A counter of the moments of one kind, which strikes once: at the first n-th moment of a store."""

    def __init__(self, moment: str, number: int, times: int, where: list[str], prefix: str, nth: int) -> None:
        self.moment = moment
        self.number = number
        self.times = times
        self.where = tuple(where)
        self.prefix = prefix
        self.nth = nth
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._struck = False  # a command is struck only once
        self._at_work = threading.local()
        # A pipe, because a signal handler must not take a lock that its own thread may hold.
        self._heard, self._hears = os.pipe()

    def wrap_store(self, path: str) -> None:
        """Count the objects that a class of stores writes and deletes; `path` is its module and its name."""
        module, _, name = path.partition(":")
        store = getattr(import_module(module), name)
        put, delete = store.put_new, store.delete

        def put_new(self_: Any, name: str, data: Any) -> bool:
            if not self._concerns(self_.address, name):
                return bool(put(self_, name, data))
            self._at_work.address = self_.address
            try:
                self._reach("asked")
                done = bool(put(self_, name, data))
                self._reach("placed")
            finally:
                self._at_work.address = None
            return done

        def delete_one(self_: Any, name: str) -> None:
            delete(self_, name)
            if self._concerns(self_.address, name):
                self._at_work.address = self_.address
                self._reach("deleted")
                self._at_work.address = None

        store.put_new, store.delete = put_new, delete_one

    def wrap_files(self) -> None:
        """Count the steps by which a local store makes a file from an object."""
        from formats.store import local
        from formats.store.root import write

        def write_in_two(file: Any, view: memoryview, limiter: Any = None) -> None:
            if getattr(self._at_work, "address", None) is None:
                write(file, view, limiter)
                return
            first = min(FIRST_BYTES, len(view) // 2)
            write(file, view[:first], limiter)
            self._reach("writing")
            write(file, view[first:], limiter)

        local.write = write_in_two  # type: ignore[attr-defined]
        for step in ("flush", "rename_new", "flush_folder"):
            setattr(local.SystemRoot, step, self._followed(getattr(local.SystemRoot, step), step))

    def wrap_console(self) -> None:
        """Notice when the command has heard a signal."""
        from formats.shell.console import Console

        on_signal, hears = Console._on_signal, self._hears

        def heard(self: Console, number: int, _: FrameType | None) -> None:
            on_signal(self, number, _)
            os.write(hears, b".")

        Console._on_signal = heard  # type: ignore[method-assign]

    def _followed(self, call: Any, step: str) -> Any:
        def followed(*words: Any, **named: Any) -> Any:
            done = call(*words, **named)
            self._reach(step)
            return done

        return followed

    def _concerns(self, address: str, name: str) -> bool:
        return name.startswith(self.prefix) and address.startswith(self.where)

    def _reach(self, moment: str) -> None:
        address = getattr(self._at_work, "address", None)
        if address is None or self.moment not in (moment, "step"):
            return
        counted = "" if self.moment == "step" else address
        with self._lock:
            self._counts[counted] += 1
            if self._counts[counted] != self.nth or self._struck:
                return
            self._struck = True
        self._strike()

    def _strike(self) -> None:
        if self.number in NO_FURTHER:
            signal.pthread_kill(threading.get_ident(), self.number)
            return
        if not self.number:
            os.write(2, REACHED)
        for _ in range(self.times):
            if self.number:
                os.kill(os.getpid(), self.number)
                if signal.getsignal(self.number) == signal.SIG_IGN:
                    return
            os.read(self._heard, 1)


def arm(store: str, **words: Any) -> None:
    """Wrap the store so that the command is struck; `words` are the parameters of `Striker`."""
    striker = Striker(**words)
    striker.wrap_store(store)
    striker.wrap_files()
    striker.wrap_console()
