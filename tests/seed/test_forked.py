"""Work in a fork: its result, nothing if it died or failed, and its end when the reader stops listening."""

import os
import sys
import time
from collections.abc import Callable

import pytest

from formats.monitor import Tally
from seed.restore.fork import Fork

assert sys.platform != "win32"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux alone")


def test_what_came_of_it_and_its_progress() -> None:
    def work(monitor: Tally) -> str:
        for _ in range(5):
            monitor.progress(done=3 << 20)
        return "done"

    here = Tally()
    fork = Fork(work, [])
    assert fork.result(here) == "done"
    fork.end()
    assert here.done == 15 << 20


def dies(_: Tally) -> str:
    os._exit(1)


def fails(_: Tally) -> str:
    raise ValueError


@pytest.mark.parametrize("work", [dies, fails])
def test_nothing_of_one_that_died_or_failed(work: Callable[[Tally], str]) -> None:
    fork: Fork[str] = Fork(work, [])
    assert fork.result(Tally()) is None
    fork.end()


def test_it_ends_when_nobody_listens() -> None:
    def work(monitor: Tally) -> str:
        while not monitor.stopping():
            time.sleep(0.01)
        return "stopped"

    first: Fork[str] = Fork(work, [])
    second = Fork(work, [first])
    assert first.result(Tally(stop=True)) is None
    first.end()
    second.end()
