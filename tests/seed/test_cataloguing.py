"""Files whose sizes pass all bounds together are catalogued: the sum stays at what a document can tell."""

from formats.documents.manifest import Totals
from formats.keyed.catalog import FILE, SIZE_END, Entry
from tests.seed.test_kept_segments import Stored, catalogue, segments


def test_sizes_that_pass_63_bits_together_are_told_as_the_most_that_can_be_told() -> None:
    stored: Stored = {}
    entries = [Entry(b"a", FILE, size=SIZE_END - 1), Entry(b"b", FILE, size=2), Entry(b"c", FILE, size=1)]
    catalogued = catalogue([(entry, None) for entry in entries], stored)
    assert [entry for _, found in segments(catalogued, stored) for entry in found] == entries
    totals = Totals(entries=3, files=3, file_bytes=catalogued.file_bytes, archives=0, archive_bytes=0, lost=0)
    assert totals.file_bytes == SIZE_END - 1
    assert Totals.from_json(totals.to_json(), "totals") == totals
