"""Prune with the real code of both sides: objects that nobody needs go, and needed objects stay.

For Linux.
"""

import os
import sys
import time
from pathlib import Path

import pytest

from formats import layout
from formats.errors import OffseedError, VaultError
from formats.monitor import Tally
from formats.rules.retention import DAY
from importer.upkeep.compaction import WastefulArchive, compact
from importer.vault import sweeps
from importer.vault.reachability import effective, needed
from importer.vault.vault import members
from seed.backup import backup as backups
from seed.session import session as seed_work
from seed.session.session import ChangedError
from tests.journeys import trees
from tests.journeys.stage import below, kept
from tests.retention.world import HOUR, LAST, SHORT, World, media, trial_disk
from tests.store.faulty import Died, FaultyStore, dies_at

assert sys.platform == "linux"

MIB = 1 << 20


def test_what_has_expired_is_deleted_and_all_else_comes_back(world: World, room: Path) -> None:
    world.policy(LAST)
    media(world, "large/media", 1)
    first = world.backup().manifest.point
    media(world, "large/media", 2)
    world.clock.sleep(HOUR)
    second = world.backup().manifest.point
    before = kept(world.source, room, "before")
    done = world.prune()
    (decided,) = done.decided
    assert [term.earned for _, term in decided.admitted] == [("every",), ("every",)]
    assert (done.condemned, done.deleted, decided.expired) == (0, 0, ())

    world.clock.sleep(DAY + HOUR)
    done = world.prune()
    assert [m.point for m in done.decided[0].expired] == [first]
    assert done.condemned > 0, "and nothing is deleted yet"
    assert done.deleted == 0
    assert [point.manifest.point for point in world.points()] == [second]
    held = world.objects("archives")
    world.clock.sleep(DAY - HOUR)
    assert world.prune().deleted == 0, "it is not a day yet"
    world.clock.sleep(2 * HOUR)
    done = world.prune()
    assert done.deleted > 0
    assert world.objects("archives") < held
    assert world.objects(layout.CONDEMNED) == set()
    assert world.complete()
    assert trees.differences(before, below(world.restored(second, room / "back"), world.source)) == []
    size = sum(len(data) for name, data in world.memory.objects.items() if name.startswith("archives/"))
    assert size < 40 * MIB, "of either version of the media one is gone"
    world.clock.sleep(DAY)
    third = world.backup().manifest.point
    assert trees.differences(before, below(world.restored(third, room / "again"), world.source)) == []


def test_the_last_complete_point_stays_whatever_the_policy(world: World, room: Path) -> None:
    world.policy(LAST)
    point = world.backup().manifest.point
    for _ in range(3):
        world.clock.sleep(500 * DAY)
        done = world.sweep()
        assert done.deleted == 0
    assert [p.manifest.point for p in world.points()] == [point]
    assert trees.differences(world.source, below(world.restored(point, room / "back"), world.source)) == []


def test_a_shorter_policy_holds_for_what_is_admitted_later(world: World) -> None:
    world.policy(SHORT)
    world.backup()
    world.prune()
    world.policy(LAST)
    world.clock.sleep(DAY)
    world.backup()
    world.clock.sleep(2 * DAY)
    world.backup()
    world.prune()
    assert [p.manifest.sequence for p in world.points()] == [1, 3], (
        "the second was admitted under the shorter"
    )
    world.clock.sleep(2 * DAY)
    world.prune()
    assert [p.manifest.sequence for p in world.points()] == [3]


def test_a_rehearsal_writes_nothing_and_tells_what_would_be(world: World) -> None:
    world.policy(LAST)
    world.backup()
    world.clock.sleep(HOUR)
    (world.source / "new").write_bytes(b"new")
    world.backup()
    world.prune()
    world.clock.sleep(2 * DAY)
    before = world.saved()
    monitor = Tally()
    from importer.upkeep.prune import prune

    done = prune(world.vault, lambda _: True, monitor, rehearse=True)
    assert world.memory.objects == before
    assert len(done.decided[0].expired) == 1
    real = world.prune()
    assert real.decided == done.decided


