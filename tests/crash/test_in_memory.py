"""The importer against a vault in memory that dies or fails before any of its writes.

One process tries all of the writes.
"""

import copy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.errors import MediaError, OffseedError
from formats.monitor import Monitor, Tally
from formats.store.access import Address
from formats.store.contract import Store
from formats.tables.archive import CONTENT_CLASS, parse
from importer.intake import intake
from importer.intake.acceptance import accept
from importer.intake.import_job import import_disks
from importer.upkeep.validate import ValidationScope, validate
from importer.vault.machines import answer_requests
from importer.vault.points import points
from importer.vault.vault import Vault, members, open_vault
from importer.vault.want_lists import mend
from seed.home.home import Home
from seed.repair.repair import RepairResult, repair
from seed.repair.want_list import newest_wants
from seed.session.session import Session
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, backup, disks, flip, to
from tests.memory_store import MemoryStore
from tests.store.faulty import BreaksAt, Died, FaultyStore, dies_at, fails_at, io_error, unreachable

assert sys.platform == "linux"

Deed = Callable[[Vault], None]
BY_CONTENT = ("archives/", "indexes/", "needs/", "holdings/", "manifests/", "sets/", "slots/")


def in_memory(stage: Stage) -> tuple[Vault, dict[str, bytes]]:
    """Return a stage's vault and its objects."""
    vault = open_vault(stage.importer_home, Address(stage.at), Tally())
    return vault, {name: vault.store.get(name) for name, _ in vault.store.list("")}


def over(vault: Vault, store: Store) -> Vault:
    return Vault(store, vault.descriptor, vault.authority)


def anew(vault: Vault, before: dict[str, bytes]) -> MemoryStore:
    """Return a store with the vault as it was, and let the importer's home forget all that came later."""
    assert vault.authority is not None
    shutil.rmtree(vault.authority.home / "seen", ignore_errors=True)
    store = MemoryStore()
    store.objects = copy.copy(before)
    return store


def importing(disk: Path, monitor: Monitor | None = None) -> Deed:
    def work(vault: Vault) -> None:
        answer_requests(vault, Tally())
        known = members(vault, Tally())
        found = [intake.look(folder, disk, Tally()) for folder in intake.folders(disk)]
        try:
            import_disks(vault, [(d, accept(vault, d, known)) for d in found], monitor or Tally())
            mend(vault, Tally())
        finally:
            for looked in found:
                looked.store.close()

    return work


def validating(vault: Vault) -> None:
    validate(vault, ValidationScope(), Tally())
    mend(vault, Tally())


def content(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in objects.items() if name.startswith(BY_CONTENT)}


def sweep(vault: Vault, before: dict[str, bytes], work: Deed, error: BaseException | None) -> int:
    """Let `work` die (or fail with `error`) before each write in turn, and run it again.

    The content must be the same as after an undisturbed run. Returns the number of writes.
    """
    plain = anew(vault, before)
    counting = FaultyStore(plain)
    work(over(vault, counting))
    expected = content(plain.objects)
    for number in range(1, counting.count + 1):
        store = anew(vault, before)
        plan = dies_at(number) if error is None else fails_at(number, error)
        try:
            work(over(vault, FaultyStore(store, plan)))
        except (Died, OffseedError) as met:
            assert error is None or met is error
        work(over(vault, store))
        assert content(store.objects) == expected, number
        assert [p.standing for p in points(over(vault, store), Tally())] == [
            p.standing for p in points(over(vault, plain), Tally())
        ]
    return counting.count


