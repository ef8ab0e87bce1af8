"""Faults of disks, cables, people and power during an export to several disks: they lose no data.

After every fault the same command completes, and the restored tree is equal to the source.
No command ever writes to a mount point without its disk.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import installed
from tests.effort import seeded
from tests.facilities import LoopDisk
from tests.journeys import devices, moments
from tests.journeys.stage import Stage, ended, prepared, refused

assert sys.platform == "linux"

ARCHIVE, MIB = devices.ARCHIVE, devices.MIB

pytestmark = pytest.mark.needs("root", "loop")

KILLS = 4
SIZE = 320 * MIB  # xfs has no smaller file systems
SMALL = 9 * MIB  # documents, indexes and catalogs, and a file that was being read
FleetOf = Callable[..., devices.Fleet]


@pytest.fixture
def fleet(rack: devices.Rack, opened: Stage, long_tree: Path) -> FleetOf:
    """Return `fleet(disk, …)`: a registered machine that backs up 136 MiB to these disks."""

    def make(*disks: LoopDisk) -> devices.Fleet:
        folder = rack.memory / "stage"
        folder.mkdir()
        return devices.Fleet(opened.copy(folder), long_tree, disks)

    return make


def two(rack: devices.Rack, *options: str) -> tuple[LoopDisk, LoopDisk]:
    return rack.disk(SIZE, "ext4", *options), rack.disk(SIZE, "ext4", *options)


def unlike(rack: devices.Rack) -> tuple[LoopDisk, LoopDisk]:
    """Return two disks with different file systems: the fault strikes one of them during a write."""
    return rack.disk(SIZE, "ext4"), rack.disk(SIZE, "xfs")


def test_killed_at_random_moments_an_export_to_two_disks_completes(
    rack: devices.Rack, fleet: FleetOf, room: Path
) -> None:
    """Complete after kills at random steps of the first archives: each run leaves some for the next."""
    all_ = fleet(*two(rack))
    moment = seeded()
    for _ in range(KILLS):
        struck = all_.struck("step", signal.SIGKILL, nth=moment.randint(1, moments.STEPS))
        moments.killed(all_.stage, struck, "seed", *all_.words())
    before = all_.held()
    finished = all_.export()
    assert finished["written_bytes"] <= all_.held() - before + 2 * SMALL
    assert all_.held() - finished["archive_bytes"] <= KILLS * 2 * ARCHIVE
    all_.check(room / "restored")


def test_killed_at_random_moments_an_import_of_two_disks_completes(
    rack: devices.Rack, fleet: FleetOf, room: Path
) -> None:
    all_ = fleet(*two(rack))
    all_.export()
    moment = seeded()
    vault = all_.stage.vault
    for _ in range(KILLS):
        struck = moments.at("step", signal.SIGKILL, vault, nth=moment.randint(1, moments.STEPS))
        words = ("importer", "import", *(d.path for d in all_.disks[::-1]), "--vault", vault)
        moments.killed(all_.stage, struck, *words)
    for temporary in devices.temporaries(vault):  # stations share a vault: temporaries stay for a day
        os.utime(temporary, (0, 0))
    all_.check_delivered(room / "restored")
    assert devices.archives(vault) == devices.archives(all_.disks[0]) | devices.archives(all_.disks[1])


@pytest.mark.needs("xfs")
def test_power_is_cut_from_one_disk(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    all_ = fleet(*unlike(rack))
    with all_.writing(after=1) as (running, disk):
        devices.cut_power(disk.path)
    result = ended(running)
    assert result.code == 4, result
    assert "[disk-needed]" in result.stderr
    assert "io-error" in result.stderr
    devices.mend(disk)
    finished = all_.export()
    assert finished["resumed"]
    assert finished["read_bytes"] <= SMALL
    all_.check(room / "restored")


@pytest.mark.needs("xfs")
def test_power_is_cut_from_the_whole_machine(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    """Complete after a power cut that also strikes the disk of the home."""
    all_ = fleet(*unlike(rack))
    home = rack.disk(64 * MIB)
    all_.stage.home = shutil.copytree(all_.stage.home, home.path / "home")
    os.sync()
    with all_.writing(after=1) as (running, _):
        durable = all_.held()
        devices.cut_power(home.path, *(d.path for d in all_.disks))
        running.kill()
    assert ended(running).code == -signal.SIGKILL
    for disk in (home, *all_.disks):
        devices.mend(disk)
    assert all_.held() >= durable - ARCHIVE  # one may have been renamed and not flushed yet
    finished = all_.export()
    assert finished["resumed"]
    all_.check_delivered(room / "restored")


def test_one_disk_of_two_is_pulled_out(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    all_ = fleet(*two(rack))
    with all_.writing(after=1) as (running, disk):
        devices.pull(disk)
    result = ended(running)
    assert result.code == 4, result
    assert "[disk-needed]" in result.stderr
    assert "disk-missing" in result.stderr
    assert os.listdir(disk.path) == []
    disk.mount()
    finished = all_.export()
    assert finished["resumed"]
    assert finished["read_bytes"] <= SMALL
    all_.check_delivered(room / "restored")


def test_the_only_disk_is_pulled_out(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    all_ = fleet(rack.disk(SIZE))
    with all_.writing() as (running, disk):
        devices.pull(disk)
    result = ended(running)
    assert result.code == 1, result
    assert "[disk-missing]" in result.stderr
    assert os.listdir(disk.path) == []
    disk.mount()
    assert all_.export()["resumed"]
    all_.check(room / "restored")


def test_a_disk_that_is_not_mounted_again_is_missed(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    """Refuse a mount point without its disk, a folder like any other, after somebody unmounted the disks."""
    all_ = fleet(*two(rack))
    with moments.using(all_.stage, all_.struck("writing", signal.SIGINT)):
        all_.run(code=130)
    third = rack.disk(SIZE)
    for disk in (*all_.disks, third):
        disk.unmount()
    for disk in (*all_.disks, third):
        words = ("export", all_.source, "--to", disk.path, "--json")
        refused(all_.stage.run("seed", *words, code=1), "disk-missing")
        assert os.listdir(disk.path) == []
    all_.disks[0].mount()
    refused(all_.run("--json", code=1), "disk-missing")
    assert os.listdir(all_.disks[1].path) == []
    all_.disks[1].mount()
    assert all_.export()["resumed"]
    all_.check(room / "restored")


def test_a_disk_becomes_read_only(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    all_ = fleet(*two(rack))
    disk = all_.disks[0]
    with moments.using(all_.stage, moments.at("placed", signal.SIGSTOP, disk.path)):
        running = all_.start()
    with moments.stopped(running):  # at this moment no command writes to this disk
        disk.read_only()
    result = ended(running)
    assert result.code == 4, result
    assert "read-only" in result.stderr
    devices.mend(disk)
    assert all_.export()["read_bytes"] <= SMALL
    all_.check(room / "restored")


def test_a_file_system_meets_an_error_of_its_own(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    all_ = fleet(*two(rack, "errors=remount-ro"))
    with all_.writing(after=1) as (running, disk):
        devices.break_down(disk)
    result = ended(running)
    assert result.code == 4, result
    assert "[disk-needed]" in result.stderr
    devices.mend(disk)
    assert all_.export()["read_bytes"] <= SMALL
    all_.check(room / "restored")


# The first disk writes only after the second has failed: so the second gets archives until it fails.
THE_SECOND_FAILS_FIRST = """
import threading
from seed.targets.disk_writer import DiskWriter
write, failed = DiskWriter.write, threading.Event()
def write_in_turn(self, archive):
    if self.number == 1:
        failed.wait(60)
        return write(self, archive)
    try:
        return write(self, archive)
    except BaseException:
        failed.set()
        raise