def test_a_partial_point_goes_when_a_whole_one_follows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "PARTIAL_EVERY", 0.0)
    monkeypatch.setattr(backups, "_now_and_then", _once)
    world.backup()
    kinds = [p.manifest.point_kind for p in world.points()]
    assert kinds == ["partial", "incremental"]
    world.prune()
    assert [p.manifest.point_kind for p in world.points()] == ["incremental"]
    world.clock.sleep(DAY + HOUR)
    world.prune()
    world.clock.sleep(DAY + HOUR)
    world.prune()
    assert world.complete()


def _once(walk, action, _clock):  # type: ignore[no-untyped-def]
    for number, found in enumerate(walk):
        if number == 100:
            action()
        yield found


def test_mostly_dead_archives_are_rewritten_and_still_open(world: World, room: Path) -> None:
    world.policy(LAST)
    for number in range(12):
        media(world, f"large/{number}", number)
    world.backup()
    for number in range(0, 12, 2):
        (world.source / f"large/{number}").unlink()
    world.clock.sleep(HOUR)
    point = world.backup().manifest.point
    world.prune()
    world.clock.sleep(2 * DAY)
    done = world.prune()
    assert done.rewritten > 0
    assert world.complete()
    held = sum(len(d) for n, d in world.memory.objects.items() if n.startswith("archives/"))
    world.clock.sleep(DAY + HOUR)
    assert world.prune().deleted > 0
    left = sum(len(d) for n, d in world.memory.objects.items() if n.startswith("archives/"))
    assert left < held - 20 * MIB
    assert world.complete()
    assert trees.differences(world.source, below(world.restored(point, room / "back"), world.source)) == []
    found = Tally()
    sent = world.backup(found)
    assert found.findings == []
    assert sent.archive_bytes < MIB, "what was rewritten is built upon"
    world.clock.sleep(2 * DAY)
    world.sweep()
    again = world.restored(sent.manifest.point, room / "again")
    assert trees.differences(world.source, below(again, world.source)) == []


def test_what_was_rewritten_is_built_upon_though_the_home_has_the_old(world: World, room: Path) -> None:
    """Build upon rewritten archives, those of catalogs too.

    The home's cache has the old archives of catalogs, and the vault has them no more.
    """
    world.backup()
    vault = world.vault
    found = needed(vault, members(vault, Tally()), {}, world.clock.now, Tally())
    ((key_id, live),) = effective(vault, found).items()
    old = [layout.archive_name(archive.name) for archive in live]
    compact(
        vault,
        key_id,
        [WastefulArchive(a, bits, 1, 0) for a, bits in live.items()],
        found.stocks[key_id],
        Tally(),
    )
    for name in old:
        world.store.delete(name)
    assert world.complete()
    told = Tally()
    sent = world.backup(told)
    assert told.findings == []
    assert sent.archive_bytes < MIB
    back = world.restored(sent.manifest.point, room / "back")
    assert trees.differences(world.source, below(back, world.source)) == []


def test_rewritten_archives_are_rewritten_again(world: World, room: Path) -> None:
    """Rewrite also an archive that replaces others; the new archive replaces all of them."""
    world.policy(LAST)
    names = [f"large/{number}" for number in range(8)]
    for number, name in enumerate(names):
        media(world, name, number)
    world.backup()
    for gone in (names[0:6:2], names[1:6:4]):
        for name in gone:
            (world.source / name).unlink()
        world.clock.sleep(HOUR)
        point = world.backup().manifest.point
        rewritten = world.prune().rewritten
        world.clock.sleep(2 * DAY)
        assert world.prune().rewritten + rewritten > 0
        world.clock.sleep(2 * DAY)
        world.prune()
        assert world.complete()
        back = world.restored(point, room / f"back {len(gone)} {gone[0][-1]}")
        assert trees.differences(world.source, below(back, world.source)) == []


