"""The facts that a sample gives about a seed: places are drawn evenly, and duplicates are counted truly.

The answer follows from both.
"""

import os
import random
import statistics
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.errors import Interrupted
from formats.keyed.chunk import ChunkSealer
from formats.keyed.chunking import USUAL
from formats.keyed.keys import MasterKey
from formats.monitor import Tally
from formats.tables.index import CONTENT
from seed.plan.estimate import DAY, Estimate, advised, disks_of, plan, preparing, seed_size
from seed.plan.sampling.draws import Draws
from seed.plan.sampling.duplicates import ALIKE_MAX, Alike
from seed.plan.sampling.sample import PLACE_FILES, Population, Sample, SampleResult
from seed.plan.sampling.share import Share, Stratum, together
from seed.source.source_rules import SourceRules
from seed.source.system import Walk
from tests.effort import examples

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the paths of the walk")

KIB, MIB, TB = 1 << 10, 1 << 20, 10**12


def drawn(sizes: list[int], count: int, seed: int) -> list[int]:
    """Return the final places, counted over all bytes."""
    draws, places, before = Draws(count, random.Random(seed)), {}, 0
    for size in sizes:
        for number, at in draws.meet(size):
            assert 0 <= at < size
            places[number] = before + at
        before += size
    assert places.keys() == set(range(count))
    return [*places.values()]


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=60), st.integers(0, 2**32))
def test_every_place_is_drawn_from_what_was_there(sizes: list[int], seed: int) -> None:
    assert all(0 <= place < sum(sizes) for place in drawn(sizes, 8, seed))


