"""The sizes in which a machine cuts its content. They stand in the sealed root of each point (ROOT-4).

They lie inside the seal, because an operator with control over them could read content from the lengths of
chunks. No reader needs them; the next point is cut in the same way.
"""

from formats.documents.codec import Record, integer, member
from formats.untrusted import refuse

CHUNK_MAX = 8380416  # bytes: with head, index and footer it fits the smallest archive of content, 8 MiB


class ChunkingParameters(Record):
    """The sizes for cutting content, in bytes.

    Large files are cut between `min_size` and `max_size`; small ones go into bundles.
    """

    min_size: int = member(integer())
    mean_size: int = member(integer())
    max_size: int = member(integer())
    bundle_size: int = member(integer())
    small_file_max: int = member(integer())

    def check(self, where: str) -> None:
        """Raise FormatError unless the parameters lie within the bounds that readers rely on (ROOT-4)."""
        if not 4 << 10 <= self.min_size <= self.mean_size <= self.max_size <= CHUNK_MAX:
            refuse("ROOT-4", "chunk sizes are out of bounds or out of order", where)
        if not 0 <= self.small_file_max <= self.bundle_size or not 4 << 10 <= self.bundle_size <= 4 << 20:
            refuse("ROOT-4", "bundle sizes are out of bounds or out of order", where)


USUAL = ChunkingParameters(
    min_size=256 << 10, mean_size=512 << 10, max_size=2 << 20, bundle_size=1 << 20, small_file_max=256 << 10
)