def test_what_fails_lets_imports_go_on(world: World) -> None:
    world.backup()

    def away(verb: str, name: str, _: int) -> BaseException | None:
        return OffseedError("store-unreachable", "away") if (verb, name) == ("list", "needs") else None

    world.store = FaultyStore(world.memory, away)
    with pytest.raises(OffseedError):
        world.prune()
    world.store = world.memory
    assert sweeps.seen(world.vault)
    assert sweeps._under_way(world.vault, Tally()) == []


def test_what_is_lost_is_not_compacted_but_wanted(world: World) -> None:
    world.policy(LAST)
    for number in range(6):
        media(world, f"large/{number}", number)
    world.backup()
    for number in range(0, 6, 2):
        (world.source / f"large/{number}").unlink()
    world.clock.sleep(HOUR)
    world.backup()
    world.prune()
    world.clock.sleep(2 * DAY)
    for name in world.objects("archives"):
        if len(world.memory.objects[name]) > MIB:
            world.store.delete(name)
    found = Tally()
    done = world.prune(found)
    assert done.rewritten == 0
    assert found.findings == []
    world.backup()
    assert world.points()[-1].standing.complete, "what was lost was sent again"


def test_what_is_condemned_is_not_built_upon(world: World, room: Path) -> None:
    """Build upon no condemned archive.

    A file was deleted, its point has expired, and the file comes again while its archive waits for the sweep.
    """
    world.policy(LAST)
    media(world, "large/again", 7)
    world.backup()
    (world.source / "large/again").unlink()
    world.clock.sleep(HOUR)
    world.backup()
    world.prune()
    world.clock.sleep(2 * DAY)
    assert world.prune().condemned > 0
    media(world, "large/again", 7)
    point = world.backup().manifest.point
    world.clock.sleep(DAY + HOUR)
    assert world.prune().deleted > 0
    assert world.complete()
    assert trees.differences(world.source, below(world.restored(point, room / "back"), world.source)) == []


