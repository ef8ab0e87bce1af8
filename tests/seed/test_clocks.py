"""The time of change that is kept: a change after a reading is seen by it, by every clock."""

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.ids import ChunkId
from formats.keyed.catalog import FILE, CatalogEntry, PageRow
from seed.pipeline.change_detection import ChangeDetection
from seed.pipeline.known_chunks import KnownChunks
from seed.pipeline.row import PlacedEntry
from seed.points.previous_rows import Segment
from seed.source import clocks
from seed.source.clocks import COARSE, FOREIGN, LATE, Clocks, grain_of, may_hide
from tests.effort import examples
from tests.facilities import LoopDisk

if sys.platform == "win32":
    pytest.skip("trees are not read on Windows yet", allow_module_level=True)

SECOND = 10**9
YEAR = 1_700_000_000 * SECOND
JIFFIES = (1_000_000, 4_000_000, 10_000_000)

Stamp = Callable[[int], int]  # gives the stamp of an entry that is changed at this time


def coarse(jiffy: int, phase: int, step: int) -> Stamp:
    """Return the kernel's clock at the last tick, cut to the precision of the file system."""
    return lambda now: (now - (now - phase) % jiffy) // step * step


def rounded_up(step: int) -> Stamp:
    return lambda now: -(-now // step) * step


STAMPS = st.one_of(
    st.builds(
        coarse,
        st.sampled_from(JIFFIES),
        st.integers(0, 10_000_000),
        st.sampled_from((1, 100, 1000, 10_000_000, SECOND, 2 * SECOND)),
    ),
    st.sampled_from([rounded_up(2 * SECOND)]),
)
NEAR = st.one_of(st.integers(0, 3 * LATE), st.integers(0, 3 * COARSE))


@given(STAMPS, NEAR, NEAR, NEAR)
@settings(max_examples=examples(2000))
def test_no_change_after_the_reading_bears_a_time_that_is_kept(
    stamp: Stamp, begin: int, until_read: int, until_changed: int
) -> None:
    changed = stamp(YEAR + begin)
    read = YEAR + begin + until_read
    if not may_hide(changed, grain_of(changed), read):
        assert stamp(read + until_changed) != changed


@given(STAMPS, st.integers(-FOREIGN + 3 * COARSE, 10 * FOREIGN), NEAR, NEAR)
@settings(max_examples=examples(500))
def test_the_clock_of_another_machine_may_be_wrong(
    stamp: Stamp, ahead: int, until_read: int, until_changed: int
) -> None:
    changed = stamp(YEAR + ahead)
    read = YEAR + until_read
    if not may_hide(changed, FOREIGN, read):
        assert stamp(read + until_changed + ahead) != changed


@pytest.mark.parametrize("ahead", [0, 1, 365 * 86400 * SECOND])
def test_a_time_of_now_or_ahead_of_our_clock_is_not_kept(ahead: int) -> None:
    assert may_hide(YEAR + ahead, grain_of(YEAR + ahead), YEAR)


def entry(changed: int) -> CatalogEntry:
    seconds, rest = divmod(changed, SECOND)
    return CatalogEntry(b"f", FILE, size=3, mtime=5, ctime=seconds, ctime_ns=rest, inode=7).in_bundle(
        ChunkId(bytes(32)), 0, bytes(16)
    )


@given(st.integers(0, YEAR))
def test_a_row_without_a_time_of_change_is_read_again(changed: int) -> None:
    known = KnownChunks()
    known.add_all([ChunkId(bytes(32)), ChunkId(b"s" * 32)])
    unchanged = ChangeDetection(known)
    now, kept = entry(changed), PlacedEntry(entry(changed), hides=True).finished()
    assert (kept.ctime, kept.ctime_ns) == (0, 0)
    origin = Segment(PageRow(ChunkId(b"s" * 32), 1, b"f", b"f"), [kept])
    assert unchanged.is_changed(now, kept)
    assert not unchanged.stands(now[:15], kept, origin)
    if changed:
        trusted = PlacedEntry(now).finished()
        assert trusted == now
        assert not unchanged.is_changed(now, trusted)


def test_a_further_name_is_as_doubtful_as_the_first() -> None:
    first = PlacedEntry(entry(YEAR), hides=True)
    assert PlacedEntry(entry(YEAR)._replace(path=b"g"), same=first).finished().changed == 0


def test_what_the_system_tells_of_no_kind_is_held_for_foreign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    kinds = {device: "ext4", 1: "nfs4", 2: "fuse.sshfs", 3: "fuseblk"}
    monkeypatch.setattr(clocks, "mounted_kinds", lambda: kinds)
    found = Clocks()
    aged = time.time_ns() - FOREIGN // 2 + 1
    assert [found.may_hide(aged, d) for d in (device, 1, 2, 3, 99)] == [False, True, True, False, False]
    kinds.clear()
    assert Clocks().may_hide(aged, device)


@pytest.mark.needs("exfat")
def test_a_real_clock_that_counts_in_twos_is_not_believed_too_early(tmp_path: Path) -> None:
    disk = LoopDisk(tmp_path, 16 << 20, "exfat")
    disk.mount()
    try:
        path, seen = disk.path / "file", Clocks()
        hidden = 0
        for _ in range(50):
            path.write_bytes(random.randbytes(10))
            status = os.stat(path)
            changed = clocks.changed_ns(status)
            hides = seen.may_hide(changed, status.st_dev)
            path.write_bytes(random.randbytes(10))
            if clocks.changed_ns(os.stat(path)) == changed:
                assert hides
                hidden += 1
        assert hidden, "no change fell into the tick of the one before"
    finally:
        disk.unmount()
