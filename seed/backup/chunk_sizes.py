"""The choice of chunk sizes, before the first point of a machine, by the amount that it backs up.

Small chunks find more that is equal; each costs memory and rows of tables. So a large source gets large ones.
The choice stays: other sizes would send everything again.
"""

from dataclasses import replace

from formats.keyed.chunking import CHUNK_MAX, USUAL, ChunkingParameters
from formats.monitor import Monitor
from seed.home.home import Home
from seed.source.scan import measure
from seed.source.system import Walk

TIB = 1 << 40
MIB = 1 << 20
# From so many bytes on: the mean of chunks. Then 100 TB are some 28 million chunks.
MEANS = ((4 * TIB, 4 * MIB), (TIB, 2 * MIB), (256 << 30, MIB))


def choose_chunk_sizes(home: Home, walk: Walk, monitor: Monitor) -> None:
    """Choose and save the sizes, unless that was done before. Raises HomeError.

    The source is counted only up to the amount from which nothing changes. An interrupted count chooses
    nothing.
    """
    if home.state.chunking is not None:
        return
    most = 0

    def seen(_: int, size: int) -> bool:
        nonlocal most
        most = size
        return size < MEANS[0][0] and not monitor.stopping()

    measure(walk.roots, walk.rules, seen, home.clock)
    if not monitor.stopping():
        home.save_state(replace(home.state, chunking=chunking_for(most)))


def chunking_for(size: int) -> ChunkingParameters:
    """Return the parameters for a source of `size` bytes."""
    for least, mean in MEANS:
        if size >= least:
            return replace(USUAL, min_size=mean // 2, mean_size=mean, max_size=min(4 * mean, CHUNK_MAX))
    return USUAL