def test_the_ground_of_a_run_is_condemned_under_it(
    world: World, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make a backup anew if prune condemns its ground right before its last look.

    The backup builds upon a point that has just expired.
    """
    world.policy(LAST)
    media(world, "large/old", 7)
    old = world.backup().manifest.point
    (world.source / "large/old").unlink()
    world.clock.sleep(HOUR)
    world.backup()
    world.prune()
    # The home takes the first point for the last one of the usual items: a run builds upon it, too.
    from dataclasses import replace

    world.home.save_state(replace(world.home.state, usual=old))
    media(world, "large/old", 7)
    looks = []
    look = seed_work.Session._look_again

    def meanwhile(*arguments: object) -> object:
        looks.append(arguments)
        if len(looks) == 1:
            world.clock.sleep(2 * DAY)
            assert world.prune().condemned > 0
        return look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(seed_work.Session, "_look_again", meanwhile)
    point = world.backup().manifest.point
    assert len(looks) == 2
    world.clock.sleep(DAY + HOUR)
    assert world.prune().deleted > 0
    assert world.complete()
    assert trees.differences(world.source, below(world.restored(point, room / "back"), world.source)) == []


def test_a_manifest_that_was_late_is_given_up(world: World) -> None:
    """Give up a manifest that the vault did not take in time.

    The machine signed it, and the vault went away before it took the manifest. When the vault is back, the
    archives that the manifest builds upon are condemned.
    """
    world.policy(LAST)
    media(world, "large/old", 7)
    world.backup()
    names = []

    def away(verb: str, name: str, _: int) -> BaseException | None:
        if verb == "put_new" and name.startswith("manifests/"):
            names.append(name)
            return OffseedError("store-unreachable", "away")
        return None

    (world.source / "new").write_bytes(b"new")
    world.store = FaultyStore(world.memory, away)
    with pytest.raises(OffseedError):
        world.backup()
    world.store = world.memory
    home = world.home.path / "cache" / names[0]
    assert home.exists()
    _condemn(world, [layout.archive_name(name) for name in _needed(world)])
    monitor = Tally()
    world.backup(monitor)
    assert names[0] not in world.memory.objects
    assert any("given up" in notice for notice in monitor.notices)


def _needed(world: World) -> list[bytes]:
    from importer.vault.points import load_needs

    return [need.archive.name for need in load_needs(world.store, world.points()[0].manifest)]


def _condemn(world: World, names: list[str]) -> None:
    from formats.documents.retention import Condemned

    vault = world.vault
    document = Condemned(number=1, vault=vault.id, role="authority", created=0, names=tuple(names))
    vault.sign(layout.CONDEMNED, 1, document)


def test_what_is_needed_after_all_is_acquitted(world: World) -> None:
    world.backup()
    names = [layout.archive_name(name) for name in _needed(world)]
    _condemn(world, names)
    world.clock.sleep(DAY + HOUR)
    done = world.prune()
    assert (done.deleted, done.acquitted) == (0, len(names))
    assert world.objects(layout.CONDEMNED) == set()
    assert world.complete()


@pytest.mark.parametrize("spoilt", ["manifests", "needs"])
def test_what_cannot_be_read_is_not_taken_for_nothing(world: World, spoilt: str) -> None:
    world.policy(LAST)
    world.backup()
    media(world, "large/new", 3)
    world.clock.sleep(HOUR)
    world.backup()
    world.prune()
    world.clock.sleep(3 * DAY)
    name = max(world.objects(spoilt))
    data = world.memory.objects[name]
    places = [place for place in (name, layout.copy_name(name)) if place in world.memory.objects]
    for place in places:
        world.memory.objects[place] = data[:40] + bytes([data[40] ^ 1]) + data[41:]
    found = Tally()
    done = world.prune(found)
    assert done.blind == ("web1",)
    assert [f.code for f in found.findings].count("prune-blind") == 1
    assert done.condemned == 0
    for place in places:
        world.memory.objects[place] = data
    assert world.prune().blind == ()


def test_a_lost_manifest_of_an_admitted_point_is_noticed(world: World) -> None:
    world.backup()
    world.prune()
    for name in world.objects("manifests"):
        world.store.delete(name)
        world.store.delete(layout.copy_name(name))
    world.clock.sleep(3 * DAY)
    done = world.prune()
    assert done.blind == ("web1",)
    assert done.condemned == 0
    world.backup()
    assert world.prune().blind == ()


def test_an_import_that_goes_on_stops_the_sweep(world: World) -> None:
    from formats.documents.job import ImportJob

    world.backup()
    _condemn(world, ["archives/ab/" + "ab" * 32])
    world.memory.put_new("archives/ab/" + "ab" * 32, b"x")
    world.clock.sleep(DAY + HOUR)
    vault = world.vault
    disk = trial_disk(world)
    job = ImportJob(vault=vault.id, job="7" * 32, role="authority", started=0, disks=(disk,))
    vault.sign(layout.job_prefix("7" * 32), 1, job)
    done = world.prune()
    assert (done.importing, done.deleted) == (("7" * 32,), 0)
    world.clock.sleep(8 * DAY)
    done = world.prune()
    assert (done.importing, done.deleted) == ((), 1), "by then it is over, or will begin anew"


def test_an_import_waits_for_a_sweep_that_has_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = world.vault
    sweeping = sweeps.begin(vault)
    job = vault.sign(layout.job_prefix("7" * 32), 1, _validation(world))
    waited = []

    def nap(_: float) -> None:
        waited.append(1)
        if len(waited) == 3:
            sweeping.end([], 0, 0)

    monkeypatch.setattr(time, "sleep", nap)
    found = Tally()
    sweeps.wait(vault, job, found)
    assert len(waited) == 3
    assert len(found.notices) == 1
    sweeps.wait(vault, job, found)
    assert len(waited) == 3, "it is over"
    sweeps.begin(vault)
    world.clock.sleep(2 * HOUR)
    late = vault.sign(layout.job_prefix("8" * 32), 1, _validation(world))
    sweeps.wait(vault, late, found)
    assert len(waited) == 3, "it was killed long ago, and deletes no more"


def _validation(world: World):  # type: ignore[no-untyped-def]
    from formats.documents.job import Validation

    return Validation(
        number=1,
        vault=world.vault.id,
        role="authority",
        started=0,
        finished=0,
        objects=0,
        bytes=0,
        damaged=0,
        sampled=False,
    )


def test_killed_before_any_write_it_goes_on_and_nothing_needed_is_lost(world: World, room: Path) -> None:
    world.policy(LAST)
    for number in range(6):
        media(world, f"large/{number}", number)
    world.backup()
    for number in range(4):
        (world.source / f"large/{number}").unlink()
    world.clock.sleep(HOUR)
    point = world.backup().manifest.point
    world.prune()
    world.clock.sleep(2 * DAY)
    world.prune()
    media(world, "large/5", 50)
    last = world.backup().manifest.point
    world.clock.sleep(2 * DAY)
    before = world.saved()
    times = dict(world.memory.times)
    counting = FaultyStore(world.memory)
    world.store = counting
    done = world.prune()
    assert done.deleted
    assert done.rewritten
    assert done.condemned
    assert done.decided[0].expired
    assert point not in {p.manifest.point for p in world.points()}
    writes = counting.count
    for number in range(1, writes + 1):
        world.roll_back(before)
        world.memory.times = dict(times)
        world.store = FaultyStore(world.memory, dies_at(number))
        with pytest.raises(Died):
            world.prune()
        world.store = world.memory
        assert world.complete(), number
        world.prune()
        assert world.complete(), number
        world.clock.sleep(DAY + HOUR)
        world.prune()
        assert world.complete(), number
        world.clock.sleep(-DAY - HOUR)
    back = world.restored(last, room / "back")
    assert trees.differences(world.source, below(back, world.source)) == []
    print("killed before each of", writes, "writes")


def test_a_flood_of_points_pushes_nothing_out(world: World) -> None:
    """Push no point out by a flood of others.

    An attacker with the machine's keys puts points with clocks of its own, and asks for a shorter policy.
    """
    world.policy(SHORT)
    world.backup()
    world.prune()
    world.policy(LAST)
    for created in (-400 * DAY, 400 * DAY, 0, 1000 * DAY):
        world.clock.sleep(created)
        (world.source / "flood").write_text(str(created))
        world.backup()
        world.clock.sleep(-created)
    world.prune()
    assert world.points()[0].manifest.sequence == 1
    world.clock.sleep(3 * DAY)
    world.prune()
    assert 1 in {p.manifest.sequence for p in world.points()}, "it was promised four days"


def test_the_home_forgets_what_has_expired(world: World) -> None:
    world.policy(LAST)
    cache = world.home.path / "cache"

    def held() -> int:
        return sum(p.stat().st_size for p in cache.rglob("*") if p.is_file())

    sizes = []
    for number in range(6):
        for file in range(40):
            (world.source / f"many/1/{file}.txt").write_text(f"{number} {file}" * 50)
        world.backup()
        world.clock.sleep(2 * DAY)
        world.prune()
        sizes.append(held())
    assert len(list((cache / "manifests").rglob("*-*"))) <= 2
    assert sizes[-1] < sizes[1] * 1.5
    assert world.complete()


def test_what_lies_in_a_directory_is_told_by_its_file_system(tmp_path: Path) -> None:
    from formats.store.local import LocalStore

    with LocalStore.open(str(tmp_path)) as store:
        store.put_new("label", b"x")
        os.utime(tmp_path / "label", (1000, 1000))
        written = store.written("label")
        assert written is not None
        assert written.timestamp() == 1000


def test_it_is_told_what_to_do_where_the_ground_changes_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*_: object) -> None:
        raise ChangedError("vault", 3)

    monkeypatch.setattr(seed_work.Session, "_look_again", changed)
    with pytest.raises(VaultError) as caught:
        world.backup()
    assert caught.value.code == "vault-changed"
    assert world.points() == []
    monkeypatch.undo()
