"""The reading of large files to their ends, cut as an export cuts them, to count repeated content."""

import os
import random
import time

from formats.errors import Interrupted
from formats.ids import ChunkId
from formats.keyed.chunk import ChunkSealer
from formats.keyed.chunking import ChunkingParameters
from formats.keyed.keys import MasterKey
from formats.monitor import Monitor
from formats.tables.index import CONTENT
from seed.pipeline.chunking import Cutter
from seed.pipeline.known_chunks import KnownChunks
from seed.plan.sampling.content import READ_FLAGS, located
from seed.plan.sampling.draws import Draws
from seed.plan.sampling.share import Share, Stratum, mean
from seed.source.quiet_open import open_quietly
from seed.source.stream import Stream
from seed.source.system import data_extents

PLACES = 768  # among all bytes that are new: the chunks they lie in are sealed


class Through:
    """The content that was read so far, under a key of its own."""

    def __init__(self, parameters: ChunkingParameters, chance: random.Random, level: int) -> None:
        master = MasterKey.generate()
        self._cutter = Cutter(master, parameters)
        self._sealer = ChunkSealer(master, level)
        self._known = KnownChunks()
        self._draws = Draws(PLACES, chance)
        self._stored: dict[int, float] = {}  # by place
        self._bytes = self._unique = 0
        self._reading = 0.0  # processor seconds without sealing
        self._sealing = self._sealed = 0.0  # processor seconds of sealing, and the sealed bytes

    def read(self, path: bytes, monitor: Monitor) -> None:
        """Read a file to its end. Raises Interrupted, and OSError if the file cannot be read to its end."""

        def heard(got: int) -> None:
            if monitor.stopping():
                raise Interrupted(2)
            monitor.progress(done=got)

        began, sealing = time.thread_time(), self._sealing
        handle = open_quietly(located(path), READ_FLAGS)
        try:
            regions = list(data_extents(handle, os.fstat(handle).st_size))
            stream = Stream(handle, regions, heard)
            for unit in self._cutter.cut(stream.read, sum(length for _, length in regions)):
                assert unit.raw is not None
                chunk = self._sealer.chunk_id(CONTENT, unit.raw)
                self._bytes += unit.size
                if self._known.claim(chunk):
                    self._meet(chunk, unit.raw)
                unit.named(chunk)
        finally:
            os.close(handle)
            self._reading += time.thread_time() - began - (self._sealing - sealing)

    def _meet(self, chunk: ChunkId, raw: memoryview) -> None:
        self._unique += len(raw)
        drawn = [number for number, _ in self._draws.meet(len(raw))]
        if drawn:
            began = time.thread_time()
            share = len(self._sealer.seal(CONTENT, chunk, raw)) / len(raw)
            self._sealing += time.thread_time() - began
            self._sealed += len(raw)
            self._stored.update(dict.fromkeys(drawn, share))

    def stratum(self) -> Stratum:
        if not self._bytes:
            return Stratum(0, Share(0.0), Share(1.0), 0.0)
        seconds = self._reading + self._unique * self._sealing / self._sealed
        return Stratum(
            self._bytes, Share(1 - self._unique / self._bytes), mean([*self._stored.values()]), seconds
        )