def test_each_byte_is_as_likely_as_any_other() -> None:
    sizes = [1000, 1, 50_000, 3, 49_000 - 4]
    places = drawn(sizes, 20_000, 7)
    tenths = [0] * 10
    for place in places:
        tenths[10 * place // sum(sizes)] += 1
    chi_square = sum((n - 2000) ** 2 / 2000 for n in tenths)
    assert chi_square < 27.9  # 0.1 % of chances, for nine degrees of freedom; the draw is a fixed one
    assert statistics.fmean(places) == pytest.approx(50_000, rel=0.01)


def write(folder: Path, contents: list[bytes]) -> list[tuple[bytes, int]]:
    found = []
    for number, content in enumerate(contents):
        path = folder / f"{number:04}"
        path.write_bytes(content)
        found.append((os.fsencode(path).lstrip(b"/"), len(content)))
    return found


@settings(max_examples=examples(40))
@given(st.lists(st.sampled_from([b"a", b"b", b"ab", b"cd", b"abc", b"abd" * 4]), min_size=1, max_size=40))
def test_of_few_files_the_duplicates_are_counted(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    groups: dict[int, Alike] = {}
    for path, size in write(tmp_path_factory.mktemp("alike"), contents):
        groups.setdefault(size.bit_length(), Alike()).meet(path, size)
    again = sum(alike.bytes * alike.duplicate(Tally()).of for alike in groups.values())
    assert again == pytest.approx(sum(map(len, contents)) - sum(map(len, set(contents))))
    assert all(alike.duplicate(Tally()).error == 0 for alike in groups.values())


def test_of_many_files_the_duplicates_are_estimated(tmp_path: Path) -> None:
    chance, alike = random.Random(3), Alike()
    lengths = [chance.randrange(4096, 8192) for _ in range(1500)]
    contents = [chance.randbytes(length) for length in lengths]
    contents += [chance.choice(contents[:1500]) for _ in range(500)]
    for path, size in write(tmp_path, contents):
        alike.meet(path, size)
    true = 1 - sum(map(len, set(contents))) / sum(map(len, contents))
    share = alike.duplicate(Tally())
    assert share.error > 0
    assert abs(share.of - true) < 3 * share.error


def test_files_of_one_length_cannot_fill_the_memory(tmp_path: Path) -> None:
    alike = Alike()
    for _ in range(20 * ALIKE_MAX):
        alike.meet(b"nowhere", 4096)
    assert alike.bytes == 20 * ALIKE_MAX * 4096
    assert len(alike._lengths[4096]) == ALIKE_MAX


def sampled_from(folder: Path, seed: int = 1, *, thorough: bool = False) -> SampleResult:
    sample, monitor = Sample(USUAL, random.Random(seed), 3, thorough), Tally()
    sample.take_in(Walk([os.fsencode(folder)], SourceRules(), monitor), monitor)
    return sample.look(monitor)


def test_what_a_tree_comes_to_is_seen_in_a_part_of_it(tmp_path: Path) -> None:
    chance = random.Random(5)
    text = (b"all that is written here is written again and again " * 400)[: 16 * KIB]
    for number in range(300):
        (tmp_path / f"text{number}").write_bytes(b"%d" % number + text)
    (tmp_path / "noise").write_bytes(chance.randbytes(5 * MIB))
    (tmp_path / "twin").write_bytes((tmp_path / "noise").read_bytes())
    os.link(tmp_path / "noise", tmp_path / "further name")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 40)
    found = sampled_from(tmp_path)
    there = found.population
    assert there.files == 304
    texts = sum(path.stat().st_size for path in tmp_path.glob("text*"))
    assert there.bytes == texts + 10 * MIB
    assert found.content.duplicate.of == pytest.approx(5 * MIB / there.bytes)
    noise = 5 * MIB / (texts + 5 * MIB)
    assert found.content.stored.of == pytest.approx(noise, abs=0.01)
    assert seed_size(found).of == pytest.approx(5 * MIB, rel=0.02)


def two_images(folder: Path) -> int:
    """Return the size of two files without their duplicates, and write them.

    Files of 12 and 13 MiB have 9 MiB in common, which lie at different places in each.
    """
    chance = random.Random(8)
    common = chance.randbytes(9 * MIB)
    (folder / "first").write_bytes(chance.randbytes(3 * MIB) + common)
    (folder / "second").write_bytes(common + chance.randbytes(4 * MIB - 5))
    return 16 * MIB - 5


def test_what_large_files_have_in_common_is_counted(tmp_path: Path) -> None:
    unique = two_images(tmp_path)
    found = sampled_from(tmp_path)
    assert found.through
    assert found.content.duplicate.error == 0
    longest = 2 * USUAL.max_size  # where they begin and cease to be alike, chunks differ
    assert unique <= found.content.unique <= unique + longest
    assert found.content.stored.of == pytest.approx(1.0, abs=0.001)
    assert found.content.seconds > 0


def test_large_files_are_read_through_if_that_is_little_or_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_images(tmp_path)
    monkeypatch.setattr("seed.plan.sampling.sample.THROUGH_MAX", 24 * MIB)
    looked_into = sampled_from(tmp_path)
    assert not looked_into.through
    assert looked_into.content.duplicate.of == 0
    assert looked_into.content.stored.of == pytest.approx(1.0, abs=0.001)
    read = sampled_from(tmp_path, thorough=True)
    assert read.through
    assert read.content.duplicate.of > 0.2
    assert read.content.bytes == looked_into.content.bytes == 25 * MIB - 5


def test_a_large_file_that_cannot_be_read_is_told_and_not_counted(tmp_path: Path) -> None:
    two_images(tmp_path)
    sample, monitor = Sample(USUAL, random.Random(1), 3), Tally()
    sample.take_in(Walk([os.fsencode(tmp_path)], SourceRules(), monitor), monitor)
    (tmp_path / "second").unlink()
    found = sample.look(monitor)
    assert [(f.code, f.subject) for f in monitor.findings] == [
        ("source-unreadable", str(tmp_path / "second"))
    ]
    assert (found.population.files, found.population.bytes) == (1, 12 * MIB)
    assert found.content.bytes == 12 * MIB


def test_no_error_is_larger_than_what_it_is_of(tmp_path: Path) -> None:
    alike = Alike()
    for path, size in write(tmp_path, [b"%06d" % number for number in range(ALIKE_MAX)]):
        for _ in range(100):
            alike.meet(path, size)
    share = alike.duplicate(Tally())
    assert 2 * share.error <= max(share.of, 1 - share.of)


def test_a_walk_that_is_stopped_reads_no_further(tmp_path: Path) -> None:
    two_images(tmp_path)

    class Stopped(Tally):
        def stopping(self) -> bool:
            return self.done > 4 * MIB

    sample, monitor = Sample(USUAL, random.Random(1), 3, thorough=True), Stopped()
    with pytest.raises(Interrupted):
        sample.take_in(Walk([os.fsencode(tmp_path)], SourceRules(), monitor), monitor)
    assert monitor.done < 10 * MIB


@given(st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 0.99), st.floats(0, 1.1)), min_size=1))
def test_strata_together_hold_what_each_does(parts: list[tuple[int, float, float]]) -> None:
    strata = [Stratum(size, Share(again, 0.01), Share(stored, 0.01), 1.0) for size, again, stored in parts]
    whole = together(strata)
    assert whole.bytes == sum(s.bytes for s in strata)
    assert whole.unique == pytest.approx(sum(s.unique for s in strata))
    assert whole.unique * whole.stored.of == pytest.approx(sum(s.unique * s.stored.of for s in strata))
    assert whole.duplicate.error <= 0.01 * (1 + 1e-9)
    assert whole.stored.error <= 0.01 * (1 + 1e-9)
    assert whole.seconds == len(strata)


def test_of_a_file_with_many_holes_its_data_are_seen(tmp_path: Path) -> None:
    with (tmp_path / "image").open("wb") as file:
        for at in range(0, 200 * MIB, MIB):
            file.seek(at)
            file.write(os.urandom(64 * KIB))
    found = sampled_from(tmp_path)
    assert found.population.bytes == 200 * 64 * KIB
    assert found.content.stored.of == pytest.approx(1.0, abs=0.001)


