"""Files that are there more than once, among files of equal length."""

import math
from collections import defaultdict
from collections.abc import Iterator

from blake3 import blake3

from formats.errors import Interrupted
from formats.monitor import Monitor
from seed.plan.sampling.content import content_of, regions_of, within
from seed.plan.sampling.share import Share

ALIKE_MAX = 512  # files of one order of magnitude that are compared
WHOLE_MAX = 1 << 20  # bytes: longer files are compared by their beginning, middle and end
PART = 64 << 10
RULE_OF_THREE = (
    1.5  # if none of n is seen, the share is at most 3/n, nineteen times in twenty: half is a standard error
)


class Alike:
    """Files of one order of magnitude, by their lengths.

    It keeps the files of all lengths until there are too many. Then it keeps those of about every second,
    fourth … length.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._lengths: dict[int, list[bytes]] = defaultdict(list)
        self._met: dict[int, int] = defaultdict(int)  # files of each length that is drawn
        self._kept = self._halved = 0

    def meet(self, path: bytes, size: int) -> None:
        self.bytes += size
        if not self._is_drawn(size):
            return
        self._met[size] += 1
        if len(self._lengths[size]) >= ALIKE_MAX:
            return
        self._lengths[size].append(path)
        self._kept += 1
        while self._kept > ALIKE_MAX and len(self._lengths) > 1:
            self._halved += 1
            for length in [length for length in self._lengths if not self._is_drawn(length)]:
                self._kept -= len(self._lengths.pop(length))
                del self._met[length]

    def _is_drawn(self, size: int) -> bool:
        if not self._halved:
            return True
        return (
            not int.from_bytes(blake3(size.to_bytes(8, "little")).digest(8), "little")
            & (1 << self._halved) - 1
        )

    def duplicate(self, stopping: Monitor) -> Share:
        """Return the share of the bytes that is met again, with its standard error.

        Each length that is drawn is a cluster: a ratio estimate (Cochran, Sampling Techniques, 1977, section
        9A.1). If a length has more files than are compared, the range between the repeated share of these
        files and the whole is unknown.
        """
        seen: list[tuple[float, float]] = []
        unknown = 0.0
        for size, paths in self._lengths.items():
            count = self._met[size]
            again = (len(paths) - len(set(_digests(paths, size, stopping)))) / len(paths)
            seen.append((size * count, size * count * again))
            if count > len(paths):
                unknown += size * count * (1 - again) / 2
        total = sum(size for size, _ in seen)
        if not total:
            return Share(0.0)
        share = sum(again for _, again in seen) / total
        error = unknown / total
        if self._halved:
            spread = sum((again - share * size) ** 2 for size, again in seen)
            clusters = len(seen)
            sampled = math.sqrt(spread * clusters / max(clusters - 1, 1)) / total
            error += max(sampled, min(RULE_OF_THREE / clusters, 1 - share))
        return Share(share, min(error, max(share, 1 - share) / 2))


def _digests(paths: list[bytes], size: int, monitor: Monitor) -> Iterator[bytes]:
    """Yield a digest for each file of one length, or the path of a file that cannot be read.

    A file that is the only one of its length need not be read.
    """
    if len(paths) == 1:
        yield paths[0]
        return
    for path in paths:
        if monitor.stopping():
            raise Interrupted(2)
        if size <= WHOLE_MAX:
            read = content_of(path, within(regions_of(path), 0, size))
        else:
            regions = regions_of(path)
            parts = [part for at in (0, size // 2, size - PART) for part in within(regions, at, PART)]
            read = repr(regions if len(regions) > 1 else ()).encode() + content_of(path, parts)
        yield blake3(read).digest() if read else path
