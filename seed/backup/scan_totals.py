"""The number of files and bytes to read, counted beside the reading."""

import threading

from formats.monitor import Monitor
from formats.store.clock import Clock
from seed.source.scan import measure
from seed.source.system import Walk

MEASURED_AFTER = 10.0  # seconds: a shorter run needs no total


class Measuring(threading.Thread):
    """A thread that tells the monitor the expected total, unless the work ends at once."""

    def __init__(self, walk: Walk, monitor: Monitor, clock: Clock) -> None:
        super().__init__(name="measure", daemon=True)
        self._walk, self._monitor, self._clock = walk, monitor, clock
        self._ended = threading.Event()
        self._seen = (0, 0)

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        if self._ended.wait(MEASURED_AFTER):
            return
        if measure(self._walk.roots, self._walk.rules, self._told, self._clock):
            self._monitor.expect(total=self._seen[1], files=self._seen[0], final=True)

    def _told(self, files: int, size: int) -> bool:
        self._seen = files, size
        self._monitor.expect(total=size, files=files, final=False)
        return not self._ended.is_set()