def test_of_more_files_of_a_length_than_are_compared_it_is_not_sure(tmp_path: Path) -> None:
    chance = random.Random(6)
    contents = [chance.randbytes(3000) for _ in range(600)]
    for number, content in enumerate(contents * 2):
        (tmp_path / f"{number:05}").write_bytes(content)
    found = sampled_from(tmp_path).content.duplicate
    assert found.error > 0.1
    assert abs(found.of - 0.5) <= 2 * found.error


def test_files_in_two_pieces_are_no_worse_than_whole_ones(tmp_path: Path) -> None:
    words = [b"%06x" % number for number in range(5000)]
    for number in range(40):
        chance = random.Random(number)
        (tmp_path / f"{number}.json").write_bytes(
            b'{"word":"' + b'","word":"'.join(chance.choices(words, k=19_000))
        )
    found = sampled_from(tmp_path)
    sealer = ChunkSealer(MasterKey.generate(), 3)
    whole = [path.read_bytes() for path in tmp_path.iterdir()]
    true = sum(len(sealer.seal(CONTENT, sealer.chunk_id(CONTENT, raw), raw)) for raw in whole) / sum(
        map(len, whole)
    )
    assert found.content.stored.of == pytest.approx(true, rel=0.03)


def test_of_very_many_tiny_files_few_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3000):
        (tmp_path / f"{number:04}").write_bytes(b"%d" % number * 3)
    monkeypatch.setattr("seed.plan.sampling.sample.OPENED_MAX", 5000)
    sample, monitor = Sample(USUAL, random.Random(1), 3), Tally()
    sample.take_in(Walk([os.fsencode(tmp_path)], SourceRules(), monitor), monitor)
    assert max(len(place.paths) for place in sample._places.values()) <= PLACE_FILES
    assert sample.look(monitor).population.files == 3000
    assert monitor.done < 5000 * 12 + PLACE_FILES * 12


def test_nothing_comes_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    found = sampled_from(tmp_path)
    assert (found.population.files, found.population.bytes) == (1, 0)
    assert 0 < seed_size(found).of < 1000
    made = plan(found, processors=2, uplink=1e6, disk_size=TB, courier_days=2)
    assert (made.advice, made.disks) == ("send", {TB: (1, 1)})


def test_a_file_that_goes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 1000)
    sample, monitor = Sample(USUAL, random.Random(1), 3), Tally()
    sample.take_in(Walk([os.fsencode(tmp_path)], SourceRules(), monitor), monitor)
    (tmp_path / "a").unlink()
    assert sample.look(monitor).content.stored == Share(1.0)


# The conclusions from a sample.


def of(size: int, stored: float = 0.5, error: float = 0.01) -> SampleResult:
    content = Stratum(size, Share(0.1, 0.01), Share(stored, error), 0.9 * size * 8e-9)
    return SampleResult(Population(10**6, 10**6, size, 10.0), content, True)


def test_the_seed_is_what_is_left_and_says_how_sure_that_is() -> None:
    seed = seed_size(of(TB))
    assert seed.of == pytest.approx(0.45e12, rel=0.001)
    assert seed.error == pytest.approx(2 * (0.009**2 + 0.005**2) ** 0.5 * 1e12, rel=0.001)


@given(st.floats(0, 1e16), st.floats(0, 1e15), st.integers(10**9, 10**14))
def test_so_many_disks_hold_it(size: float, error: float, disk: int) -> None:
    seed = Estimate(size, error)
    least, most = disks_of(seed, disk)
    assert 1 <= least <= most
    assert most * disk * 0.95 >= seed.high * (1 - 1e-9)
    assert (least - 1) * disk * 0.95 <= seed.low


@pytest.mark.parametrize(
    ("upload", "travel", "advice"),
    [
        (Estimate(DAY), Estimate(3 * DAY), "send"),
        (Estimate(2.5 * DAY), Estimate(3 * DAY), "either"),
        (Estimate(9 * DAY), Estimate(3 * DAY), "ship"),
        (Estimate(9 * DAY, 6 * DAY), Estimate(3 * DAY), "either"),
        (Estimate(9 * DAY), Estimate(30 * DAY), "send"),
    ],
)
def test_the_advice(upload: Estimate, travel: Estimate, advice: str) -> None:
    assert advised(upload, travel) == advice


def test_a_terabyte_over_ten_megabits_is_the_story_of_this_program() -> None:
    made = plan(of(TB, stored=1.0), processors=4, uplink=10e6, disk_size=None, courier_days=2)
    (upload,) = made.upload.values()
    assert upload.of == pytest.approx(9 * DAY, rel=0.05)
    assert made.advice == "ship"
    assert made.travel.of < 2.2 * DAY
    assert made.disks[TB] == (1, 1)


def test_a_slow_machine_is_waited_for() -> None:
    assert preparing(of(TB), 1).of == pytest.approx(2 * preparing(of(TB), 2).of, rel=0.01)
    made = plan(of(TB), processors=1, uplink=None, disk_size=None, courier_days=0)
    assert made.export["an SSD"] == made.prepare