DiskWriter.write = write_in_turn
"""


def test_a_device_has_less_room_than_it_promised(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    thin, behind = rack.thin(SIZE, 26 * MIB)  # one archive of nine, or two
    all_ = fleet(rack.disk(SIZE), thin)
    with moments.using(all_.stage, prepared(THE_SECOND_FAILS_FIRST)):
        result = all_.run(code=None)
    assert result.code in (3, 4), result
    # The device fails, and the file system may refuse writes before any report of that.
    assert any(code in result.stderr for code in ("io-error", "disk-full", "read-only")), result
    assert devices.archives(all_.disks[0])
    devices.grow(behind, SIZE)
    devices.mend(thin)
    assert all_.export()["read_bytes"] <= SMALL
    all_.check(room / "restored")


def with_little_room(rack: devices.Rack, fleet: FleetOf) -> devices.Fleet:
    """Return a stopped export to one small disk, which has no room left for one more archive."""
    all_ = fleet(rack.disk(96 * MIB))
    with moments.using(all_.stage, all_.struck("writing", signal.SIGINT)):
        all_.run(code=130)
    return all_


def test_a_small_disk_fills_first_and_the_others_go_on(
    rack: devices.Rack, fleet: FleetOf, room: Path
) -> None:
    all_ = with_little_room(rack, fleet)
    all_.disks += two(rack)
    result = all_.run()
    small = all_.disks[0].path
    assert f"disk 1 at {small} is complete" in result.stderr
    assert "safe to remove" in result.stderr
    assert all(devices.archives(disk) for disk in all_.disks)
    looked = all_.stage.run("importer", "inspect", small, "--json").json
    assert [(d["closed"], d["findings"]) for d in looked["disks"]] == [(True, 0)]
    all_.check_delivered(room / "restored")


# The export stops itself as soon as it reports that a disk may go.
STOPPED_WHEN_SAFE = """
import signal, threading
from formats.shell.console import Console
notice = Console.notice
def notice_one(self, text):
    notice(self, text)
    if "safe to remove" in text:
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
Console.notice = notice_one
"""


def test_a_disk_that_is_safe_to_remove_can_be_unmounted_while_others_go_on(
    rack: devices.Rack, fleet: FleetOf, room: Path
) -> None:
    all_ = with_little_room(rack, fleet)
    all_.disks.append(rack.disk(SIZE))
    small = all_.disks[0]
    with moments.using(all_.stage, prepared(STOPPED_WHEN_SAFE)):
        running = all_.start()
    with moments.stopped(running):
        small.unmount()
    result = ended(running)
    assert result.code == 0
    assert f"disk 1 at {small.path} is complete" in result.stderr
    small.mount()
    all_.check_delivered(room / "restored")


def test_a_disk_closed_early_may_be_erased_once_its_set_is_finished(
    rack: devices.Rack, fleet: FleetOf
) -> None:
    """Let a disk closed early be erased: the set document on another disk proves that its set is finished."""
    all_ = with_little_room(rack, fleet)
    all_.disks.append(rack.disk(SIZE))
    told = all_.run("--json").stderr
    assert f"disk 1 at {all_.disks[0].path} is complete" in told
    words = ("import", *(d.path for d in all_.disks[::-1]), "--vault", all_.stage.at, "--json")
    done = all_.stage.run("importer", *words).json
    assert {d["may_be_erased"] for d in done["disks"]} == {True}, done


def test_all_disks_are_full_and_a_further_one_takes_the_rest(
    rack: devices.Rack, fleet: FleetOf, room: Path
) -> None:
    all_ = fleet(rack.disk(64 * MIB), rack.disk(48 * MIB))
    for _ in range(2):
        result = all_.run("--json", code=4)
        refused(result, "disk-full")
        assert "--to" in result.json["error"]["hint"]
    kept = all_.held()
    all_.disks.append(rack.disk(SIZE))
    finished = all_.export()
    assert finished["resumed"]
    assert finished["read_bytes"] + finished["kept_bytes"] == finished["file_bytes"]
    assert finished["read_bytes"] <= finished["file_bytes"] - kept + SMALL
    all_.check_delivered(room / "restored")


def test_a_disk_fills_unforeseen(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    """Complete an export after another program has filled a disk."""
    all_ = fleet(*two(rack))
    with all_.writing() as (running, disk):
        filler = devices.fill(disk.path)
    result = ended(running)
    assert result.code in (0, 3, 4), result
    filler.unlink()
    assert all_.export()["read_bytes"] <= SMALL
    all_.disks = [
        disk for disk in all_.disks if (disk.path / "offseed").exists()
    ]  # an empty disk stays as it was
    all_.check(room / "restored")


@pytest.mark.needs("strace")
@pytest.mark.parametrize("fault", ["write:error=ENOSPC", "fsync:error=EIO", "renameat2:error=EROFS"])
def test_one_system_call_fails(
    rack: devices.Rack, fleet: FleetOf, small_tree: Path, room: Path, fault: str
) -> None:
    """Complete after a failed system call for a label, archive, catalog, manifest or journal in the home."""
    all_ = fleet(rack.disk(64 * MIB), rack.disk(64 * MIB))
    all_.source = small_tree
    number = seeded().randint(1, 30)
    all_.stage.command = devices.traced("-e", f"inject={fault}:when={number}", "-o", "/dev/null")
    result = all_.run(code=None)
    assert result.code in (0, 1, 3, 4), result
    all_.stage.command = installed
    all_.export()
    all_.check_restore(room / "restored", *all_.named("--from"))


def test_a_disk_that_died_for_good_is_given_up(rack: devices.Rack, fleet: FleetOf, room: Path) -> None:
    all_ = fleet(*two(rack))
    with all_.writing(after=1) as (running, disk):
        devices.cut_power(disk.path)
    assert ended(running).code == 4
    number = all_.disks.index(disk) + 1
    lost = sum(devices.archives(disk).values())
    devices.destroy(disk)
    all_.disks.remove(disk)
    finished = all_.export("--without", number)
    assert 0 < finished["read_bytes"] <= lost + SMALL
    assert finished["disks"] == [3 - number]
    all_.check_delivered(room / "restored")
    all_.check_restore(room / "restored", *all_.named("--from"))
