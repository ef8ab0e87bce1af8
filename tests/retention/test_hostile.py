"""Attackers that may create objects in a vault: their objects do nothing to the objects that others need.

For Linux.
"""

import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import layout
from formats.documents import envelope
from formats.documents.codec import Document
from formats.documents.job import ImportJob, Receipt
from formats.documents.retention import Condemned, Policy, Sweep, Term, Terms
from formats.ids import Digest, HexDigest, digest, hex_digest
from formats.monitor import Tally
from formats.rules.retention import DAY, USUAL
from formats.tables import needs
from importer.vault import sweeps
from importer.vault.points import load_needs
from seed.points.layered_store import LayeredStore
from seed.points.machine_keys import own_machines, unlock
from seed.points.points import points
from tests.journeys.stage import PASSPHRASE
from tests.retention.world import HOUR, LAST, World, media, trial_disk

assert sys.platform == "linux"

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def forge(world: World, prefix: str, number: int, document: Document) -> str:
    """Put a stranger's document under a name of the authority or a machine, and return the name."""
    data = envelope.sign(document, STRANGER)
    name = layout.numbered(prefix, number, hex_digest(data))
    world.memory.put_new(name, data)
    return name


def grown(world: World) -> None:
    """Make two points; the first may expire, and an archive is there that only the first needs."""
    world.policy(LAST)
    media(world, "large/old", 1)
    world.backup()
    (world.source / "large/old").unlink()
    world.clock.sleep(HOUR)
    world.backup()
    world.prune()
    world.clock.sleep(2 * DAY)


def test_false_terms_and_policies_move_nothing(world: World) -> None:
    world.backup()
    world.prune()
    vault, (point,) = world.vault, world.points()
    machine = world.home.identity.machine
    term = Term(point=point.manifest.point, sequence=1, counted=0, until=1 << 40, earned=())
    terms = Terms(
        number=9_999_999_999,
        vault=vault.id,
        machine=machine,
        role="authority",
        created=0,
        policy=0,
        admitted=(term,),
        expired=(point.manifest.point,),
    )
    forge(world, layout.terms_prefix(machine), 9_999_999_999, terms)
    policy = Policy(number=9_999_999_999, vault=vault.id, machine=machine, created=0, zone=0, rules=LAST)
    forge(world, layout.policy_prefix(machine), 9_999_999_999, policy)
    world.clock.sleep(HOUR)
    (world.source / "new").write_bytes(b"new")
    world.backup()
    done = world.prune()
    (decided,) = done.decided
    assert decided.policy == 0
    assert [t.until > world.clock.now + 6 * DAY for _, t in decided.admitted] == [True]
    assert USUAL.every == 7
    assert len(world.points()) == 2
    assert world.prune().decided[0].number == 2, "and the next number is the authority's own"


def test_a_list_that_the_authority_did_not_sign_condemns_nothing(world: World) -> None:
    point = world.backup()
    names = tuple(sorted(world.objects("archives")))
    document = Condemned(number=9_999_999_999, vault=world.vault.id, role="authority", created=0, names=names)
    forge(world, layout.CONDEMNED, 9_999_999_999, document)
    world.clock.sleep(2 * DAY)
    found = Tally()
    again = world.backup(found)
    assert again.archive_bytes < point.archive_bytes // 4, (
        "the machine builds upon what it is not told by the authority"
    )
    assert found.findings == []
    assert "condemned: 1 object that somebody else put there; passed over" in found.notices
    assert world.prune().deleted == 0


def test_strangers_papers_neither_stop_a_sweep_nor_let_one_go_on(world: World) -> None:
    """Ignore a stranger's job, its receipt for a running job, and its manifest that is no point."""
    grown(world)
    assert world.prune().condemned > 0
    world.clock.sleep(DAY + HOUR)
    vault = world.vault
    disk = trial_disk(world)
    job = ImportJob(vault=vault.id, job="7" * 32, role="authority", started=0, disks=(disk,))
    forge(world, layout.job_prefix(job.job), 1, job)
    forge(world, layout.manifest_prefix(world.home.identity.machine), 7, job)
    forge(world, "disks/" + world.home.identity.machine + "/" + "3" * 32 + "-1", 7, job)
    begun = Sweep(
        number=3,
        vault=vault.id,
        role="authority",
        sweep="7" * 32,
        state="begun",
        created=0,
        lists=(),
        objects=0,
        bytes=0,
    )
    forge(world, layout.SWEEPS, 9_999_999_999, begun)
    real = ImportJob(vault=vault.id, job="8" * 32, role="authority", started=0, disks=(disk,))
    name = vault.sign(layout.job_prefix(real.job), 1, real)
    receipt = Receipt(
        vault=vault.id,
        job=real.job,
        role="authority",
        disk=disk,
        finished=0,
        whole=True,
        copied=0,
        copied_bytes=0,
        already=0,
        not_needed=0,
        findings=0,
    )
    forge(world, layout.job_prefix(real.job), 2, receipt)
    done = world.prune()
    assert (done.importing, done.deleted, done.blind) == (("8" * 32,), 0, ())
    sweeps.wait(vault, name, Tally())  # the import waits for no stranger's sweep
    world.store.delete(name)
    done = world.prune()
    assert done.importing == ()
    assert done.deleted > 0
    assert world.complete()