@pytest.mark.parametrize("error", [None, io_error("vault"), MediaError("disk-full", "full", subject="vault")])
@pytest.mark.parametrize("damaged", [False, True])
def test_an_import(copy_of: Copy, exported: Stage, damaged: bool, error: BaseException | None) -> None:
    stage = copy_of(exported)
    if damaged:
        archive = stage.objects("archives")[0]
        flip(archive, archive.stat().st_size // 2)
    vault, before = in_memory(stage)
    count = sweep(vault, before, importing(stage.disk), error)
    print("died before each of", count, "writes")
    assert count > 8


def test_what_another_importer_brings_meanwhile_is_not_missing(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    """Report nothing as missing that another process imports just before this disk is remembered.

    The other process imports the other disk of the set.
    """
    stage = copy_of(opened)
    one, other = disks(stage, 2)
    stage.run("seed", "export", trees.varied_tree(room / "source"), *to(one, other), "--offline")
    vault, objects = in_memory(stage)
    store = MemoryStore()
    store.objects = objects
    left = [other]

    def meanwhile(verb: str, name: str, _: int) -> None:
        if verb == "put_new" and name.startswith("disks/") and left:
            importing(left.pop())(over(vault, store))

    found = Tally()
    importing(one, found)(over(vault, FaultyStore(store, meanwhile)))
    assert not left
    assert found.findings == []
    (point,) = points(over(vault, store), Tally())
    assert point.standing.complete


@pytest.mark.parametrize("error", [None, io_error("vault")])
def test_a_validation(copy_of: Copy, imported: Stage, error: BaseException | None) -> None:
    stage = copy_of(imported)
    for archive in (stage.vault / "archives").glob("*/*"):
        flip(archive, archive.stat().st_size // 2)
    vault, before = in_memory(stage)
    count = sweep(vault, before, validating, error)
    print("died before each of", count, "writes")
    assert count > 4


def test_what_cannot_be_read_at_all_is_left_alone(copy_of: Copy, imported: Stage) -> None:
    """Delete nothing after failed reads: the cause may be the cable or the network."""
    vault, before = in_memory(copy_of(imported))
    for error in (io_error("vault"), unreachable("vault")):
        store = MemoryStore()
        store.objects = copy.copy(before)

        def plan(verb: str, name: str, _: int, error: OffseedError = error) -> BaseException | None:
            reading = verb in ("get", "get_into") and name.startswith(BY_CONTENT)
            return error if reading and not name.startswith(("manifests/", "sets/")) else None

        met = Tally()
        try:
            validate(over(vault, FaultyStore(store, plan)), ValidationScope(), met)
        except OffseedError as found:
            assert found is error
        else:
            assert met.findings
        assert content(store.objects) == content(before)


def test_a_connection_that_breaks_at_any_call_loses_nothing(copy_of: Copy, imported: Stage) -> None:
    """Report the break, and end a second run as if nothing had happened.

    The importer takes no whole record for a damaged one.
    """
    stage = copy_of(imported)
    for archive in (stage.vault / "archives").glob("*/*"):
        flip(archive, archive.stat().st_size // 2)
    vault, before = in_memory(stage)

    def run(broken: int) -> tuple[int, MemoryStore]:
        """Validate while one call finds no connection; then validate again if the break ended the run.

        Return the number of calls that were begun, and the vault.
        """
        store, plan = MemoryStore(), BreaksAt(broken)
        store.objects = copy.copy(before)
        try:
            validating(over(vault, FaultyStore(store, plan)))
        except OffseedError as met:
            assert met is plan.error
            validating(over(vault, store))
        return plan.calls, store

    count, plain = run(0)
    for number in range(1, count + 1):
        assert content(run(number)[1].objects) == content(plain.objects), number
    print("failed once at each of", count, "calls")


def test_a_repair_loses_nothing_to_a_connection_that_breaks_at_any_call(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    """Count no content as lost after a break.

    The machine's home has lost its cache, so the machine must ask the vault. An answer that fails must not
    count as a loss.
    """
    stage = copy_of(opened)
    source = trees.varied_tree(room / "source")
    backup(stage, source)
    shutil.rmtree(stage.home / "cache")
    for archive in (stage.vault / "archives").glob("*/*"):
        if parse(archive.read_bytes(), "archive").archive_class == CONTENT_CLASS:
            flip(archive, archive.stat().st_size // 2)
    vault, objects = in_memory(stage)
    damaged = MemoryStore()
    damaged.objects = objects
    answer_requests(over(vault, damaged), Tally())
    validating(over(vault, damaged))
    spare = room / "home"

    def repairing(home: Home, store: Store) -> RepairResult:
        with home.locked(), Session.open(home, store, Tally()) as session:
            return repair(session, [], 3, newest_wants(home, store, Tally()))

    def run(broken: int) -> int:
        shutil.copytree(stage.home, spare)
        store, plan = MemoryStore(), BreaksAt(broken)
        store.objects = copy.copy(damaged.objects)
        try:
            done = repairing(Home.open(spare), FaultyStore(store, plan))
        except OffseedError as met:
            assert met is plan.error
            done = repairing(Home.open(spare), store)
        assert done.made == done.wanted, broken
        assert not done.revised, broken
        assert not done.lost, broken
        mend(over(vault, store), Tally())
        (point,) = points(over(vault, store), Tally())
        assert point.standing.complete, broken
        shutil.rmtree(spare)
        return plan.calls

    count = run(0)
    for number in range(1, count + 1):
        run(number)
    print("failed once at each of", count, "calls")


def test_a_bad_sector_costs_one_record(copy_of: Copy, imported: Stage) -> None:
    """Save the rest of the archive, and remove it so that the lost record can be sent again."""
    vault, before = in_memory(copy_of(imported))
    largest = max((n for n in before if n.startswith("archives/")), key=lambda n: len(before[n]))
    bad = len(before[largest]) // 2
    store = MemoryStore()
    store.objects = copy.copy(before)

    def sector(name: str, start: int, data: bytes) -> bytes | None:
        return None if name == largest and start <= bad < start + len(data) else data

    done = validate(over(vault, FaultyStore(store, spoil=sector)), ValidationScope(), Tally())
    assert done.damaged == [largest]
    assert largest not in store.objects
    (lack,) = mend(over(vault, store), Tally()).values()
    assert lack.records == 1
