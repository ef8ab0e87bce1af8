"""A fork of this process that does one piece of work and ends.

Fork only where no thread of this process may hold a lock that the fork needs.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable

CAN_FORK = sys.platform == "linux"


def fork(work: Callable[[], None]) -> int:
    """Do `work` in a fork of this process, and return the fork's process id.

    No key of the terminal reaches the fork, and no signal that stops a command. It ends with `work`: end that
    when the parent's pipe does. Raises OSError if the system cannot make a process.
    """
    if sys.platform == "win32":
        raise NotImplementedError
    child = os.fork()
    if child:
        return child
    try:
        gc.disable()  # collection would copy all inherited memory
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        work()
    finally:
        os._exit(0)  # the fork must not tidy up for the parent