@pytest.mark.parametrize("moved", [-400 * DAY, 400 * DAY])
def test_a_machine_whose_clock_is_wrong_loses_nothing(world: World, moved: int) -> None:
    """Count the points of a machine with a wrong clock between the point before and their admission."""
    world.policy(LAST)
    world.backup()
    world.prune()
    world.clock.sleep(moved)
    (world.source / "new").write_bytes(b"new")
    world.backup()
    world.clock.sleep(-moved + HOUR)
    done = world.prune()
    ((_, term),) = done.decided[0].admitted
    assert world.clock.now - 2 * HOUR <= term.counted <= world.clock.now
    assert term.until >= world.clock.now + DAY - 2 * HOUR


def test_what_a_machine_does_to_its_own_papers_concerns_nobody_else(world: World) -> None:
    """Delete nothing under the key of a machine that has lost its need list.

    Nothing of that machine is needed less.
    """
    grown(world)
    (point, *_) = world.points()
    assert load_needs(world.store, point.manifest)
    for name in world.objects("needs"):
        world.store.delete(name)
    found = Tally()
    done = world.prune(found)
    assert done.condemned == 0
    assert done.blind == ("web1",)
    assert "prune-blind" in {f.code for f in found.findings}


def test_a_manifest_that_is_put_back_brings_no_expired_point_back(world: World) -> None:
    """Bring no expired point back by its genuine manifest, which anybody may have kept."""
    grown(world)
    before = {name: world.memory.get(name) for name in world.objects("manifests")}
    for _ in range(3):
        world.sweep()
    gone = before.keys() - world.objects("manifests")
    assert len(gone) == 1
    for name in gone:
        world.memory.put_new(name, before[name])
    assert len(world.points()) == 1
    for machines in (
        own_machines(world.home.identity, [world.store], Tally()),
        unlock(LayeredStore([world.store]), PASSPHRASE, None, Tally()),
    ):
        assert len(points(LayeredStore([world.store]), machines, Tally())) == 1


def test_no_import_waits_for_a_sweep_that_somebody_puts_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wait for no old sweep.

    The authority deleted its beginning when the sweep had ended. Anybody that has read it can put it there
    again.
    """
    before: dict[str, bytes] = {}
    put = world.memory.put_new

    def noting(name: str, data: bytes) -> bool:
        before[name] = bytes(data)
        return put(name, data)

    monkeypatch.setattr(world.memory, "put_new", noting)
    for _ in range(3):
        world.prune()
        world.clock.sleep(DAY)
    there = world.objects(layout.SWEEPS)
    gone = [name for name in before if name.startswith(f"{layout.SWEEPS}/") and name not in there]
    for name in gone:
        if envelope.read(before[name], name).peek(Sweep).state == "begun":
            put(name, before[name])
    assert len(world.objects(layout.SWEEPS)) > len(there)
    assert sweeps._under_way(world.vault, Tally()) == []
    world.clock.sleep(HOUR)
    sweeping = sweeps.begin(world.vault)
    assert sweeps._under_way(world.vault, Tally()) == [sweeping.began]


def test_need_lists_that_name_each_other_cost_nothing(world: World) -> None:
    """Spend little time on need lists that name each other.

    Each list doubles the reading of the one before. Prune reads them only if a document of a machine cannot
    be read.
    """
    world.backup()
    world.prune()
    junk = layout.numbered(layout.manifest_prefix(world.home.identity.machine), 7, HexDigest("ab" * 32))
    world.memory.put_new(junk, b"junk")
    below = Digest(bytes(range(32)))
    for _ in range(2000):
        root = needs.ROOT_HEAD.pack(needs.ROOT_MAGIC, 1, 0) + below + below
        below = digest(root)
        world.memory.put_new(layout.need_name(below), root)
    world.clock.sleep(DAY + HOUR)
    began = time.monotonic()
    world.prune()
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("expired", [False, True], ids=["there", "expired"])
def test_junk_under_the_digest_of_a_manifest_makes_nobody_blind(world: World, expired: bool) -> None:
    """Prune all machines though junk lies under the digest of a manifest.

    The next manifest names that digest as its predecessor. The predecessor lies there whole, or has expired.
    """
    world.policy(LAST)
    world.backup()
    world.prune()
    (name,) = world.objects(layout.manifest_prefix(world.home.identity.machine))
    (world.source / "new").write_bytes(b"new")
    world.clock.sleep(HOUR)
    world.backup()
    if expired:
        world.clock.sleep(3 * DAY)
        world.prune()
        assert world.memory.head(name) is None
    prefix, said = name.rpartition("/")[0], name.rpartition("-")[2]
    world.memory.put_new(f"{prefix}/0000000077-{said}", b"junk")
    if expired:
        world.memory.put_new(name, b"junk")
    assert world.prune().blind == ()
